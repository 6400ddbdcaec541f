"""The verdicts on the windows of a synthetic model, by the functions that judge real ones.

Drift and quality. The value of every window is computed; its limit is taken once for a version and a number of rows, by
`judge_columns` over every default statistic, since what chance can do takes longest to find out. An ordinary model has
the stability index and the missing rate of each column, a dense one every default statistic.

Performance. Each metric is the reference's, moved by chance and by the fall, and judged as any other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np

from backend.monitoring.budget import window_alpha
from backend.monitoring.columns import ModelSpec
from backend.monitoring.estimation import METRICS_OF, Estimate
from backend.monitoring.evaluate import PAGE_RATE, Level, Point
from backend.monitoring.falls import judge_estimates, judge_realised
from backend.monitoring.label_lag import Hearing, hear_labels, wait_for_labels
from backend.monitoring.performance import DEFINITIONS, PRIMARY, Metric, Performance
from backend.monitoring.profiles import Profile
from backend.monitoring.references import Reference
from backend.monitoring.statistics import REGISTRY, Result, Statistic, compute, statistics_for
from backend.monitoring.tables import JUDGED
from backend.monitoring.thresholds import WINDOW_ALPHA, Decision, describe, describe_constant
from backend.monitoring.verdicts import judge_columns
from backend.monitoring.windows import Window
from jobs.fleet.figures import DAY, Figures, Real, Whole, start_of
from jobs.fleet.plan import FleetPlan, ModelPlan
from jobs.fleet.references import Shared, values_of

ORDINARY: Final = ("psi", "missing_rate")
REALISED: Final = {
    "binary": ("roc_auc", "accuracy", "precision", "recall", "f1", "log_loss"),
    "regression": ("mae", "rmse", "mape", "r2"),
}
DIGITS: Final = 9


@dataclass(frozen=True)
class Judge:
    """One version of one model: what its windows hold, its reference, its spec, and the limits of its columns."""

    plan: FleetPlan
    model: ModelPlan
    shared: Shared
    reference: Reference
    spec: ModelSpec
    figures: Figures

    @cached_property
    def decisions(self) -> Mapping[tuple[str, str], tuple[Statistic, Decision]]:
        """{(column, statistic): how an ordinary, unmoved window is judged}."""
        return _decisions(self.shared, self.model.rows)

    @cached_property
    def stability(self) -> Real:
        """(days, columns) the population stability index; NaN where nothing came."""
        return _stability(self.shared, self.reference, self.figures)

    def points(self, day: int) -> Iterator[Point]:
        """Every point of a window that has rows."""
        yield from self._of_columns(day)
        yield from self._of_performance(day)

    def hearing(self, day: int) -> Hearing:
        rows = int(self.figures.rows[day])
        return hear_labels(
            wait_for_labels(self.reference.label_lag, self.spec.label_delay_s), end=start_of(self.plan, day) + DAY,
            rows=rows, known=int(self.figures.labelled[day]), absent=0, labelled=self.reference.labelled,
            now=self.plan.until,
        )  # fmt: skip

    def _of_columns(self, day: int) -> Iterator[Point]:
        figures, rows = self.figures, int(self.figures.rows[day])
        for place, column in enumerate(self.spec.columns):
            missing, counts = int(figures.missing[day, place]), figures.counts[day, place]
            before = self.reference.profiles[column.name]
            current = profile_of(self.shared, column.name, counts, missing) if self.model.dense else None
            for name in [s.name for s in statistics_for(column.kind)] if self.model.dense else ORDINARY:
                if (column.name, name) not in self.decisions:
                    continue
                if current is not None:
                    result = compute(REGISTRY[name], before, current)
                elif name == "psi":
                    result = Result(self.stability[day, place], before.known, rows - missing)
                else:
                    facts = {"reference_rate": before.missing / before.rows}
                    result = Result(missing / rows, before.rows, rows, None, facts)
                yield self._judged(column.name, name, result)

    def _judged(self, column: str, name: str, result: Result) -> Point:
        statistic, decision = self.decisions[column, name]
        limit = decision.limit
        value = None if result.value is None else round(float(result.value), DIGITS)
        result = replace(result, value=value)
        if limit is None or value is None:
            reason = result.reason or decision.reason or "it cannot be judged"
            verdict, text = "inconclusive", f"{statistic.title} of {column}: {reason}"
        else:
            reason = None
            verdict = "alarm" if (value < limit.value if limit.below else value > limit.value) else "ok"
            text = describe_constant(column, result) if name == "constant_value" else describe(
                statistic, column, result, limit
            )  # fmt: skip
        importance = self.reference.importances.shares.get(column)
        return Point(
            column, name, statistic.family, value, None if limit is None else round(limit.value, DIGITS),
            verdict, result.rows_reference, result.rows_current, text, reason,  # type: ignore[arg-type]
            level=self._level(statistic, result) if verdict == "alarm" else None, importance=importance,
        )  # fmt: skip

    def _level(self, statistic: Statistic, result: Result) -> Level:
        broken = statistic.family == "quality" and "reference_rate" in result.details
        grave = broken and float(result.value or 0.0) - float(result.details["reference_rate"]) >= PAGE_RATE
        return "page" if grave else "ticket"

    def _of_performance(self, day: int) -> Iterator[Point]:
        rows, labelled = int(self.figures.rows[day]), int(self.figures.labelled[day])
        primary, task = PRIMARY[self.spec.task], self.spec.task
        baseline = self.reference.baseline(self.spec.window)
        seconds = DAY.total_seconds()
        hearing = self.hearing(day)
        metrics = {
            name: self._metric(day, name, place, labelled) for place, name in enumerate(REALISED[task])
        }
        share = labelled / rows
        realised = judge_realised(
            baseline, Performance(metrics, rows, labelled, 0, share), primary=primary,
            alpha=window_alpha(self.spec, seconds, None, "realised"), min_labels=self.spec.min_labels,
            may_page=hearing.may_page,
        )  # fmt: skip
        for point in realised:
            hushed = not hearing.speaks and point.verdict in JUDGED
            yield _rounded(
                replace(point, verdict="inconclusive", level=None, reason=hearing.reason,
                        text=f"{point.text}: {hearing.reason}") if hushed else point
            )  # fmt: skip
        window = Window(start_of(self.plan, day), start_of(self.plan, day) + DAY)
        estimates = []
        for place, name in enumerate(METRICS_OF[task]):
            one = self._metric(day, name, 8 + place, rows)
            if one.value is not None and one.se is not None:
                band = 3 * one.se
                estimates.append(
                    Estimate(window, name, one.value, one.value - band, one.value + band, rows, se=one.se)
                )
        for point in judge_estimates(
            baseline, estimates, primary=primary, alpha=window_alpha(self.spec, seconds, None, "estimated"),
            error={}, trusted=self.reference.trusted, min_rows=self.spec.min_rows,
        ):  # fmt: skip
            yield _rounded(point)

    def _metric(self, day: int, name: str, place: int, rows: int) -> Metric:
        """The reference's metric in so many rows, as deep as the model has fallen."""
        then = self.reference.performance.metrics[name]
        if rows == 0:
            return Metric(None, None, None, 0, "no label has come")
        if then.value is None or then.se is None:
            return Metric(None, None, None, rows, then.reason)
        definition = DEFINITIONS[name]
        worst = definition.worst_acceptable(then.value)
        away = 0.0 if worst is None else (worst - then.value) * float(self.figures.depth[day])
        error = then.se * math.sqrt(then.rows / rows)
        value = then.value + away + error * float(self.figures.noise[day, place])
        return Metric(value, value - 1.96 * error, value + 1.96 * error, rows, None, error)


def _rounded(point: Point) -> Point:
    """Without the last bits, which depend on the processor."""

    def short(value: float | None) -> float | None:
        return None if value is None else round(float(value), DIGITS)

    details = {**point.details}
    if "reference" in details:
        details["reference"] = short(details["reference"])
    return replace(
        point, value=short(point.value), low=short(point.low), high=short(point.high),
        threshold=short(point.threshold), details=details,
    )  # fmt: skip


def _stability(shared: Shared, reference: Reference, figures: Figures) -> Real:
    found = np.full(figures.missing.shape, np.nan)
    there = figures.rows > 0
    measure = REGISTRY["psi"].measure
    if measure is None:
        raise LookupError("the stability index has no vectorised form")
    for place, column in enumerate(shared.spec.columns):
        profile = reference.profiles[column.name]
        cells = shared.cells[column.name]
        found[there, place] = measure(
            profile.grid, profile.counts[cells], figures.counts[there, place, : cells.size]
        )
    return found


def profile_of(shared: Shared, column: str, counts: Whole, missing: int) -> Profile:
    """The profile of a column whose values came so often, in the order of `Shared.cells`."""
    before = shared.reference.profiles[column]
    cells = shared.cells[column]
    filled = np.zeros(before.grid.cells, dtype=np.int64)
    filled[cells] = counts[: cells.size]
    rows = int(filled.sum()) + missing
    if before.grid.kind != "numeric":
        there = sorted(
            str(before.grid.values[at]) for at in np.flatnonzero(filled[: len(before.grid.values)])
        )
        ends = (there[0], there[-1]) if there else (None, None)
        return Profile(before.grid, rows, filled, null=missing, low=ends[0], high=ends[1])
    values = values_of(next(one for one in shared.spec.columns if one.name == column))
    met = values[counts > 0]
    return Profile(
        before.grid, rows, filled, null=missing, total=round(float(counts @ values), DIGITS),
        squares=round(float(counts @ values**2), DIGITS),
        low=float(met[0]) if met.size else None, high=float(met[-1]) if met.size else None,
    )  # fmt: skip


_KNOWN: dict[tuple[str, str, int, int], Mapping[tuple[str, str], tuple[Statistic, Decision]]] = {}


def _decisions(shared: Shared, rows: int) -> Mapping[tuple[str, str], tuple[Statistic, Decision]]:
    """How a window of so many rows is judged that is distributed as the reference is; known for the next model."""
    key = (shared.digest, shared.spec.task, shared.version, rows)
    if key not in _KNOWN:
        current = {}
        for column in shared.spec.columns:
            before = shared.reference.profiles[column.name]
            share = before.counts[shared.cells[column.name]] / before.known
            counts = np.floor(share * rows).astype(np.int64)
            counts[0] += rows - int(counts.sum())
            current[column.name] = profile_of(shared, column.name, counts, 0)
        pairs = [
            (column.name, statistic)
            for column in shared.spec.columns
            for statistic in statistics_for(column.kind)
            if not (column.name == "prediction" and statistic.name == "constant_value")
        ]
        found = judge_columns(
            pairs, shared.reference.profiles, current, error=WINDOW_ALPHA, min_rows=shared.spec.min_rows
        )
        _KNOWN[key] = {(one.column, one.statistic.name): (one.statistic, one.decision) for one in found}
    return _KNOWN[key]
