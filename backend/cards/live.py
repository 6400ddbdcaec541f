"""What telemetry says of a version over the last labelled days: window figures pooled, with an interval.

A pooled figure is the mean of the windows' figures, each weighted by its labelled rows: Σ wᵢ·xᵢ with wᵢ = nᵢ / Σ n.
A window's standard error is (high − low) / (2·1.96) of its 95 % interval; windows are taken as
independent, so the pooled one is √ Σ wᵢ²·seᵢ², and the interval ± 1.96 of it. For metrics that are no means (AUC, F1)
this is the mean of daily figures, not the figure of all rows at once; it is named so where it is shown.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, select

from backend.database.session import ReadSession
from backend.monitoring.tables import MetricPoint, WindowState

DAYS: Final = 30
_Z: Final = 1.959964


@dataclass(frozen=True)
class Pooled:
    """A figure over several windows. low, high: 95 %; rows: labelled; left_out: windows without a usable figure."""

    statistic: str
    segment: str
    value: float
    low: float
    high: float
    rows: int
    windows: int
    left_out: int
    start: datetime
    end: datetime


def pool_realised(
    session: ReadSession, *, model: str, environment: str, size: str, version: int, days: int = DAYS
) -> dict[tuple[str, str], Pooled]:
    """Realised figures of a version by (statistic, segment), over the `days` up to its newest labelled window.

    Empty where no window of the version has a realised figure. Labels come late, so the days are counted back from
    where they reach, not from today: whoever shows the figures says when that was.
    """
    of_version = (
        WindowState.model == model, WindowState.environment == environment, WindowState.size == size,
        WindowState.version == version, MetricPoint.kind == "realised",
    )  # fmt: skip
    newest = session.scalar(
        select(func.max(WindowState.end))
        .join(MetricPoint, MetricPoint.window_id == WindowState.id)
        .where(*of_version, MetricPoint.value.is_not(None))
    )
    if newest is None:
        return {}
    rows = session.execute(
        select(MetricPoint, WindowState)
        .join(WindowState, WindowState.id == MetricPoint.window_id)
        .where(*of_version, WindowState.end > newest - timedelta(days=days), WindowState.end <= newest)
    )
    found: dict[tuple[str, str], list[tuple[MetricPoint, WindowState]]] = defaultdict(list)
    for point, window in rows:
        found[point.statistic, point.segment].append((point, window))
    pooled = {key: _pool(*key, points) for key, points in found.items()}
    return {key: one for key, one in pooled.items() if one is not None}


def _pool(statistic: str, segment: str, points: Iterable[tuple[MetricPoint, WindowState]]) -> Pooled | None:
    every = list(points)
    usable = [
        (point.value, (point.high - point.low) / (2 * _Z), point.rows, window)
        for point, window in every
        if point.value is not None and point.low is not None and point.high is not None and point.rows > 0
    ]
    if not usable:
        return None
    rows = sum(one[2] for one in usable)
    value = sum(one[0] * one[2] for one in usable) / rows
    se = math.sqrt(sum((one[1] * one[2] / rows) ** 2 for one in usable))
    return Pooled(
        statistic, segment, value, value - _Z * se, value + _Z * se, rows, len(usable), len(every) - len(usable),
        min(one[3].start for one in usable), max(_reached(one[3]) for one in usable),
    )  # fmt: skip


def _reached(window: WindowState) -> datetime:
    """Up to when a window's figures are: to its end, or to when it was computed while it was not over."""
    return min(window.end, window.computed_at or window.end)
