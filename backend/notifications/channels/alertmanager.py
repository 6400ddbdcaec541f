"""Alertmanager: its v2 API. An incident is one alert by its labels; it is told again before it would be forgotten.

Alertmanager then groups, routes and inhibits as its own configuration says.
https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from backend import clock
from backend.notifications.channels.base import Heard, Receipt, ask, web_address
from backend.notifications.messages import SEVERITIES, Message, Told, iso

STANDS_FOR: Final = timedelta(minutes=30)  # then Alertmanager takes it for resolved, should we be gone


class Alertmanager:
    kind: ClassVar[str] = "alertmanager"
    changes: ClassVar[bool] = True
    refresh: ClassVar[timedelta | None] = STANDS_FOR / 3
    hears = False

    def __init__(self, url: str) -> None:
        self._alerts = web_address(url, "alertmanager url") + "/api/v2/alerts"

    def tell(self, message: Message, told: Told | None) -> Receipt:
        """The severity is a label, for routes to ask for: where it changed, the alert under the earlier one ends."""
        now = clock.now()
        alerts = [_alert(message, message.word, now if message.state == "resolved" else now + STANDS_FOR)]
        if told is not None and told.severity != message.severity:
            alerts.append(_alert(message, SEVERITIES[told.severity - 1], now))
        ask("POST", self._alerts, body=alerts)
        return Receipt(message.key, "taken")

    def hear(self, key: str, ref: str) -> Heard | None:
        return None


def _alert(message: Message, severity: str, ends: datetime) -> dict[str, Any]:
    return {
        "labels": {
            "alertname": "WarrantIncident", "key": message.key, "incident": message.ref,
            "severity": severity, "model": message.model, "environment": message.environment,
        },
        "annotations": {"summary": message.summary, "description": message.text, "state": message.state},
        "startsAt": message.opened_at,
        "endsAt": iso(ends),
        "generatorURL": message.link,
    }  # fmt: skip
