"""Alerts from outside over HTTP: a time at which no alert began is refused, names its field and changes nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from backend import clock
from backend.alerting.tables import Alert, Incident
from backend.audit.tables import AuditEntry
from backend.database.session import reading
from tests.integration.api.conftest import Callers

ADDRESS = "/alerts/alertmanager"


def told(*starts: Any) -> dict[str, Any]:
    alerts = [
        {
            "status": "firing",
            "labels": {"alertname": "HighErrorRate", "severity": "critical", "model": "toy",
                       "environment": "production"},
            "startsAt": one, "fingerprint": f"c0ffee0{number}",
        }
        for number, one in enumerate(starts)
    ]  # fmt: skip
    return {"version": "4", "alerts": alerts}


def rows() -> list[int]:
    with reading() as session:
        return [
            session.scalar(select(func.count()).select_from(one)) or 0
            for one in (Alert, Incident, AuditEntry)
        ]


@pytest.mark.parametrize(
    ("starts", "why"),
    [
        ("yesterday", "valid datetime"),
        ("", "valid datetime"),
        ("2026-13-45T00:00:00Z", "valid datetime"),
        ("2026-03-01T03:00:00", "timezone"),
        ("2026-03-01", "timezone"),
        ("9999-12-31T23:59:59Z", "lies in the future"),
        ("9999-12-31T23:59:59-14:00", "lies in the future"),
        ("2199-01-01T00:00:00Z", "lies in the future"),
        ("1969-12-31T23:59:59Z", "before 1970"),
        ("0001-01-01T00:00:00Z", "before 1970"),
        ("0001-01-01T00:00:00+14:00", "before 1970"),
        ("1772334000", "written as text"),
        ("1e20", "valid datetime"),
        (1772334000, "written as text"),
        (True, "written as text"),
        (None, "written as text"),
        ({"at": "2026"}, "written as text"),
    ],
)
def test_a_time_that_is_none_is_refused_and_changes_nothing(callers: Callers, starts: Any, why: str) -> None:
    before = rows()
    answer = callers.post("engineer", ADDRESS, told(clock.to_iso(clock.now()), starts))
    assert answer.status_code == 422, answer.text
    assert "startsAt" in answer.json()["detail"]
    assert why in answer.json()["detail"]
    assert rows() == before, "not even the alert beside it is taken"


def test_a_clock_that_is_some_hours_ahead_and_another_zone_are_taken(callers: Callers) -> None:
    now = clock.now()
    ahead = (now + timedelta(hours=3)).isoformat()
    answer = callers.post("engineer", ADDRESS, told(ahead, "2026-03-01T03:00:00.123456789+05:30"))
    assert (answer.status_code, answer.json()["firing"]) == (202, 2)
    with reading() as session:
        first, second = session.scalars(select(Alert).order_by(Alert.fingerprint))
    assert first.since <= clock.now(), "nothing began in the future"
    assert clock.to_iso(second.since).startswith("2026-02-28T21:30:00")
