"""Events in a row that say the same are one line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from backend.alerting.timeline import Event, together

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def event(minute: int, text: str, *, by: str = "Ada") -> Event:
    return Event(NOON + timedelta(minutes=minute), "edit", text, by=by)


def test_what_is_said_again_in_a_row_is_one_line_with_its_number() -> None:
    told = [event(0, "rows sent"), event(1, "rows sent"), event(2, "rows sent", by="Bob"), event(3, "spec changed"),
            event(4, "rows sent", by="Bob")]  # fmt: skip
    assert [(one.at.minute, one.text, one.by) for one in together(told)] == [
        (1, "rows sent (2 times)", "Ada"), (2, "rows sent", "Bob"), (3, "spec changed", "Ada"), (4, "rows sent", "Bob"),
    ]  # fmt: skip
