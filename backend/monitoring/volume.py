"""Whether a window has as many rows as windows of its kind usually have.

Usual are the reference's own windows of that size at the same place of the week (the same hour of the week, else the
same hour; the same weekday), where there are at least five of them; otherwise all of its windows. A window that ended
without any row where usual ones had some is said to be silent. At most a ticket: too little traffic is no bad model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from backend.monitoring.evaluate import Point
from backend.monitoring.statistics import TABLE_REGISTRY, TableFacts
from backend.monitoring.windows import Window, place_moments, season_of

FEWEST = 5
WINDOW_ALPHA = 0.001
FACTOR = 2.0
"""Half the usual rows or double matter in practice; less is the weather of traffic."""


@dataclass(frozen=True)
class UsualRows:
    """Rows of the reference's own windows, in order of time."""

    starts: tuple[datetime, ...]
    rows: tuple[int, ...]
    size: str
    timezone: str

    def of(self, start: datetime) -> tuple[int, ...]:
        """Those that a window starting at `start` is compared with."""
        for season in (
            ("hour_of_week", "hour") if self.size == "1h" else ("weekday",) if self.size == "1d" else ()
        ):
            wanted = season_of(start, season, self.timezone)
            found = tuple(
                rows
                for at, rows in zip(self.starts, self.rows, strict=True)
                if season_of(at, season, self.timezone) == wanted
            )
            if len(found) >= FEWEST:
                return found
        return self.rows


def judge_volume(window: Window, rows: int, usual: UsualRows) -> Point:
    """One point of kind volume, `rows` against the usual. Inconclusive where fewer than five windows are known."""
    statistic = TABLE_REGISTRY["volume"]
    known = usual.of(window.start)
    result = statistic.compute(TableFacts(sum(known), usual_rows=known), TableFacts(rows))
    reference_rows = len(known)
    if result.value is None:
        text = f"rows of the window: {result.reason}"
        return Point(
            None, "volume", "volume", None, None, "inconclusive", reference_rows, rows, text, result.reason
        )
    limit = statistic.limit(result, WINDOW_ALPHA)
    median = float(result.details["median"])
    silent = rows == 0 and min(known) > 0
    felt = abs(math.log(float(result.details["ratio"]))) >= math.log(FACTOR)
    fired = silent or (result.value > limit and felt and rows > 0)
    text = (
        f"no prediction came, where {median:,.0f} are usual"
        if silent
        else f"{rows:,} rows, where {median:,.0f} are usual ({result.value:.1f} usual deviations, limit {limit:.1f})"
    )
    return Point(
        None, "volume", "volume", result.value, limit, "alarm" if fired else "ok", reference_rows, rows, text,
        level="ticket" if fired else None, details=dict(result.details),
    )  # fmt: skip


def count_usual(moments: Any, windows: Sequence[Window], size: str, timezone: str) -> UsualRows:
    """The rows of whole windows, from the times of rows (n,). The first and the last may be cut off."""
    import numpy as np

    place = place_moments(moments, windows)
    rows = np.bincount(place, minlength=len(windows))[: len(windows)]
    whole = slice(1, -1) if len(windows) > 2 else slice(0, 0)
    return UsualRows(
        tuple(window.start for window in windows[whole]), tuple(int(n) for n in rows[whole]), size, timezone
    )
