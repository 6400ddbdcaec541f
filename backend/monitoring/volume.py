"""Whether a window has as many rows as windows of its kind usually have.

Usual are earlier windows of that size at the same place of the week: the same weekday, or the same hour of the week.

five or more    their median, and how much they differ
one to four     their median; how much windows differ is learned from all places together, each about its own middle,
                and widened by how little so few say (the variance of a prediction from m values: 1 + 1 / m)
no place twice  one week is known: only what is far beyond all of its windows is unusual
none            inconclusive, but for silence

A change must also be half or double the usual, and beyond the chance of counts. A window that ended without any row
where usual ones had some is said to be silent. At most a ticket: too little traffic is no bad model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property, lru_cache
from statistics import median
from typing import Any

from scipy.special import bdtr, bdtrc

from backend.monitoring.evaluate import Point
from backend.monitoring.statistics import TABLE_REGISTRY, TableFacts
from backend.monitoring.windows import Window, place_moments, season_of

FEWEST = 5
WEEKS = 8
WINDOW_ALPHA = 0.001
FACTOR = 2.0
"""Half the usual rows or double matter in practice; less is the weather of traffic."""
_SEASONS = {"1h": "hour_of_week", "1d": "weekday"}
_season = lru_cache(maxsize=100_000)(season_of)


@dataclass(frozen=True)
class Usual:
    """What one window is compared with.

    known   rows of windows, brought to the level of this place of the week
    here    rows of windows at this very place, as they were
    reach   windows are known to lie so far from the median (in logarithms) where places cannot be told apart
    """

    known: tuple[float, ...]
    here: tuple[int, ...]
    reach: float = 0.0


@dataclass(frozen=True)
class UsualRows:
    """Rows of earlier windows, in order of time."""

    starts: tuple[datetime, ...]
    rows: tuple[int, ...]
    size: str
    timezone: str

    def of(self, start: datetime) -> Usual:
        """What a window starting at `start` is compared with."""
        if self.size not in _SEASONS:
            return Usual(self.rows, self.rows)
        here = self._places.get(_season(start, _SEASONS[self.size], self.timezone), ())
        if len(here) >= FEWEST or not here:
            return Usual(here, here)
        if len(self._residuals) < FEWEST:
            logs = _logs(self.rows)
            middle = median(logs)
            return Usual(self.rows, here, max(abs(one - middle) for one in logs))
        level, wider = median(_logs(here)), math.sqrt(1 + 1 / len(here))
        return Usual(tuple(math.exp(level + wider * one) for one in self._residuals), here)

    @cached_property
    def _places(self) -> dict[tuple[int, ...], tuple[int, ...]]:
        found: dict[tuple[int, ...], list[int]] = {}
        for at, rows in zip(self.starts, self.rows, strict=True):
            found.setdefault(_season(at, _SEASONS[self.size], self.timezone), []).append(rows)
        return {place: tuple(rows) for place, rows in found.items()}

    @cached_property
    def _residuals(self) -> tuple[float, ...]:
        """How far windows lie from the middle of their place, in logarithms; places with one window have none."""
        found: list[float] = []
        for rows in self._places.values():
            logs, m = _logs(rows), len(rows)
            if m > 1:
                mean = sum(logs) / m
                found += [(one - mean) * math.sqrt(m / (m - 1)) for one in logs]
        middle = median(found) if found else 0.0
        return tuple(one - middle for one in found)


@dataclass
class Traffic:
    """Volume of windows as they end, one after the other, against a reference's windows or earlier ones of these.

    A reference may be a sample of rows. Where more than half of the windows so far have over `FACTOR` times what it
    has at their place of the week, it says nothing about traffic, and windows are compared with those of the
    eight weeks before them, as where it has too few windows; they are inconclusive until those are enough.
    """

    reference: UsualRows
    _past: list[tuple[datetime, int]] = field(default_factory=list)
    _many: list[bool] = field(default_factory=list)

    def judge(self, window: Window, rows: int, *, cut: str | None = None) -> Point:
        """One point. `cut` says why the rows are not all that there were: they are inconclusive, and no usual ones."""
        if cut is not None:
            text = f"rows of the window: {cut}"
            return Point(None, "volume", "volume", None, None, "inconclusive", 0, rows, text, cut)
        usual = self.reference.of(window.start)
        if usual.known:
            self._many.append(rows > FACTOR * max(median(usual.known), 0.5))
        sampled = 2 * sum(self._many) > len(self._many)
        earlier = sampled or len(usual.known) < FEWEST
        against = self._earlier(window.start) if earlier else self.reference
        self._past.append((window.start, rows))
        return judge_volume(window, rows, against)

    def _earlier(self, start: datetime) -> UsualRows:
        past = [one for one in self._past if start - timedelta(weeks=WEEKS) <= one[0] < start]
        starts, rows = tuple(at for at, _ in past), tuple(n for _, n in past)
        return UsualRows(starts, rows, self.reference.size, self.reference.timezone)


def judge_volume(window: Window, rows: int, usual: UsualRows) -> Point:
    """One point of kind volume, `rows` against the usual. Inconclusive where too few windows are known."""
    statistic = TABLE_REGISTRY["volume"]
    found = usual.of(window.start)
    silence = len(usual.rows) >= FEWEST and rows == 0 and not found.here
    known = usual.rows if silence else found.known
    here = found.here or usual.rows
    result = statistic.compute(TableFacts(sum(here), usual_rows=known), TableFacts(rows))
    few = len(here)
    if result.value is None or not (found.here or (silence and min(here) > 0)):
        reason = result.reason
        if not found.here and len(usual.rows) >= FEWEST:
            reason = "no earlier window at this place of the week is known"
        text = f"rows of the window: {reason}"
        return Point(None, "volume", "volume", None, None, "inconclusive", few, rows, text, reason)
    deviation = float(result.details["spread"])
    limit = max(
        statistic.limit(result, WINDOW_ALPHA),
        math.log(FACTOR) / deviation,
        (found.reach + math.log(FACTOR)) / deviation if found.reach else 0.0,
    )
    if _chance(rows, here) > WINDOW_ALPHA / 2:
        limit = max(limit, result.value)
    middle = float(result.details["median"])
    silent = rows == 0 and min(here) > 0 and _chance(rows, here) <= WINDOW_ALPHA / 2
    fired = silent or (result.value > limit and rows > 0)
    text = (
        f"no prediction came, where {middle:,.0f} are usual"
        if silent
        else f"{rows:,} rows, where {middle:,.0f} are usual ({result.value:.1f} usual deviations, limit {limit:.1f})"
    )
    return Point(
        None, "volume", "volume", result.value, limit, "alarm" if fired else "ok", few, rows, text,
        level="ticket" if fired else None, details=dict(result.details),
    )  # fmt: skip


def _chance(rows: int, usual: Sequence[int]) -> float:
    """P of so few or so many rows if all windows had one Poisson law: given their sum, binomial."""
    total, part = rows + sum(usual), 1 / (len(usual) + 1)
    if rows * len(usual) <= sum(usual):
        return float(bdtr(rows, total, part))
    return float(bdtrc(rows - 1, total, part))


def _logs(rows: Sequence[int]) -> list[float]:
    return [math.log(max(n, 0.5)) for n in rows]


def count_usual(moments: Any, windows: Sequence[Window], size: str, timezone: str) -> UsualRows:
    """The rows of whole windows, from the times of rows (n,). The first and the last may be cut off."""
    import numpy as np

    place = place_moments(moments, windows)
    rows = np.bincount(place, minlength=len(windows))[: len(windows)]
    whole = slice(1, -1) if len(windows) > 2 else slice(0, 0)
    return UsualRows(
        tuple(window.start for window in windows[whole]), tuple(int(n) for n in rows[whole]), size, timezone
    )
