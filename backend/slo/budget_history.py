"""How a budget went over time, and what a past month came to: from stored counts, without a clock of its own."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import accumulate

from backend.slo.burn_rates import Counts
from backend.slo.counting import moment
from backend.slo.objectives import Objective
from backend.slo.windows import Calendar

Steps = Mapping[int, Counts]
"""{second since 1970 at which a step begins: what was counted in it}"""


@dataclass(frozen=True)
class BudgetPoint:
    """The budget at `at`: of the period that ends there, or of the calendar's so far. None: no event in it."""

    at: datetime
    remaining: float | None
    counts: Counts  # of the step before `at`
    since: datetime  # where that step begins


def budget_series(
    objective: Objective, steps: Steps, *, step_s: int, start: datetime, end: datetime
) -> list[BudgetPoint]:
    """The remaining budget at the end of each step in (start, end], the last one at `end` itself. `steps` may be
    shorter than `step_s`, not longer."""
    starts = sorted(steps)
    sums = _Sums(starts, [steps[one] for one in starts])
    allowed = float(1 - Fraction(objective.target))
    points = []
    at = datetime.fromtimestamp(int(start.timestamp()) // step_s * step_s + step_s, UTC)
    while at < end + timedelta(seconds=step_s):
        shown = min(at, end)
        # A budget at the very end of a calendar period is that period's, not the next one's.
        first, _ = objective.window.bounds(shown - timedelta(seconds=1))
        period = sums.between(first.timestamp(), shown.timestamp())
        # Fractions of thousands of points would take longer than all else of the page.
        remaining = 1 - (period.total - period.good) / (allowed * period.total) if period.total > 0 else None
        since = at - timedelta(seconds=step_s)
        own = sums.between(since.timestamp(), shown.timestamp())
        points.append(BudgetPoint(shown, remaining, own, since))
        at += timedelta(seconds=step_s)
    return points


class _Sums:
    """Sums of steps between two moments, from running totals."""

    def __init__(self, starts: Sequence[int], counts: Sequence[Counts]) -> None:
        self._starts = starts
        self._totals = list(accumulate(counts, initial=Counts()))

    def between(self, first_s: float, last_s: float) -> Counts:
        """Steps that begin in [first_s, last_s)."""
        low = self._totals[bisect_left(self._starts, first_s)]
        high = self._totals[bisect_left(self._starts, last_s)]
        return Counts(
            high.good - low.good, high.total - low.total,
            high.observed_s - low.observed_s, high.excluded_s - low.excluded_s,
        )  # fmt: skip


@dataclass(frozen=True)
class MonthReport:
    """What a calendar month came to, in the objective's zone.

    met        whether the share that was good reached the target; None without events
    spent      share of the month's budget that was used; above 1 when overspent
    observed   share of the month in which the source was seen
    alerts     (level, fired, resolved) of each alert that fired in it
    """

    start: datetime
    end: datetime
    zone: str
    counts: Counts
    met: bool | None
    spent: float | None
    observed: float
    worst_day: datetime | None
    worst_day_bad: float
    alerts: tuple[tuple[str, datetime, datetime | None], ...]


def zone_of(objective: Objective) -> str:
    return objective.window.zone if isinstance(objective.window, Calendar) else "UTC"


def month_bounds(at: datetime, zone: str) -> tuple[datetime, datetime]:
    """The calendar month of a zone that holds a moment."""
    return Calendar("M", datetime(2026, 1, 1), zone).bounds(at)  # noqa: DTZ001 - a local time


def last_month(now: datetime, zone: str) -> tuple[datetime, datetime]:
    """The calendar month before the one that holds `now`."""
    start, _ = month_bounds(now, zone)
    return month_bounds(start - timedelta(hours=1), zone)


def report_month(
    objective: Objective, steps: Steps, bounds: tuple[datetime, datetime],
    alerts: Sequence[tuple[str, datetime, datetime | None]], *, until: datetime,
) -> MonthReport:  # fmt: skip
    """A month from counts in steps of an hour; of the present month what there is `until` now."""
    start, end = bounds
    mine = {at: one for at, one in steps.items() if start.timestamp() <= at < end.timestamp()}
    counts = sum(mine.values(), Counts())
    target = Fraction(objective.target)
    days: dict[datetime, float] = {}
    for at, one in mine.items():
        day, _ = Calendar("d", datetime(2026, 1, 1), zone_of(objective)).bounds(moment(at))  # noqa: DTZ001
        days[day] = days.get(day, 0.0) + float(one.bad)
    worst = max(days, key=lambda day: days[day], default=None)
    passed_s = max(1.0, (min(end, until) - start).total_seconds())
    return MonthReport(
        start, end, zone_of(objective), counts,
        met=None if counts.error is None else 1 - counts.error >= target,
        spent=None if counts.error is None else float(counts.error / (1 - target)),
        observed=min(1.0, (counts.observed_s + counts.excluded_s) / passed_s),
        worst_day=worst if worst is not None and days[worst] > 0 else None,
        worst_day_bad=days[worst] if worst is not None else 0.0,
        alerts=tuple(one for one in alerts if start <= one[1] < end),
    )  # fmt: skip
