"""Metrics of the validation rows, in numpy: a trainer's environment need not hold scikit-learn.

Equal to scikit-learn's roc_auc_score, log_loss, brier_score_loss, accuracy_score, mean_squared_error (its root),
mean_absolute_error and r2_score with the same weights.
"""

from __future__ import annotations

from typing import Final

import numpy as np

IN_UNIT: Final = ("rmse", "mae")  # of the target; the others have none
_SMALLEST: Final = 1e-15


def scores(
    task: str, target: np.ndarray, answer: np.ndarray, weight: np.ndarray | None = None
) -> dict[str, float]:
    """`answer`: probabilities (rows, classes), or values of a regression."""
    weight = np.ones(len(target)) if weight is None else weight
    if task == "regression":
        return _regression(target, np.asarray(answer, dtype="float64"), weight)
    chance = np.clip(np.asarray(answer, dtype="float64"), _SMALLEST, 1 - _SMALLEST)
    found = {"log_loss": -_mean(np.log(chance[np.arange(len(target)), target]), weight)}
    found["accuracy"] = _mean((chance.argmax(axis=1) == target).astype("float64"), weight)
    if task == "binary":
        found["roc_auc"] = roc_auc(target, chance[:, 1], weight)
        found["brier"] = _mean((chance[:, 1] - target) ** 2, weight)
    return found


def in_unit(found: dict[str, float], unit: float) -> dict[str, float]:
    """Metrics of a target that was divided by `unit`, as they are of the target itself."""
    return {name: one * unit if name in IN_UNIT else one for name, one in found.items()}


def roc_auc(target: np.ndarray, score: np.ndarray, weight: np.ndarray) -> float:
    """Weighted, ties count half; NaN where one class is absent."""
    rank = np.unique(score, return_inverse=True)[1]
    positive = np.bincount(rank, weights=weight * target)
    negative = np.bincount(rank, weights=weight * (1 - target))
    pairs = positive.sum() * negative.sum()
    below = np.cumsum(negative) - negative
    return float((positive * (below + negative / 2)).sum() / pairs) if pairs else float("nan")


def _regression(target: np.ndarray, answer: np.ndarray, weight: np.ndarray) -> dict[str, float]:
    error = answer - target
    squares = _mean(error**2, weight)
    spread = _mean((target - _mean(target, weight)) ** 2, weight)
    return {
        "rmse": squares**0.5,
        "mae": _mean(np.abs(error), weight),
        "r2": 1 - squares / spread if spread else float("nan"),
    }


def _mean(values: np.ndarray, weight: np.ndarray) -> float:
    return float(np.average(values, weights=weight))
