"""Opsgenie: the Alert API v2. One incident of ours is one alert there, by its alias.

Creating it again only counts it up, so a changed text is put into the alert that is open.
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
        if message.state == "resolved":
            return self._act(message, "close")
        receipt = Receipt(message.key, "nothing was new")
        if told is None or told.perhaps or told.state == "resolved":
            receipt = self._create(message)
        elif told.digest != message.digest:
            receipt = self._rewrite(message)
        if message.state == "acknowledged" and (told is None or told.state != "acknowledged"):
            receipt = self._act(message, "acknowledge")
        return receipt

    def hear(self, key: str, ref: str) -> Heard | None:
        answer = ask("GET", self._of(key), params=_BY_ALIAS, headers=self._headers, missing=True)
        if answer is None:
            return None
        alert = answer.get("data") or {}
        report = alert.get("report") or {}
        if alert.get("status") == "closed":
            return Heard("resolved", str(report.get("closedBy") or "somebody"))
        if alert.get("acknowledged"):
            return Heard("acknowledged", str(report.get("acknowledgedBy") or "somebody"))
        return Heard("open")

    def _create(self, message: Message) -> Receipt:
        body = {
            "message": clipped(message.summary, LONGEST_MESSAGE),
            "alias": message.key,
            "description": clipped(message.text, LONGEST_DESCRIPTION),
            "priority": PRIORITIES[message.severity],
            "entity": f"{message.model} in {message.environment}",
            "source": "Warrant",
            "details": {"incident": f"INC-{message.incident}", "link": message.link},
            "tags": [message.word, message.environment],
        }
        ask("POST", self._alerts, body=body, headers=self._headers)
        return Receipt(message.key, "created")

    def _rewrite(self, message: Message) -> Receipt:
        for part, value in (
            ("message", {"message": clipped(message.summary, LONGEST_MESSAGE)}),
            ("description", {"description": clipped(message.text, LONGEST_DESCRIPTION)}),
            ("priority", {"priority": PRIORITIES[message.severity]}),
        ):
            ask("PUT", f"{self._of(message.key)}/{part}", params=_BY_ALIAS, body=value, headers=self._headers)
        return Receipt(message.key, "its text was changed")

    def _act(self, message: Message, act: str) -> Receipt:
        body: dict[str, Any] = {"source": "Warrant", "note": f"{message.text}"[:LONGEST_DESCRIPTION]}
        ask("POST", f"{self._of(message.key)}/{act}", params=_BY_ALIAS, body=body, headers=self._headers)
        return Receipt(message.key, {"close": "closed", "acknowledge": "acknowledged"}[act])

    def _of(self, key: str) -> str:
        return f"{self._alerts}/{quote(key, safe='')}"


_BY_ALIAS: Final = {"identifierType": "alias"}
