"""Who a calendar names at a moment (iCalendar, RFC 5545), as PagerDuty, Opsgenie and Google export rotas.

Instants are compared, never the library's durations: those of a shift over the end of summer time are an hour short.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from backend.errors import BadInput

MARGIN: Final = timedelta(days=1)
TOO_OFTEN: Final = ("SECONDLY", "MINUTELY")
_UNREADABLE: Final = (
    ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError, TypeError, ValueError,
)  # fmt: skip


@dataclass(frozen=True)
class Duty:
    """Somebody is on call in [start, end)."""

    who: str
    start: datetime
    end: datetime


def people_at(calendar: bytes, at: datetime) -> tuple[tuple[str, ...], datetime | None]:
    """Titles of the events that hold at a moment, with the end of the first to end. Raises `BadInput`."""
    held = [one for one in _around(calendar, at.astimezone(UTC).date()) if one.start <= at < one.end]
    return tuple(sorted({one.who for one in held})), min((one.end for one in held), default=None)


@lru_cache(maxsize=8)
def _around(calendar: bytes, day: date) -> tuple[Duty, ...]:
    """Every duty that touches a day (UTC). Pages ask for the same day again and again, and reading takes a second."""
    import icalendar
    import recurring_ical_events

    begins = datetime.combine(day, time(), UTC)
    try:
        parsed = icalendar.Calendar.from_ical(calendar)
        _check_rules(parsed.walk("VEVENT"))
        zone = _zone_of(parsed)
        events = recurring_ical_events.of(parsed).between(begins - MARGIN, begins + 2 * MARGIN)
        return tuple(_duties(events, zone))
    except _UNREADABLE as error:
        raise BadInput(f"this is no calendar that can be read ({type(error).__name__})") from error


def _check_rules(events: Iterable[Any]) -> None:
    """Raises `BadInput` for a rule that would be followed for ever."""
    for event in events:
        found = event.get("RRULE") or []
        for rule in found if isinstance(found, list) else [found]:
            often, steps = str(rule.get("FREQ", [""])[0]).upper(), rule.get("INTERVAL", [1])
            if often in TOO_OFTEN or int(steps[0]) < 1:
                title = str(event.get("SUMMARY", ""))[:60]
                raise BadInput(f"the event {title!r} comes again by a rule that is none of a rota: {often}")


def _zone_of(parsed: Any) -> tzinfo:
    """Where whole days and times without a zone are meant: what the calendar says of itself, else UTC."""
    named = [str(parsed.get("X-WR-TIMEZONE", ""))] + [
        str(one.get("TZID", "")) for one in parsed.walk("VTIMEZONE")
    ]
    for name in filter(None, named):
        try:
            return ZoneInfo(name)
        except (LookupError, ValueError, OSError):
            continue
    return UTC


def _duties(events: Iterable[Any], zone: tzinfo) -> Iterator[Duty]:
    for event in events:
        who = str(event.get("SUMMARY", "")).strip()
        ends = event.get("DTEND")
        if who and ends is not None and str(event.get("STATUS", "")).upper() != "CANCELLED":
            yield Duty(who, _instant(event["DTSTART"].dt, zone), _instant(ends.dt, zone))


def _instant(when: date, zone: tzinfo) -> datetime:
    told = when if isinstance(when, datetime) else datetime.combine(when, time())
    return (told if told.tzinfo else told.replace(tzinfo=zone)).astimezone(UTC)
