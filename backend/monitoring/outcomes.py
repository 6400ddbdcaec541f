"""Performance metrics as functions of weighted outcomes, so that rows can be reweighted and outcomes replaced.

Every row has a point (what the model said) and an outcome: the label 0 or 1 of a binary classifier, whether a
multiclass answer was right, the error of a regression. A row counts with a mass of outcome `a` and of its complement
`b`; for one observed row of weight w: a = w · outcome, b = w · (1 − outcome). Then

    mean metrics   (Σ a ℓ₁ + Σ b ℓ₀) / Σ (a + b), ℓ₁ and ℓ₀ the row's loss under either outcome
    rmse           the root of such a mean
    roc_auc        Σ a_i b_j [s_i > s_j] / (Σ a · Σ b), ties counted half
    precision, recall, f1   from the masses of the rows predicted positive

Fractional outcomes give the value to expect when each label is only known as a probability, as NannyML's CBPE does.
`gradient` is the influence function (Hampel 1974): its squares summed over rows are the squared standard error,
which for roc_auc is DeLong's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backend.errors import BadInput
from backend.monitoring.cells import read_floats
from backend.monitoring.columns import Task
from backend.monitoring.performance._core import read_categories, read_classes

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

CLIP = 1e-15
METRICS: dict[Task, tuple[str, ...]] = {
    "binary": ("roc_auc", "accuracy", "log_loss", "brier", "precision", "recall", "f1"),
    "multiclass": ("accuracy",),
    "regression": ("mae", "rmse", "mse", "mape"),
}
LOWER_IS_BETTER = frozenset({"log_loss", "brier", "mae", "rmse", "mse", "mape"})
FROM_SCORES = frozenset({"roc_auc", "log_loss", "brier"})


@dataclass(frozen=True)
class Outcomes:
    """The rows of one data set on which a metric can be measured.

    usable    (n,) rows of the data set that have output and label; the other arrays hold these m rows only
    point     (m,) score or predicted class (binary); zero elsewhere, where it plays no part
    outcome   (m,) label 0/1, right 0/1, or error
    rows      n
    """

    metric: str
    usable: Mask
    point: Floats
    outcome: Floats

    @property
    def rows(self) -> int:
        return int(self.usable.size)

    @property
    def known(self) -> int:
        return int(self.outcome.size)

    @property
    def two_valued(self) -> bool:
        return bool(np.all((self.outcome == 0) | (self.outcome == 1)))

    def value(self) -> float | None:
        """The realised metric, None when it is undefined."""
        return measure(self.metric, self.point, self.outcome, 1 - self.outcome)


def read_outcomes(
    task: Task,
    metric: str,
    *,
    score: Any,
    prediction: Any,
    label: Any,
    cutoff: float = 0.5,
    positive: Any = None,
) -> Outcomes:
    """Rows with output and label. Rows that lack either, or whose score is no finite number, are not usable.

    score       (n,) binary: probability of the positive class; None elsewhere
    prediction  (n,) class or number; None: the score against `cutoff`
    label       (n,) true class or number, null while unknown

    Raises `BadInput` on a metric that the task does not have and on labels that are not binary.
    """
    if metric not in METRICS[task]:
        raise BadInput(f"{metric} is not a metric of a {task} model; choose from {', '.join(METRICS[task])}")
    if task == "regression":
        return _regression(metric, read_floats(prediction), read_floats(label))
    if task == "multiclass":
        return _multiclass(metric, prediction, label)
    y = read_classes(label, positive, "label")
    if metric in FROM_SCORES or prediction is None:
        point = read_floats(score)
        usable = np.isfinite(point) & ~np.isnan(y)
        if metric in ("log_loss", "brier") and np.any((point[usable] < 0) | (point[usable] > 1)):
            usable[:] = False  # some scores are no probabilities: the metric is undefined, not partly defined
        if metric not in FROM_SCORES:
            point = (point >= cutoff).astype(np.float64)
    else:
        point = read_classes(prediction, positive, "prediction")
        usable = ~np.isnan(point) & ~np.isnan(y)
    return Outcomes(metric, usable, point[usable], y[usable])


def worse_by(metric: str, before: float, after: float) -> float:
    """How much worse `after` is than `before`, in points of the metric; negative when it is better."""
    return after - before if metric in LOWER_IS_BETTER else before - after


def measure(metric: str, point: Floats, a: Floats, b: Floats) -> float | None:
    """The metric of rows with these masses, or None when it is undefined (no mass, or of one class only)."""
    if metric == "roc_auc":
        positive, negative = float(a.sum()), float(b.sum())
        if positive <= 0 or negative <= 0:
            return None
        _, place = np.unique(point, return_inverse=True)
        at, of = np.bincount(place, weights=a), np.bincount(place, weights=b)
        below = np.cumsum(of) - of / 2
        return float(np.dot(at, below) / (positive * negative))
    if metric in ("precision", "recall", "f1"):
        numerator, denominator = _ratio(metric, point, a, b)
        return numerator / denominator if denominator > 0 else None
    total = float(a.sum() + b.sum())
    if total <= 0:
        return None
    one, zero = _losses(metric, point)
    mean = float((np.dot(a, one) + np.dot(b, zero)) / total)
    return float(np.sqrt(max(mean, 0.0))) if metric == "rmse" else mean


def gradient(metric: str, point: Floats, a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Derivatives (n,) of the metric by each row's masses `a` and `b`. The metric must be defined."""
    value = measure(metric, point, a, b)
    if value is None:
        raise ValueError(f"{metric} is undefined on these rows and has no derivative")
    if metric == "roc_auc":
        positive, negative = float(a.sum()), float(b.sum())
        _, place = np.unique(point, return_inverse=True)
        at, of = np.bincount(place, weights=a), np.bincount(place, weights=b)
        below = np.cumsum(of) - of / 2
        above = positive - (np.cumsum(at) - at / 2)
        scale = positive * negative
        return (below[place] - value * negative) / scale, (above[place] - value * positive) / scale
    if metric in ("precision", "recall", "f1"):
        _, denominator = _ratio(metric, point, a, b)
        hit = point == 1
        if metric == "precision":
            return np.where(hit, 1 - value, 0.0) / denominator, np.where(hit, -value, 0.0) / denominator
        if metric == "recall":
            return np.where(hit, 1 - value, -value) / denominator, np.zeros_like(point)
        return (
            np.where(hit, 2 - 2 * value, -value) / denominator,
            np.where(hit, -value, 0.0) / denominator,
        )
    one, zero = _losses(metric, point)
    total = float(a.sum() + b.sum())
    if metric == "rmse":
        scale = 2 * max(value, 1e-12) * total
        return (one - value**2) / scale, (zero - value**2) / scale
    return (one - value) / total, (zero - value) / total


def _ratio(metric: str, point: Floats, a: Floats, b: Floats) -> tuple[float, float]:
    hit = point == 1
    true, false, missed = float(a[hit].sum()), float(b[hit].sum()), float(a[~hit].sum())
    if metric == "precision":
        return true, true + false
    if metric == "recall":
        return true, true + missed
    return 2 * true, 2 * true + false + missed


def _losses(metric: str, point: Floats) -> tuple[Floats, Floats]:
    """ℓ₁, ℓ₀ (n,): what a row adds when its outcome is 1 or 0."""
    if metric == "log_loss":
        clipped = np.clip(point, CLIP, 1 - CLIP)
        return -np.log(clipped), -np.log1p(-clipped)
    if metric == "brier":
        return (point - 1) ** 2, point**2
    if metric == "accuracy":
        return point.astype(np.float64), 1 - point
    return np.ones_like(point), np.zeros_like(point)


def _regression(metric: str, prediction: Floats, label: Floats) -> Outcomes:
    usable = np.isfinite(prediction) & np.isfinite(label)
    if metric == "mape":
        usable &= label != 0
    error = np.abs(prediction[usable] - label[usable])
    if metric in ("rmse", "mse"):
        error = error**2
    elif metric == "mape":
        error = error / np.abs(label[usable])
    return Outcomes(metric, usable, np.zeros_like(error), error)


def _multiclass(metric: str, prediction: Any, label: Any) -> Outcomes:
    (said, names), (truth, classes) = read_categories(prediction), read_categories(label)
    if said.size != truth.size:
        raise BadInput(f"prediction and label have {said.size} and {truth.size} rows")
    usable = (said >= 0) & (truth >= 0)
    place = {name: code for code, name in enumerate(classes)}
    same = np.array([place.get(name, -1) for name in names] or [-1], dtype=np.int64)
    right = (same[said[usable]] == truth[usable]).astype(np.float64)
    # The point is the class 1 of `_losses`: an answer that is right counts 1 whatever its class.
    return Outcomes(metric, usable, np.ones_like(right), right)
