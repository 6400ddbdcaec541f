"""Time buckets in a named zone, correct over clock changes: a day may have 23, 24 or 25 hours."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from backend.errors import BadInput


@dataclass(frozen=True, order=True)
class Window:
    """Half-open: `start` is inside, `end` is not. Both are UTC-aware."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError("a window needs times with a zone")
        if not self.start < self.end:
            raise ValueError(f"a window must end after it starts: {self.start} .. {self.end}")

    def __contains__(self, moment: datetime) -> bool:
        return self.start <= moment < self.end

    @property
    def hours(self) -> float:
        return (self.end - self.start).total_seconds() / 3600


def window_of(moment: datetime, size: str, timezone: str = "UTC") -> Window:
    """The window of `size` (1h, 1d, 1w from Monday, 1mo) around `moment`, cut on `timezone`'s clock."""
    if moment.tzinfo is None:
        raise ValueError(f"a time without a zone has no window: {moment!r}")
    zone = ZoneInfo(timezone)
    if size == "1h":
        # Hours are cut on the zone's minutes (zones at +05:45 exist) but counted in elapsed time,
        # so that the hour a clock repeats in autumn is two windows and none is lost.
        offset = moment.astimezone(zone).utcoffset() or timedelta()
        shift = timedelta(seconds=offset.total_seconds() % 3600)
        moved = moment.astimezone(UTC) + shift
        start = moved.replace(minute=0, second=0, microsecond=0) - shift
        return Window(start, start + timedelta(hours=1))
    local = moment.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0, tzinfo=None)
    if size == "1d":
        first, after = local, local + timedelta(days=1)
    elif size == "1w":
        first = local - timedelta(days=local.weekday())
        after = first + timedelta(days=7)
    elif size == "1mo":
        first = local.replace(day=1)
        after = (first + timedelta(days=32)).replace(day=1)
    else:
        raise BadInput(f"window size {size!r} is not one of 1h, 1d, 1w, 1mo")
    return Window(_instant(first, zone), _instant(after, zone))


def windows_between(first: datetime, last: datetime, size: str, timezone: str = "UTC") -> list[Window]:
    """Every window that overlaps [first, last), in order and without gaps. Empty when last <= first."""
    windows: list[Window] = []
    moment = first
    while moment < last:
        window = window_of(moment, size, timezone)
        windows.append(window)
        moment = window.end
    return windows


def _instant(local: datetime, zone: ZoneInfo) -> datetime:
    """The UTC instant of a wall-clock midnight: the first of a repeated one, the jump for a skipped one.

    `fold=0` reads a skipped time with the offset before the jump (PEP 495), which for midnight is the jump.
    """
    return local.replace(tzinfo=zone).astimezone(UTC)
