"""Whether a window performs worse than the reference: beyond what matters in practice, and beyond chance.

A fall alarms when it exceeds both

    the margin     of the metric's definition: 0.02 of AUC and its like, 10 % of an error or a loss
    z · se         z ≥ 3 standard errors, from the false-alarm budget (`backend.monitoring.budget`); se joins the
                   window's and the reference's sampling error, and for an estimate also how far estimates were off
                   on reference rows the estimator had not seen

The primary metric pages (an estimate of it, where the labels would say the same with 80 %); every other metric is a
ticket. What cannot be said is inconclusive and raises nothing.

Where a handful of rows make up most of a metric (`performance.handful`), on either side, it is judged without them
too, by the same limits, since one wild label hides every fall. The point says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal

from backend.monitoring.budget import LEAST_SIGMA, sigmas
from backend.monitoring.columns import MIN_LABELS
from backend.monitoring.estimation import Estimate
from backend.monitoring.evaluate import Level, Point
from backend.monitoring.performance import DEFINITIONS, Metric, Performance

FEWEST_WINDOWS = 5
_HALF_WIDTH = 1.959963984540054
OF_SIZE = frozenset({"ece"})
"""Metrics that are larger in fewer rows by chance alone: only windows of the same size say what is usual."""
LIKELY = 0.8416212335729143
"""An estimate pages where what comes is beyond the limit with 80 %: so many standard errors beyond it itself."""
_SUMS = {"mae": "MAE", "mape": "MAPE", "rmse": "squared errors", "r2": "squared errors"}
_ESTIMATE_BAND = 3.0
"""NannyML's bands are ± 3 sampling errors."""


@dataclass(frozen=True)
class Baseline:
    """What each metric of a window is held against.

    windows  metrics for which the reference's own windows of this size count, because their mean differs from the
             metric of all rows by more than matters in practice. All rows promise what no window can keep (the AUC
             of many days pooled is helped by the differences between days); the mean of own windows forgives what
             was bad in the reference already. The baseline lies halfway. Elsewhere all rows say it best
    """

    metrics: Mapping[str, Metric]
    windows: frozenset[str]


def take_baseline(pooled: Performance, own: Mapping[str, Sequence[float]]) -> Baseline:
    """From the reference's rows together, and each metric in its own windows of one size.

    The standard error is that of the pooled rows: how much windows differ from each other is no uncertainty about
    the reference, and a window that falls by that much is as bad as the reference's worst.
    """
    metrics, windows = dict(pooled.metrics), set()
    for name in OF_SIZE & metrics.keys():
        metrics[name] = Metric(None, None, None, metrics[name].rows, "it depends on the number of rows, and the "
                               "reference has too few windows of this size")  # fmt: skip
    for name, metric in pooled.metrics.items():
        values = own.get(name, ())
        if len(values) < FEWEST_WINDOWS or metric.value is None or name not in DEFINITIONS:
            continue
        acceptable = DEFINITIONS[name].worst_acceptable(metric.value)
        mean, error = fmean(values), standard_error(metric) or 0.0
        if acceptable is None or (
            name not in OF_SIZE and abs(mean - metric.value) <= abs(acceptable - metric.value)
        ):
            continue
        half, mean = _HALF_WIDTH * error, mean if name in OF_SIZE else (mean + metric.value) / 2
        metrics[name] = Metric(mean, mean - half, mean + half, metric.rows, metric.reason, error, metric.rest)
        windows.add(name)
    return Baseline(metrics, frozenset(windows))


def standard_error(metric: Metric) -> float | None:
    """The metric's own, else half its interval in units of 1.96."""
    if metric.se is not None:
        return metric.se
    if metric.low is None or metric.high is None:
        return None
    return (metric.high - metric.low) / (2 * _HALF_WIDTH)


def judge_realised(
    baseline: Baseline,
    current: Performance,
    *,
    primary: str,
    alpha: float,
    min_labels: int = MIN_LABELS,
    may_page: bool = True,
    label_unit: str = "",
) -> list[Point]:
    """A point for every metric that both sides have.

    alpha      chance that an unchanged window pages by this kind of evidence (`budget.window_alpha`)
    may_page   False while too few of the labels have come to speak for the window: a fall is then a ticket
    label_unit  in what the label is measured, for the sentence
    """
    share = current.label_completeness
    about = "no label is expected" if share is None else f"{share:.0%} labelled so far"
    points = []
    others = max(len(current.metrics) - 1, 1)  # together they may err as often as the primary one
    for name, now in current.metrics.items():
        then = baseline.metrics.get(name)
        if then is None or name not in DEFINITIONS:
            continue
        level: Level = "page" if name == primary and may_page else "ticket"
        part = alpha if name == primary else alpha / others
        point, rest = (
            _point(
                "realised",
                name,
                one,
                other,
                standard_error(other),
                part,
                min_labels,
                about,
                level,
                label_unit,
            )
            for one, other in ((then, now), (_without_few(then), _without_few(now)))
        )
        points.append(_tell_few(point, rest, name, then, now) if then.rest or now.rest else point)
    return points


def _without_few(metric: Metric) -> Metric:
    rest = metric.rest
    return (
        metric if rest is None else Metric(rest.value, rest.low, rest.high, rest.rows, metric.reason, rest.se)
    )


def _tell_few(point: Point, rest: Point, name: str, then: Metric, now: Metric) -> Point:
    """The point of all rows, or of those without the few where only these tell a fall; both say what the few are."""
    subject = _SUMS.get(name, DEFINITIONS[name].title.lower())
    told = [
        f"{where}{one.left:,} of {one.left + one.rows:,} rows {'makes' if one.left == 1 else 'make'} up "
        f"{'over 99.9 %' if one.share > 0.9995 else f'{one.share * 100:.1f} %'} of the {subject}"
        for where, one in (("", now.rest), ("in the reference ", then.rest))
        if one is not None
    ]
    # What both sides are without them: alone, either would be held against something else.
    left = sum(one.left for one in (now.rest, then.rest) if one is not None)
    values = [f"{one.value:.4g}" for one in (_without_few(now), _without_few(then)) if one.value is not None]
    words = f"{'; '.join(told)}; without {'it' if left == 1 else 'them'} {' against '.join(values)}"
    if rest.verdict == "alarm" and point.verdict != "alarm":
        details = {**rest.details, "all_rows": now.value, "rows_left_out": now.rest.left if now.rest else 0}
        return replace(rest, text=f"{rest.text}; {words}", reason=words, details=details)
    return replace(point, text=f"{point.text}; {words}", reason=point.reason or words)


def judge_estimates(
    baseline: Baseline,
    estimates: Sequence[Estimate],
    *,
    primary: str,
    alpha: float,
    error: Mapping[str, float],
    trusted: frozenset[str],
    min_rows: int,
    distrust: str | None = None,
    broken: str | None = None,
    label_unit: str = "",
) -> list[Point]:
    """A point for every estimate.

    error      {metric: how far estimates were off on held-out reference rows}, joined to the sampling error
    trusted    metrics whose estimates may page (`assess`)
    distrust   why the estimator may not page at present: its track record on this model's own windows
    broken     which column that the model reads is broken (`inputs.find_broken_input`): its scores say nothing then
    """
    points = []
    for estimate in estimates:
        then = baseline.metrics.get(estimate.metric)
        if then is None or estimate.metric not in DEFINITIONS:
            continue
        known = estimate.metric in trusted and distrust is None
        about = "estimated without labels"
        if not known:
            about += f", by an estimator not trusted here{f': {distrust}' if distrust else ''}"
        now = Metric(estimate.value, estimate.low, estimate.high, estimate.rows, estimate.reason)
        if broken is not None and now.value is not None:
            points.append(_doubtful(estimate.metric, then, now, broken))
            continue
        band = None
        if estimate.low is not None and estimate.high is not None:
            sampling = estimate.se or (estimate.high - estimate.low) / (2 * _ESTIMATE_BAND)
            band = math.hypot(sampling, error.get(estimate.metric, 0.0))
        level: Level = "page" if known and estimate.metric == primary else "ticket"
        points.append(
            _point("estimated", estimate.metric, then, now, band, alpha, min_rows, about, level, label_unit)
        )
    return points


def _doubtful(name: str, then: Metric, now: Metric, broken: str) -> Point:
    reason = f"the estimate is not to be trusted: {broken}"
    details = {"reference": then.value, "reference_low": then.low, "reference_high": then.high}
    return Point(None, name, "estimated", now.value, None, "inconclusive", then.rows, now.rows,
                 f"estimated {name}: {reason}", reason, now.low, now.high, None, details)  # fmt: skip


def _point(
    family: Literal["realised", "estimated"],
    name: str,
    then: Metric,
    now: Metric,
    error: float | None,
    alpha: float,
    min_rows: int,
    about: str,
    level: Level,
    label_unit: str,
) -> Point:
    definition = DEFINITIONS[name]
    unit = f" {label_unit}" if label_unit and definition.unit == "label" else ""
    details = {"reference": then.value, "reference_low": then.low, "reference_high": then.high}

    def without(reason: str) -> Point:
        text = f"{family} {name}: {reason} ({about})"
        return Point(None, name, family, now.value, None, "inconclusive", then.rows, now.rows, text, reason,
                     now.low, now.high, None, details)  # fmt: skip

    if now.value is None:
        return without(now.reason or "there is no value")
    if then.value is None:
        return without(f"the reference has no {name}: {then.reason}")
    if now.rows < min_rows:
        return without(
            f"{now.rows} {'labelled ' if family == 'realised' else ''}rows and {min_rows} are needed"
        )
    if then.rows < min_rows:
        return without(f"the reference has {then.rows} labelled rows and {min_rows} are needed")
    acceptable = definition.worst_acceptable(then.value)
    if acceptable is None or definition.lower_is_better is None:
        values = f"{now.value:.3f}{unit}, in the reference {then.value:.3f}{unit}"
        text = f"{family} {name} {values}, {now.rows:,} rows, {about}"
        return Point(None, name, family, now.value, None, "ok", then.rows, now.rows, text, None,
                     now.low, now.high, None, details)  # fmt: skip
    if error is None:
        return without(now.reason or "its uncertainty is unknown")
    sign = 1.0 if definition.lower_is_better else -1.0
    chance = max(sigmas(alpha), LEAST_SIGMA) * math.hypot(error, standard_error(then) or 0.0)
    limit = then.value + sign * max(abs(acceptable - then.value), chance)
    if definition.unit == "share" and not 0 <= limit <= 1:
        return without("so few rows that no value could be told from chance")
    worse = sign * (now.value - limit) > 0
    if family == "estimated" and sign * (now.value - limit) <= LIKELY * error:
        level = "ticket"
    moved = f"from {then.value:.3f} to {now.value:.3f}{unit} (limit {limit:.3f}{unit})"
    text = f"{family} {name} {moved}, {now.rows:,} rows, {about}"
    return Point(
        None, name, family, now.value, limit, "alarm" if worse else "ok", then.rows, now.rows, text, None,
        now.low, now.high, level if worse else None, details,
    )  # fmt: skip
