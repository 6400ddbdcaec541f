"""The time a budget is for: a length that rolls with the clock, or the periods of a calendar in its time zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from backend.errors import BadInput

Unit = Literal["d", "w", "M", "Q", "Y"]
NOMINAL_DAYS: Final[dict[Unit, int]] = {"d": 1, "w": 7, "M": 30, "Q": 90, "Y": 365}
_MONTHS: Final[dict[Unit, int]] = {"M": 1, "Q": 3, "Y": 12}
MOST_DAYS: Final = 366


class BadWindow(BadInput):
    """A time window that is none, or that nobody could observe."""

    title = "Bad time window"


@dataclass(frozen=True)
class Rolling:
    """The last so many hours, whatever the calendar says."""

    hours: int

    def __post_init__(self) -> None:
        if not 1 <= self.hours <= MOST_DAYS * 24:
            raise BadWindow(
                f"a rolling window lasts from an hour to {MOST_DAYS} days, not {self.hours} hours"
            )

    def bounds(self, at: datetime) -> tuple[datetime, datetime]:
        """The window that ends at `at`."""
        end = at.astimezone(UTC)
        return end - timedelta(hours=self.hours), end

    def length_s(self, at: datetime | None = None) -> int:
        """In seconds; always the same."""
        return self.hours * 3600


@dataclass(frozen=True)
class Calendar:
    """Periods of the calendar, one after the other: `count` units from `start` on, by the clocks of `zone`.

    `start` is a local time of any one period, such as 2026-01-01 00:00; periods before it count too. A month that
    begins on the 31st begins on the last day of a shorter month.
    """

    unit: Unit
    start: datetime
    zone: str
    count: int = 1

    def __post_init__(self) -> None:
        if self.unit not in NOMINAL_DAYS:
            raise BadWindow(
                f"a calendar window is counted in {', '.join(NOMINAL_DAYS)}, not in {self.unit!r}"
            )
        if self.count < 1 or NOMINAL_DAYS[self.unit] * self.count > MOST_DAYS:
            raise BadWindow(f"a calendar window lasts from a day to a year, not {self.count}{self.unit}")
        if self.start.tzinfo is not None:
            raise BadWindow(
                "the start of a calendar window is a local time without an offset; the zone says where"
            )
        if not 1970 <= self.start.year <= 2200:
            raise BadWindow("a calendar window starts between the years 1970 and 2200")
        try:
            ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise BadWindow(f"{self.zone!r} is no time zone; write one such as Europe/Berlin") from error

    def bounds(self, at: datetime) -> tuple[datetime, datetime]:
        """Start and end, in UTC, of the period that holds `at`; the end is the next period's start."""
        number = self._number(at)
        while self._start_of(number) > at:
            number -= 1
        while self._start_of(number + 1) <= at:
            number += 1
        return self._start_of(number), self._start_of(number + 1)

    def length_s(self, at: datetime | None = None) -> int:
        """In seconds: of the period that holds `at`, or without it the nominal length (a month has 30 days)."""
        if at is None:
            return NOMINAL_DAYS[self.unit] * self.count * 86_400
        start, end = self.bounds(at)
        return round((end - start).total_seconds())

    def _number(self, at: datetime) -> int:
        """Of the period that holds a moment, give or take one for the clock change and the time of day."""
        local = at.astimezone(ZoneInfo(self.zone)).replace(tzinfo=None)
        months = _MONTHS.get(self.unit)
        if months is None:
            return (local - self.start) // timedelta(days=NOMINAL_DAYS[self.unit] * self.count)
        passed = (local.year - self.start.year) * 12 + local.month - self.start.month
        return passed // (months * self.count)

    def _start_of(self, number: int) -> datetime:
        months = _MONTHS.get(self.unit)
        if months is None:
            local = self.start + timedelta(days=NOMINAL_DAYS[self.unit] * self.count * number)
        else:
            local = _months_later(self.start, months * self.count * number)
        return local.replace(tzinfo=ZoneInfo(self.zone)).astimezone(UTC)


Window = Rolling | Calendar


def _months_later(start: datetime, months: int) -> datetime:
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    following = datetime(year + (month == 11), (month + 1) % 12 + 1, 1)  # noqa: DTZ001 - a local time
    last = (following - timedelta(days=1)).day
    return start.replace(year=year, month=month + 1, day=min(start.day, last))
