"""What one window amounts to: every statistic held against its limit, and what is worth telling a person.

Levels. Plain drift says that inputs moved, not that the model is worse: `ticket`. A break of data quality is
`page` when at least 10 points of the rows are affected (values outside the reference's range: only when they lie
far outside, as after a change of unit), else `ticket`. Performance pages when it is worse than the
reference's beyond both intervals and by a practical margin; estimated performance likewise, while its estimator is
trusted. An unknown is never a pass: it stays inconclusive and raises nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from backend.monitoring.columns import Column, ModelSpec
from backend.monitoring.profiles import Grid, Profile
from backend.monitoring.statistics import Result, Statistic, statistics_for
from backend.monitoring.thresholds import WINDOW_ALPHA, Noise, Verdict
from backend.monitoring.verdicts import Finding, judge_columns

Level = Literal["page", "ticket", "info"]
Family = Literal["drift", "quality", "realised", "estimated", "volume", "fairness", "attribution"]
LEVELS: tuple[Level, ...] = ("page", "ticket", "info")

PAGE_RATE = 0.10


@dataclass(frozen=True)
class Point:
    """One computed value of one window. `level` is set on alarms alone. `low`, `high`: its interval, if any.

    segment            "" for all rows, else "column=value"
    effect, effect_se  drift: points of the primary metric by which it is estimated to worsen; None where unknown
    importance         the column's share of all importance; None where unknown
    """

    column: str | None
    statistic: str
    family: Family
    value: float | None
    threshold: float | None
    verdict: Verdict
    rows_reference: int
    rows_current: int
    text: str
    reason: str | None = None
    low: float | None = None
    high: float | None = None
    level: Level | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    segment: str = ""
    effect: float | None = None
    effect_se: float | None = None
    importance: float | None = None


@dataclass(frozen=True)
class AlarmSummary:
    """What fired in a window: the highest level, one headline, and a line for each point, worst first."""

    level: Level
    headline: str
    lines: tuple[str, ...]
    points: tuple[Point, ...]


def evaluate_window(
    spec: ModelSpec,
    grids: Mapping[str, Grid],
    reference: Mapping[str, Profile],
    current: Mapping[str, Profile],
    *,
    noise: Noise | None = None,
    columns: Sequence[Column] | None = None,
) -> list[Point]:
    """A point for every statistic of every feature and output that has a grid.

    reference, current  profiles by column, on `grids`
    columns             instead of the spec's own: also those of segments, all under one error rate
    noise               values of the statistics in quiet windows (`reference_noise`, or past windows)
    """
    pairs: list[tuple[str, Statistic]] = [
        (column.name, statistic)
        for column in (spec.columns if columns is None else columns)
        if column.name in grids and column.name in reference and column.name in current
        for statistic in statistics_for(grids[column.name].kind)
        # One class for every row of a quiet hour is no break of data; the share of classes is looked at as drift.
        if not (column.name == "prediction" and statistic.name == "constant_value")
    ]
    found = judge_columns(pairs, reference, current, error=WINDOW_ALPHA, min_rows=spec.min_rows, noise=noise)
    return [_point(finding, with_noise=noise is not None) for finding in found]


def summarise(points: Sequence[Point]) -> AlarmSummary | None:
    """What fired, worst first; None when nothing did."""
    fired = sorted((p for p in points if p.verdict == "alarm"), key=rank)
    if not fired:
        return None
    # A column that moved fires in several statistics; each column is told once, by its worst.
    told: dict[tuple[str, str], Point] = {}
    for point in fired:
        told.setdefault((point.family, point.column or point.statistic), point)
    rest = len(told) - 1
    also = "" if not rest else f"; {rest} more finding{'s' if rest > 1 else ''}"
    worst = fired[0]
    return AlarmSummary(
        level=worst.level or "info",
        headline=worst.text + also,
        lines=tuple(point.text for point in told.values()),
        points=tuple(fired),
    )


def _point(finding: Finding, *, with_noise: bool) -> Point:
    column, statistic = finding.column, finding.statistic
    result, decision = finding.result, finding.decision
    level: Level | None = None
    if decision.verdict == "alarm":
        level = "page" if _breaks(statistic, result, with_noise=with_noise) else "ticket"
    details = {**result.details, "break": level == "page"}
    if decision.limit is not None:
        limit = decision.limit
        details["limit"] = {
            "floor": limit.floor,
            "null": limit.null,
            "noise": limit.noise,
            "basis": limit.basis,
            **({"below": True} if limit.below else {}),
        }
    return Point(
        column=column,
        statistic=statistic.name,
        family=statistic.family,
        value=result.value,
        threshold=decision.threshold,
        verdict=decision.verdict,
        rows_reference=result.rows_reference,
        rows_current=result.rows_current,
        text=decision.text,
        reason=decision.reason,
        level=level,
        details=details,
    )


def is_break(point: Point) -> bool:
    """Whether an alarm is a break of data quality that reaches far enough to wake someone."""
    return bool(point.details.get("break"))


def _breaks(statistic: Statistic, result: Result, *, with_noise: bool) -> bool:
    """Whether an alarm of this statistic is a break of data quality worth waking someone for."""
    if statistic.family != "quality" or result.value is None:
        return False
    if statistic.name == "constant_value":
        # A month or a campaign is constant too: without the reference's own windows one cannot tell.
        return with_noise and 1 - float(result.details["reference_share"]) >= PAGE_RATE
    if statistic.name == "out_of_range_rate" and not (result.details["far"] or result.details["infinite"]):
        return False
    return result.value - float(result.details["reference_rate"]) >= PAGE_RATE


def alarms_below(point: Point) -> bool:
    """Whether values below the threshold alarm: a rate that fell."""
    limit = point.details.get("limit")
    return bool(limit and limit.get("below"))


def excess_of(point: Point) -> float:
    """The value in units of its limit; of a rate that fell, the share of all other rows in units of its own."""
    value, limit = point.value or 0.0, point.threshold
    if limit is None:
        return math.inf
    if alarms_below(point):
        value, limit = 1 - value, 1 - limit
    return value / limit if limit else math.inf


def rank(point: Point) -> tuple[int, int, float]:
    level = LEVELS.index(point.level or "info")
    family = ("realised", "estimated", "fairness", "quality", "volume", "drift", "attribution").index(
        point.family
    )
    return level, family, -excess_of(point)
