"""PagerDuty: Events API v2 to tell, the REST API to hear who acknowledged or resolved.

One incident of ours is one alert there, by `dedup_key`; a further trigger changes its text and opens nothing new. Nor
does it ring anybody again once it was acknowledged: an incident that asks again is another alert, and ends the first.
https://developer.pagerduty.com/docs/events-api-v2-overview
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar, Final

from backend.notifications.channels.base import Heard, Receipt, ask, web_address
from backend.notifications.messages import Message, Told, clipped

EVENTS: Final = "https://events.pagerduty.com"
REST: Final = "https://api.pagerduty.com"
SEVERITIES: Final = {1: "critical", 2: "error", 3: "warning", 4: "info"}
LONGEST_SUMMARY: Final = 1024
_STATES: Final = {"triggered": "open", "acknowledged": "acknowledged", "resolved": "resolved"}


class PagerDuty:
    """key    integration key of the service (Events API v2)
    token  a read-only REST key; without one nothing is heard
    """

    kind: ClassVar[str] = "pagerduty"
    changes: ClassVar[bool] = True
    refresh: ClassVar[timedelta | None] = None

    def __init__(self, key: str, token: str | None = None, *, events: str = EVENTS, rest: str = REST) -> None:
        self._key, self._token = key, token
        self._events, self._rest = (
            web_address(events, "pagerduty events"),
            web_address(rest, "pagerduty rest"),
        )

    @property
    def hears(self) -> bool:
        return self._token is not None

    def tell(self, message: Message, told: Told | None) -> Receipt:
        earlier = message.earlier_keys(told)
        if message.state == "resolved":
            receipt = self._send(message, "resolve")
        else:
            receipt = Receipt(message.page_key, "nothing was new")
            if told is None or told.perhaps or told.state == "resolved" or told.digest != message.digest:
                receipt = self._send(message, "trigger")
            if message.state == "acknowledged" and (told is None or earlier or told.state != "acknowledged"):
                receipt = self._send(message, "acknowledge")
        for key in earlier:
            self._send(message, "resolve", key)
        return receipt

    def hear(self, key: str, ref: str) -> Heard | None:
        answer = ask(
            "GET", f"{self._rest}/incidents",
            # Without a range only the last month is looked through; a key may name several, of which the newest counts.
            params={"incident_key": key, "date_range": "all", "sort_by": "created_at:desc", "limit": "1"},
            headers={"Authorization": f"Token token={self._token}",
                     "Accept": "application/vnd.pagerduty+json;version=2"},
        )  # fmt: skip
        found = (answer or {}).get("incidents") or []
        if not found:
            return None
        incident = found[0]
        state = _STATES.get(str(incident.get("status")), "open")
        if state == "open":
            return Heard(state)
        return Heard(state, _who(incident), f"{incident.get('id', key)}/{state}", _is_timed(incident))

    def _send(self, message: Message, action: str, key: str = "") -> Receipt:
        key = key or message.page_key
        body: dict[str, Any] = {"routing_key": self._key, "event_action": action, "dedup_key": key}
        if action == "trigger":
            body |= {
                "payload": {
                    "summary": clipped(message.summary, LONGEST_SUMMARY),
                    "source": f"{message.model or 'Warrant'} in {message.environment}",
                    "severity": SEVERITIES[message.severity],
                    "timestamp": message.opened_at,
                    "component": message.model,
                    "group": message.environment,
                    "custom_details": {"facts": list(message.lines), "incident": message.ref},
                },
                "links": [{"href": message.link, "text": f"{message.ref} in Warrant"}],
                "client": "Warrant",
                "client_url": message.link,
            }
        answer = ask("POST", f"{self._events}/v2/enqueue", body=body)
        return Receipt(key, f"{action}: {(answer or {}).get('message', 'accepted')}")


def _is_timed(incident: dict[str, Any]) -> bool:
    """Whether its service resolved it: PagerDuty does so after some hours, where a service is set to."""
    by = incident.get("last_status_change_by") or {}
    return incident.get("status") == "resolved" and str(by.get("type", "")).startswith("service")


def _who(incident: dict[str, Any]) -> str:
    acknowledgements = incident.get("acknowledgements") or []
    by = acknowledgements[-1].get("acknowledger") if acknowledgements else None
    if incident.get("status") == "resolved" or by is None:
        by = incident.get("last_status_change_by")
    return str((by or {}).get("summary") or "somebody")
