"""Whether a window performs worse than the reference: beyond what matters in practice, and beyond chance.

A fall alarms when it exceeds both

    the margin     of the metric's definition: 0.02 of AUC and its like, 10 % of an error or a loss
    z · se         z ≥ 3 standard errors, from the false-alarm budget (`backend.monitoring.budget`); se joins the
                   window's and the reference's sampling error, and for an estimate also how far estimates were off
                   on reference rows the estimator had not seen

Both are asked of the metric of all reference rows. Where the reference's own windows are usually worse than that by
more than the margin, a window must be worse than is usual by the margin, too (`Baseline.usual`).

The primary metric pages (an estimate of it, where the labels would say the same with 80 %); every other metric is a
ticket. What cannot be said is inconclusive and raises nothing.

Where a handful of rows make up most of a metric (`performance.handful`), on either side, it is judged without them
too, by the same limits, since one wild label hides every fall; R², which such a label makes 0 with hardly an error, is
judged without them alone. The point says so.

What a window's own standard error does not know, the reference does (`_error`): of R² in windows that by luck
have none of the large labels, of the calibration error in windows of few rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, stdev
from typing import Literal

from backend.monitoring.budget import LEAST_SIGMA, sigmas
from backend.monitoring.columns import MIN_LABELS
from backend.monitoring.estimation import Estimate
from backend.monitoring.evaluate import Level, Point
from backend.monitoring.performance import DEFINITIONS, Metric, Performance, lies_beyond

FEWEST_WINDOWS = 5
_HALF_WIDTH = 1.959963984540054
OF_SIZE = frozenset({"ece"})
"""Metrics that are larger in fewer rows by chance alone: only windows of the same size say what is usual."""
OF_VARIATION = frozenset({"r2"})
"""Metrics that are held against the variation of the window's own labels, of which few rows may know too little."""
LIKELY = 0.8416212335729143
"""An estimate pages where what comes is beyond the limit with 80 %: so many standard errors beyond it itself."""
_SUMS = {"mae": "MAE", "mape": "MAPE", "rmse": "squared errors", "r2": "squared errors"}
_ESTIMATE_BAND = 3.0
"""NannyML's bands are ± 3 sampling errors."""


@dataclass(frozen=True)
class OwnWindows:
    """A metric in the reference's own windows: their labelled rows (median), and its standard deviation."""

    rows: float
    spread: float


@dataclass(frozen=True)
class Baseline:
    """What each metric of a window is held against: the metric of all reference rows.

    usual  {metric: mean over the reference's own windows of this size}, where it is worse than that by more than
           matters in practice: all rows then promise what no window can keep (the AUC of many days pooled is helped
           by the differences between days). A window must be worse than this, too, by what matters. What chance
           does is asked of all rows alone: asked of both, one gap would be counted twice
    own    {metric: how it varies in those windows}, where a window's own standard error knows too little
    """

    metrics: Mapping[str, Metric]
    usual: Mapping[str, float] = field(default_factory=dict)
    own: Mapping[str, OwnWindows] = field(default_factory=dict)


def take_baseline(
    pooled: Performance, own: Mapping[str, Sequence[float]], rows: Mapping[str, float] | None = None
) -> Baseline:
    """From the reference's rows together, and each metric in its own windows of one size.

    rows    {metric: labelled rows of such a window, their median}

    The standard error is that of the pooled rows: how much windows differ from each other is no uncertainty about
    the reference, and a window that falls by that much is as bad as the reference's worst.
    """
    metrics, usual, spreads = dict(pooled.metrics), {}, {}
    for name in OF_SIZE & metrics.keys():
        metrics[name] = Metric(None, None, None, metrics[name].rows, "it depends on the number of rows, and the "
                               "reference has too few windows of this size")  # fmt: skip
    for name, metric in pooled.metrics.items():
        values = own.get(name, ())
        if len(values) < FEWEST_WINDOWS or metric.value is None or name not in DEFINITIONS:
            continue
        mean = fmean(values)
        if rows and name in rows and name in OF_SIZE | OF_VARIATION:
            spreads[name] = OwnWindows(rows[name], stdev(values))
        if name in OF_SIZE:
            if name in spreads:
                error = spreads[name].spread / math.sqrt(len(values))
                half = _HALF_WIDTH * error
                metrics[name] = Metric(mean, mean - half, mean + half, metric.rows, metric.reason, error)
            continue
        acceptable = DEFINITIONS[name].worst_acceptable(metric.value)
        if acceptable is not None and lies_beyond(name, mean, acceptable):
            usual[name] = mean
    return Baseline(metrics, usual, spreads)


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
        own = baseline.own.get(name)
        if own is not None and name in OF_SIZE:
            then = _for_so_few(then, now, own)
        level: Level = "page" if name == primary and may_page else "ticket"
        part = alpha if name == primary else alpha / others
        point, rest = (
            _point(
                "realised",
                name,
                one,
                other,
                _error(name, one, other, own),
                part,
                min_labels,
                about,
                level,
                label_unit,
                usual,
            )
            for one, other, usual in (
                (then, now, baseline.usual.get(name)),
                (_without_few(then), _without_few(now), None if then.rest else baseline.usual.get(name)),
            )
        )
        points.append(_tell_few(point, rest, name, then, now) if then.rest or now.rest else point)
    return points


def _for_so_few(then: Metric, now: Metric, own: OwnWindows) -> Metric:
    """What the reference's own windows would have with as few labelled rows as this one, as 1 / √rows.

    So chance alone behaves; what is truly off does not grow, so the limit is at most too wide.
    """
    if then.value is None or then.se is None or not 0 < now.rows < own.rows:
        return then
    times = math.sqrt(own.rows / now.rows)
    mean, error = then.value * times, then.se * times
    return replace(
        then, value=mean, low=mean - _HALF_WIDTH * error, high=mean + _HALF_WIDTH * error, se=error
    )


def _error(name: str, then: Metric, now: Metric, own: OwnWindows | None) -> float | None:
    """The window's own standard error, and at least what the reference says of so many rows.

    That is the spread of its own windows, where they are known; of R², which a wild row of one of them may make too
    large, at most its error of all rows.
    """
    error, rows = standard_error(now), max(now.rows, 1)
    spread = math.inf if own is None else own.spread * math.sqrt(max(own.rows / rows, 1.0))
    if name in OF_VARIATION and error is not None:
        spread = min(spread, (standard_error(then) or 0.0) * math.sqrt(then.rows / rows))
    return error if math.isinf(spread) else max(error or 0.0, spread)


def _without_few(metric: Metric) -> Metric:
    rest = metric.rest
    return (
        metric if rest is None else Metric(rest.value, rest.low, rest.high, rest.rows, metric.reason, rest.se)
    )


def _tell_few(point: Point, rest: Point, name: str, then: Metric, now: Metric) -> Point:
    """The point of all rows, or of those without the few: of R², and where only these tell a fall.

    Both say what the few are.
    """
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
    if name in OF_VARIATION or (rest.verdict == "alarm" and point.verdict != "alarm"):
        details = {**rest.details, "all_rows": now.value, "rows_left_out": now.rest.left if now.rest else 0}
        return replace(rest, text=f"{rest.text}; {words}", reason=rest.reason or words, details=details)
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
            _point(
                "estimated",
                estimate.metric,
                then,
                now,
                band,
                alpha,
                min_rows,
                about,
                level,
                label_unit,
                baseline.usual.get(estimate.metric),
            )
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
    usual: float | None,
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
    lowest = None if usual is None else definition.worst_acceptable(usual)
    if lowest is not None and sign * (lowest - limit) > 0:
        limit = lowest
    if definition.unit == "share" and not 0 <= limit <= 1:
        return without("so few rows that no value could be told from chance")
    worse = sign * (now.value - limit) > 0
    if family == "estimated" and sign * (now.value - limit) <= LIKELY * error:
        level = "ticket"
    moved = f"from {then.value:.3f} to {now.value:.3f}{unit} (limit {limit:.3f}{unit})"
    text = f"{family} {name} {moved}, {now.rows:,} rows, {about}"
    if usual is not None:
        text += f"; the reference's own windows had {usual:.3f}{unit} on average"
    return Point(
        None, name, family, now.value, limit, "alarm" if worse else "ok", then.rows, now.rows, text, None,
        now.low, now.high, level if worse else None, details,
    )  # fmt: skip
