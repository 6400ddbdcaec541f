"""Time buckets in a named zone, correct over clock changes: a day may have 23, 24 or 25 hours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from backend.errors import BadInput

if TYPE_CHECKING:
    import pandas as pd

Moments = npt.NDArray[np.datetime64]


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
        return _hour_of(moment, zone)
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


def _hour_of(moment: datetime, zone: ZoneInfo) -> Window:
    """Hours are cut on the zone's minutes (zones at +05:45 exist) but counted in elapsed time.

    So the hour a clock repeats in autumn is two windows and none is lost. Where a clock moves by half an hour, the
    hours after it are cut anew, and the one cut short by the change has 30 minutes.
    """

    def shift_at(instant: datetime) -> timedelta:
        offset = instant.astimezone(zone).utcoffset() or timedelta()
        return timedelta(seconds=offset.total_seconds() % 3600)

    shift = shift_at(moment)
    start = (moment.astimezone(UTC) + shift).replace(minute=0, second=0, microsecond=0) - shift
    end = start + timedelta(hours=1)
    minutes = (start + timedelta(minutes=minute) for minute in range(60))
    if shift_at(start) != shift:
        start = next(minute for minute in minutes if shift_at(minute) == shift)
    elif shift_at(end - timedelta(minutes=1)) != shift:
        end = next(minute for minute in minutes if shift_at(minute) != shift)
    return Window(start, end)


def windows_between(first: datetime, last: datetime, size: str, timezone: str = "UTC") -> list[Window]:
    """Every window that overlaps [first, last), in order and without gaps. Empty when last <= first."""
    windows: list[Window] = []
    moment = first
    while moment < last:
        window = window_of(moment, size, timezone)
        windows.append(window)
        moment = window.end
    return windows


@dataclass(frozen=True)
class RowWindow:
    """The `ordinal`-th window of N rows, counted from 0.

    Times do not part such windows where rows of equal time lie on a border, so each row carries the ordinal of its
    window (`number_rows`) and profiles are taken by it. `window` is for people and axes: it begins with the window's
    first row and ends with the next window's first row (of the last: a microsecond after its last row), at least a
    microsecond later.

    complete   it has all its N rows; only the last may not
    """

    ordinal: int
    window: Window
    rows: int
    complete: bool


def number_rows(
    moments: Moments, ids: npt.ArrayLike, rows: int
) -> tuple[npt.NDArray[np.int64], list[RowWindow]]:
    """Windows of `rows` rows each, in order of (time, id).

    moments  (n,) datetime64, UTC
    ids      (n,) unique, to order rows of equal time the same way whenever they are read
    returns  the ordinal of each row's window (n,), -1 for a row without a time; and the windows in order

    A row that arrives late moves every row after it: the windows from its place on have to be counted again,
    none before it.
    """
    if rows < 1:
        raise ValueError(f"a window needs at least one row, not {rows}")
    at = np.asarray(moments).astype("datetime64[us]")
    timed = np.flatnonzero(~np.isnat(at))
    order = timed[np.lexsort((np.asarray(ids)[timed], at[timed]))]
    ordinals = np.full(at.size, -1, dtype=np.int64)
    ordinals[order] = np.arange(order.size) // rows
    sorted_at = at[order]
    found = []
    for ordinal, first in enumerate(range(0, order.size, rows)):
        after = first + rows
        start = sorted_at[first]
        end = sorted_at[after] if after < order.size else sorted_at[-1] + np.timedelta64(1, "us")
        bounds = (_aware(start), _aware(max(end, start + np.timedelta64(1, "us"))))
        size = min(rows, order.size - first)
        found.append(RowWindow(ordinal, Window(*bounds), size, size == rows))
    return ordinals, found


def _aware(moment: np.datetime64) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(moment.astype(np.int64)))


def _instant(local: datetime, zone: ZoneInfo) -> datetime:
    """The UTC instant of a wall-clock midnight: the first of a repeated one, the jump for a skipped one.

    `fold=0` reads a skipped time with the offset before the jump (PEP 495), which for midnight is the jump.
    """
    return local.replace(tzinfo=zone).astimezone(UTC)


def season_of(moment: datetime, season: str, timezone: str) -> tuple[int, ...]:
    """The place of a moment on the clock of a zone: its `hour`, `weekday` (Monday 0) or `hour_of_week`."""
    local = moment.astimezone(ZoneInfo(timezone))
    if season == "hour":
        return (local.hour,)
    if season == "weekday":
        return (local.weekday(),)
    return (local.weekday(), local.hour)


def place_moments(
    moments: list[datetime] | pd.Series[Any] | pd.DatetimeIndex, windows: Sequence[Window]
) -> npt.NDArray[np.int64]:
    """(n,) the number of the window of each moment, int64, for windows without gaps. Moments need a zone.

    What lies before the first window is in it, what lies after the last gets their count.
    """
    import pandas as pd

    ends = pd.DatetimeIndex([window.end for window in windows]).as_unit("us").asi8
    at = pd.DatetimeIndex(moments).as_unit("us").asi8
    return np.asarray(np.searchsorted(ends, at, side="right"), dtype=np.int64)
