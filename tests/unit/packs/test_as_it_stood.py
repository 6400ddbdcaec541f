"""What a pack of a past day says of clocks, exceptions and findings that moved on since."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from backend import clock
from backend.assurance.as_of import UNKNOWN, FindingThen
from backend.assurance.tables import PolicyException
from backend.packs.assurance_files import _as_then, _exception_then, _judge_clock
from backend.packs.draft import Draft

DAY = datetime(2026, 3, 10, tzinfo=UTC)


def days(number: int) -> datetime:
    return DAY + timedelta(days=number)


def earlier(due: int, until: int, *, was_over: bool) -> dict[str, Any]:
    return {"starts_at": "", "due_at": clock.to_iso(days(due)), "set_by": "per_1", "until": clock.to_iso(days(until)),
            "was_over": was_over, "why": "counted wrong"}  # fmt: skip


@pytest.mark.parametrize(
    ("due", "met", "before", "levels"),
    [
        (5, None, [], []),
        (-1, None, [], ["high"]),
        (-1, -2, [], []),
        (-2, -1, [], ["medium"]),  # met late
        (-1, 1, [], ["high"]),  # met after that day
        (5, None, [earlier(-3, -1, was_over=True)], ["medium"]),  # set anew after it was over
        (5, None, [earlier(3, -1, was_over=False)], []),
        (5, None, [earlier(-3, 1, was_over=True)], ["high"]),  # set anew after that day
    ],
)
def test_a_time_limit_that_was_missed_is_told_whatever_was_done_later(
    due: int, met: int | None, before: list[dict[str, Any]], levels: list[str]
) -> None:
    draft = Draft()
    one = {"due_at": days(due), "met_at": days(met) if met is not None else None, "earlier": before}
    _judge_clock(draft, "INC-1: the report", one, DAY, "incidents/INC-1")
    assert [gap.level for gap in draft.gaps] == levels


@pytest.mark.parametrize(
    ("state", "decided", "ended", "expires", "then"),
    [
        ("granted", -1, None, 9, "granted"),
        ("ended", -2, 1, 9, "granted"),
        ("ended", -2, -1, 9, "ended"),
        ("granted", -2, None, -1, "expired"),
        ("granted", 1, None, 9, "asked"),
        ("refused", 1, None, 9, "asked"),
        ("refused", -1, None, 9, "refused"),
        ("refused", -2, None, -1, "refused"),
    ],
)
def test_an_exception_stands_as_it_did(
    state: str, decided: int, ended: int | None, expires: int, then: str
) -> None:
    row = PolicyException(state=state, decided_at=days(decided), expires_at=days(expires),
                          ended_at=days(ended) if ended is not None else None)  # fmt: skip
    view = {"comment": "fine", "decided_by": "Lead", "ended_because": "over"}
    found = _exception_then(row, view, DAY)
    assert (found["state"], found["counts"]) == (then, then == "granted")
    assert found["comment"] == ("fine" if decided < 0 else "")
    assert found["ended_because"] == ("over" if ended is not None and ended < 0 else "")


def test_a_finding_is_overdue_by_the_day_it_had_then() -> None:
    def then(due: str, owner: str = "per_1") -> FindingThen:
        return FindingThen(1, "toy", "leak", "low", "open", owner, due, days(-9))

    now = {"state": "closed", "overdue": False, "due_at": days(30), "owner": "Other"}
    found = _as_then(now, then(clock.to_iso(days(-1))), {"per_1": "Lead"}, DAY)
    assert (found["state"], found["overdue"]) == ("open", True)
    assert (found["due_at"], found["owner"]) == (days(-1), "Lead")
    late_today = now | {"state": "open", "overdue": True}
    assert not _as_then(late_today, then(clock.to_iso(days(1))), {}, DAY)["overdue"]
    erased = _as_then(now, then(UNKNOWN, UNKNOWN), {}, DAY)
    assert (erased["due_at"], erased["owner"]) == (None, UNKNOWN)
