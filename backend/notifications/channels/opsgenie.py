"""Opsgenie: the Alert API v2. One incident of ours is one alert there, by its alias.

Creating it again only counts it up, so a changed text is put into the alert that is open. An incident that asks again
to be acknowledged is another alert, and closes the first.
https://docs.opsgenie.com/docs/alert-api
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar, Final
from urllib.parse import quote

from backend.notifications.channels.base import Heard, Receipt, ask, web_address
from backend.notifications.messages import Message, Told, clipped

API: Final = "https://api.opsgenie.com"
PRIORITIES: Final = {1: "P1", 2: "P2", 3: "P3", 4: "P4"}
LONGEST_MESSAGE, LONGEST_DESCRIPTION = 130, 15_000


class Opsgenie:
    """key  of an API integration that may create, read and update alerts"""

    kind: ClassVar[str] = "opsgenie"
    changes: ClassVar[bool] = True
    refresh: ClassVar[timedelta | None] = None
    hears = True

    def __init__(self, key: str, *, address: str = API) -> None:
        self._headers = {"Authorization": f"GenieKey {key}"}
        self._alerts = web_address(address, "opsgenie address") + "/v2/alerts"

    def tell(self, message: Message, told: Told | None) -> Receipt:
        earlier = message.earlier_keys(told)
        if message.state == "resolved":
            receipt = self._act(message, "close")
        else:
            receipt = self._open(message, told, anew=bool(earlier))
        for key in earlier:
            self._act(message, "close", key)
        return receipt

    def hear(self, key: str, ref: str) -> Heard | None:
        answer = ask("GET", self._of(key), params=_BY_ALIAS, headers=self._headers, missing=True)
        if answer is None:
            return None
        alert = answer.get("data") or {}
        report = alert.get("report") or {}
        if alert.get("status") == "closed":
            return Heard(
                "resolved", str(report.get("closedBy") or "somebody"), f"{alert.get('id', key)}/closed"
            )
        if alert.get("acknowledged"):
            by = str(report.get("acknowledgedBy") or "somebody")
            return Heard("acknowledged", by, f"{alert.get('id', key)}/acknowledged")
        return Heard("open")

    def _open(self, message: Message, told: Told | None, *, anew: bool) -> Receipt:
        receipt = Receipt(message.page_key, "nothing was new")
        if told is None or anew or told.perhaps or told.state == "resolved":
            receipt = self._create(message)
        elif told.digest != message.digest:
            receipt = self._rewrite(message)
        if message.state == "acknowledged" and (told is None or anew or told.state != "acknowledged"):
            receipt = self._act(message, "acknowledge")
        return receipt

    def _create(self, message: Message) -> Receipt:
        body = {
            "message": clipped(message.summary, LONGEST_MESSAGE),
            "alias": message.page_key,
            "description": clipped(message.text, LONGEST_DESCRIPTION),
            "priority": PRIORITIES[message.severity],
            "entity": f"{message.model} in {message.environment}",
            "source": "Warrant",
            "details": {"incident": message.ref, "link": message.link},
            "tags": [message.word, message.environment],
        }
        ask("POST", self._alerts, body=body, headers=self._headers)
        return Receipt(message.page_key, "created")

    def _rewrite(self, message: Message) -> Receipt:
        for part, value in (
            ("message", {"message": clipped(message.summary, LONGEST_MESSAGE)}),
            ("description", {"description": clipped(message.text, LONGEST_DESCRIPTION)}),
            ("priority", {"priority": PRIORITIES[message.severity]}),
        ):
            where = f"{self._of(message.page_key)}/{part}"
            ask("PUT", where, params=_BY_ALIAS, body=value, headers=self._headers)
        return Receipt(message.page_key, "its text was changed")

    def _act(self, message: Message, act: str, key: str = "") -> Receipt:
        """`key`: of an earlier asking, which may not have got there."""
        body: dict[str, Any] = {"source": "Warrant", "note": f"{message.text}"[:LONGEST_DESCRIPTION]}
        where = f"{self._of(key or message.page_key)}/{act}"
        ask("POST", where, params=_BY_ALIAS, body=body, headers=self._headers, missing=bool(key))
        return Receipt(message.page_key, {"close": "closed", "acknowledge": "acknowledged"}[act])

    def _of(self, key: str) -> str:
        return f"{self._alerts}/{quote(key, safe='')}"


_BY_ALIAS: Final = {"identifierType": "alias"}
