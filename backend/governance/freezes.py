"""Freeze windows: when nothing may be executed, in the wall-clock time of a zone. Pure.

Wall-clock arithmetic is done on local times, and instants are compared: a freeze from Friday 16:00 to Monday 08:00 is
that on the weekend of a clock change, too. A moment that comes twice, or not at all, makes the freeze the longer one.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from pydantic import AfterValidator

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MOMENT: Final = re.compile(r"(mon|tue|wed|thu|fri|sat|sun) ([01]\d|2[0-3]):([0-5]\d)")


def _check_moment(text: str) -> str:
    if _MOMENT.fullmatch(text.lower()) is None:
        raise ValueError(f"{text!r} is no moment of a week; write it as `fri 16:00`")
    return text.lower()


Moment = Annotated[str, AfterValidator(_check_moment)]  # "fri 16:00"


def next_opening(
    weekly: tuple[str, str] | None, dates: tuple[datetime, datetime] | None, zone: str, at: datetime
) -> datetime | None:
    """When the freeze that holds at `at` is over; None where it does not hold then.

    `at` is an aware instant; the result is one in UTC. A weekly freeze whose end is not after its begin in the week
    runs into the next week; one of equal ends never holds.
    """
    local_zone = ZoneInfo(zone)
    if dates is not None:
        begin, end = _instants(*dates, local_zone)
        return end if begin <= at < end else None
    if weekly is None:
        return None
    local = at.astimezone(local_zone).replace(tzinfo=None)
    monday = local.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=local.weekday())
    starts, ends = (_offset(moment) for moment in weekly)
    if ends < starts:
        ends += timedelta(days=7)
    for week in (monday - timedelta(days=7), monday):
        begin, end = _instants(week + starts, week + ends, local_zone)
        if begin <= at < end:
            return end
    return None


def closed_spans(
    weekly: tuple[str, str] | None, dates: tuple[datetime, datetime] | None, zone: str,
    begin: datetime, end: datetime,
) -> list[tuple[datetime, datetime]]:  # fmt: skip
    """The times between two instants in which the freeze holds, in UTC and in their order."""
    local_zone = ZoneInfo(zone)
    spans = [_instants(*dates, local_zone)] if dates is not None else []
    if weekly is not None:
        starts, ends = (_offset(moment) for moment in weekly)
        if ends < starts:
            ends += timedelta(days=7)
        local = begin.astimezone(local_zone).replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0)
        monday = local - timedelta(days=local.weekday() + 7)
        weeks = (end - begin).days // 7 + 3
        spans = [
            _instants(monday + timedelta(days=7 * week) + starts, monday + timedelta(days=7 * week) + ends, local_zone)
            for week in range(weeks)
            if starts != ends
        ]  # fmt: skip
    cut = ((max(first, begin), min(last, end)) for first, last in spans)
    return [(first, last) for first, last in cut if first < last]


def _instants(begin: datetime, end: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """In UTC, the first instant that reads `begin` and the last one that reads `end` on the clocks of the zone."""
    first, last = (
        [moment.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)] for moment in (begin, end)
    )
    return (min(first), max(last)) if begin < end else (min(first), min(first))


def _offset(moment: str) -> timedelta:
    found = _MOMENT.fullmatch(moment)
    assert found is not None  # noqa: S101 - checked when the document was read
    day, hour, minute = found.groups()
    return timedelta(days=DAYS.index(day), hours=int(hour), minutes=int(minute))
