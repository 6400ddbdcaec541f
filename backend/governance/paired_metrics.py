"""The difference of a metric between two versions on the same rows, with a paired bootstrap interval.

A resample draws rows, and both versions are measured on the same draw, so that what makes rows hard for both cancels.
A draw is a vector of how often each row was drawn; every metric here is a function of such weights, which makes a
thousand draws of five thousand rows a matter of a second. With all weights 1 each equals
`backend.monitoring.performance`'s value; a test holds them together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from backend.governance.pairs import Answers, Floats, PairedRows
from backend.monitoring.columns import ModelSpec, Task
from backend.monitoring.performance import DEFINITIONS, class_name, read_classes

RESAMPLES: Final = 1000
SEED: Final = 20260301
Measure = Callable[[Floats], float]  # (n,) weights -> value; NaN where it is undefined

PRIMARY: Final[Mapping[Task, str]] = {"binary": "roc_auc", "multiclass": "accuracy", "regression": "mae"}
_OF_TASK: Final[Mapping[Task, tuple[str, ...]]] = {
    "binary": ("roc_auc", "log_loss", "brier", "accuracy", "precision", "recall", "f1", "value_per_prediction"),
    "multiclass": ("accuracy", "top_brier", "value_per_prediction"),
    "regression": ("mae", "rmse", "mape", "quantile_loss"),
}  # fmt: skip
METRICS: Final = tuple(dict.fromkeys(name for names in _OF_TASK.values() for name in names))


@dataclass(frozen=True)
class Difference:
    """candidate - champion on the same rows, in the metric's unit, with a percentile interval.

    `reason` says why there is none; then the numbers are None.
    """

    metric: str
    rows: int
    before: float | None = None
    after: float | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str = ""


def metrics_of(task: Task) -> tuple[str, ...]:
    """The metrics that can be compared for this task; `value_per_prediction` needs a cost matrix."""
    return _OF_TASK[task]


def compare(
    spec: ModelSpec, pairs: PairedRows, metric: str = "", *, level: float = 0.95, resamples: int = RESAMPLES
) -> Difference:
    """The difference of `metric` (default: the task's primary one) over the rows with a label.

    Percentile bootstrap over rows (Efron & Tibshirani 1993, ch. 13), the same draws for both versions. A draw in which
    the metric is undefined for either is left out; where that is more than one in twenty there is no interval.
    """
    metric = metric or PRIMARY[spec.task]
    known = np.flatnonzero(pairs.labelled)
    if metric not in _OF_TASK[spec.task]:
        return Difference(
            metric, len(known),
            reason=f"{metric} cannot be compared for a {spec.task} model; there are {', '.join(_OF_TASK[spec.task])}",
        )  # fmt: skip
    if metric == "value_per_prediction" and not spec.costs:
        return Difference(metric, len(known), reason="the model's spec has no cost matrix")
    if not len(known):
        return Difference(metric, 0, reason="no label is known")
    try:
        sides = [_measure(spec, metric, pairs, side, known) for side in (pairs.before, pairs.after)]
    except _Undefined as error:
        return Difference(metric, len(known), reason=str(error))
    whole = np.ones(len(known))
    before, after = (side(whole) for side in sides)
    if not np.isfinite([before, after]).all():
        return Difference(metric, len(known), reason=f"{metric} is undefined on these rows")
    draw = np.random.default_rng(SEED)
    chances = np.full(len(known), 1 / len(known))
    found = np.empty(resamples)
    for number in range(resamples):
        weights = draw.multinomial(len(known), chances).astype(np.float64)
        found[number] = sides[1](weights) - sides[0](weights)
    found = found[np.isfinite(found)]
    if len(found) < 0.95 * resamples:
        return Difference(
            metric, len(known), before, after, after - before,
            reason=f"{metric} is undefined in {resamples - len(found)} of {resamples} resamples: too few rows of it",
        )  # fmt: skip
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return Difference(metric, len(known), before, after, after - before, float(low), float(high))


class _Undefined(Exception):
    """Why a metric has no value on these rows."""


def _measure(spec: ModelSpec, metric: str, pairs: PairedRows, side: Answers, known: np.ndarray) -> Measure:
    label, prediction, score = pairs.label[known], side.prediction[known], side.score[known]
    if spec.task == "regression":
        return _regression(spec, metric, _numbers(label, "label"), _numbers(prediction, "prediction"))
    if spec.task == "multiclass":
        truth, chosen = _names(label), _names(prediction)
        return _chosen(spec, metric, truth, chosen, score)
    y = read_classes(list(label), spec.positive, "label")
    if metric in ("roc_auc", "log_loss", "brier"):
        if not np.isfinite(score).all():
            raise _Undefined("a version gave no score")
        return _ranked(y, score) if metric == "roc_auc" else _mean(_losses(metric, y, score))
    hat = read_classes(list(prediction), None, "prediction")
    if metric in ("accuracy", "value_per_prediction"):
        names = np.array(["0", "1"], dtype=object)
        return _chosen(spec, metric, names[y.astype(int)], names[hat.astype(int)], score)
    right = {"precision": (hat, y), "recall": (y, hat)}
    if metric in right:
        of, hit = right[metric]
        return lambda w: _share((w * of * hit).sum(), (w * of).sum())
    return lambda w: _share(2 * (w * hat * y).sum(), (w * hat).sum() + (w * y).sum())  # f1


def _chosen(spec: ModelSpec, metric: str, truth: np.ndarray, chosen: np.ndarray, score: Floats) -> Measure:
    right = (truth == chosen).astype(np.float64)
    if metric == "accuracy":
        return _mean(right)
    if metric == "top_brier":
        return _mean((score - right) ** 2)
    worth = {(class_name(guess), class_name(true)): value for guess, true, value in spec.costs}
    nothing = float("nan")  # an outcome without a value is left out
    values = np.array([worth.get((str(a), str(b)), nothing) for a, b in zip(chosen, truth, strict=True)])
    priced = np.isfinite(values)
    return lambda w: _share((w * np.where(priced, values, 0.0)).sum(), (w * priced).sum())


def _regression(spec: ModelSpec, metric: str, y: Floats, guess: Floats) -> Measure:
    error = guess - y
    if metric == "mae":
        return _mean(np.abs(error))
    if metric == "rmse":
        square = _mean(error**2)
        return lambda w: float(np.sqrt(square(w)))
    if metric == "mape":
        there = y != 0
        relative = np.abs(error) / np.where(there, np.abs(y), 1.0)
        return lambda w: _share((w * there * relative).sum(), (w * there).sum())
    return _mean(np.maximum(-spec.quantile * error, (1 - spec.quantile) * error))


def _mean(values: Floats) -> Measure:
    return lambda w: _share((w * values).sum(), w.sum())


def _share(part: Any, whole: Any) -> float:
    return float(part / whole) if whole else float("nan")


def _losses(metric: str, y: Floats, p: Floats) -> Floats:
    if metric == "brier":
        return (p - y) ** 2
    clipped = np.clip(p, 1e-15, 1 - 1e-15)
    found: Floats = -(y * np.log(clipped) + (1 - y) * np.log1p(-clipped))
    return found


def _ranked(y: Floats, score: Floats) -> Measure:
    """Area under the ROC curve of weighted rows: pairs in the right order, ties half."""
    order = np.argsort(score, kind="stable")
    sorted_score, positive = score[order], y[order]
    starts = np.flatnonzero(np.r_[True, sorted_score[1:] != sorted_score[:-1]])

    def area(weights: Floats) -> float:
        w = weights[order]
        up = np.add.reduceat(w * positive, starts)
        down = np.add.reduceat(w * (1 - positive), starts)
        below = np.cumsum(down) - down
        return _share((up * (below + down / 2)).sum(), up.sum() * down.sum())

    return area


def _numbers(values: np.ndarray, what: str) -> Floats:
    try:
        return np.array([float(value) for value in values], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise _Undefined(f"a {what} is no number: {error}") from error


def _names(values: np.ndarray) -> np.ndarray:
    return np.array([class_name(value) for value in values], dtype=object)


def worst_allowed(metric: str, margin: float | None, champion: float) -> float:
    """How much worse the candidate may be, as a positive number in the metric's unit."""
    definition = DEFINITIONS[metric]
    if margin is not None:
        return margin
    step = definition.margin or 0.0
    return step * abs(champion) if definition.relative else step
