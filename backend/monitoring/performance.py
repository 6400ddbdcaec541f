"""Realised performance of a binary classifier in one window, each number with a 95 % interval.

    roc_auc              DeLong's variance (by midranks, Sun and Xu 2014); Wilson's when it is 0 at AUC 1
    accuracy, precision, recall   Wilson's score interval
    f1, ece              percentile bootstrap of the confusion counts, and of the counts per score bin
    log_loss, brier      mean of per-row losses ± 1.96 standard errors

ECE: Σ share of bin · |mean score − share of positives| over 10 equal-width bins. Log loss clips scores at 1e-15.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from backend.errors import BadInput

Floats = npt.NDArray[np.float64]

METRICS = ("roc_auc", "log_loss", "brier", "accuracy", "precision", "recall", "f1", "ece")
LOWER_IS_BETTER = frozenset({"log_loss", "brier", "ece"})
Z = 1.959963984540054
DRAWS = 500
ECE_BINS = 10
CLIP = 1e-15

_WORDS = {"1": 1.0, "1.0": 1.0, "true": 1.0, "0": 0.0, "0.0": 0.0, "false": 0.0}


@dataclass(frozen=True)
class Metric:
    """A value with its 95 % interval, or the reason why it is undefined."""

    value: float | None
    low: float | None
    high: float | None
    rows: int
    reason: str | None = None


@dataclass(frozen=True)
class Performance:
    """All metrics of a window.

    rows                predictions in the window
    known               of these, with a label
    label_completeness  known / (rows − will_not_come); None when no label is to be expected
    """

    metrics: Mapping[str, Metric]
    rows: int
    known: int
    will_not_come: int
    label_completeness: float | None


def measure_performance(
    score: Any,
    prediction: Any | None,
    label: Any,
    *,
    will_not_come: int = 0,
    cutoff: float = 0.5,
    positive: Any = None,
) -> Performance:
    """Realised performance.

    score       (n,) probability of the positive class; null or NaN when there is none
    prediction  (n,) predicted class; None: the score against `cutoff`
    label       (n,) true class, null while unknown. 0/1, booleans, or text of these; with `positive` any value
    will_not_come   rows whose label is known never to come; their labels are null

    Raises `BadInput` on labels that are not binary and on arrays of different lengths.
    """
    y = read_classes(label, positive, "label")
    p = _numbers(score)
    if prediction is None:
        hat = np.where(np.isnan(p), np.nan, (p >= cutoff).astype(np.float64))
    else:
        hat = read_classes(prediction, positive, "prediction")
    if not y.size == p.size == hat.size:
        raise BadInput(f"score, prediction and label have {p.size}, {hat.size} and {y.size} rows")
    known = ~np.isnan(y)
    scored, classed = known & ~np.isnan(p), known & ~np.isnan(hat)
    metrics = {**_from_scores(p[scored], y[scored]), **_from_classes(hat[classed], y[classed])}
    count = int(known.sum())
    expected = int(y.size) - will_not_come
    return Performance(
        metrics={name: metrics[name] for name in METRICS},
        rows=int(y.size),
        known=count,
        will_not_come=will_not_come,
        label_completeness=min(count / expected, 1.0) if expected > 0 else None,
    )


def read_classes(values: Any, positive: Any, name: str) -> Floats:
    """Classes (n,) as 1, 0 and NaN (unknown). Raises `BadInput` on a value that is neither."""
    raw = values.to_pylist() if hasattr(values, "to_pylist") else list(values)
    if positive is not None:
        wanted = str(positive)
        return np.array([np.nan if _unknown(v) else float(str(v) == wanted) for v in raw], dtype=np.float64)
    classes = np.empty(len(raw))
    for row, value in enumerate(raw):
        if _unknown(value):
            classes[row] = np.nan
            continue
        number = _WORDS.get(str(value).strip().lower())
        if number is None:
            raise BadInput(f"{name}, row {row}: {value!r} is not 0 or 1; name the positive class")
        classes[row] = number
    return classes


def wilson(hits: float, rows: float) -> tuple[float, float]:
    """Wilson's 95 % score interval of a rate."""
    rate, z2 = hits / rows, Z * Z
    centre = (rate + z2 / (2 * rows)) / (1 + z2 / rows)
    half = Z / (1 + z2 / rows) * math.sqrt(rate * (1 - rate) / rows + z2 / (4 * rows * rows))
    return max(centre - half, 0.0), min(centre + half, 1.0)


def roc_auc(score: Floats, label: Floats) -> Metric:
    """Area under the ROC curve of scores (n,) and labels 0/1 (n,), ties counted half, with DeLong's interval."""
    ones, zeros = score[label == 1], score[label == 0]
    m, n = ones.size, zeros.size
    if m == 0 or n == 0:
        return _undefined(score.size, _one_class(m, n))
    ranks = rankdata(np.concatenate([ones, zeros]))
    area = float((ranks[:m].sum() - m * (m + 1) / 2) / (m * n))
    above = (ranks[:m] - rankdata(ones)) / n
    below = 1 - (ranks[m:] - rankdata(zeros)) / m
    variance = (above.var(ddof=1) / m if m > 1 else 0.0) + (below.var(ddof=1) / n if n > 1 else 0.0)
    if variance <= 0 or m == 1 or n == 1:
        rows = min(m, n)
        low, high = wilson(area * rows, rows)
        return Metric(area, min(low, area), max(high, area), score.size)
    half = Z * math.sqrt(variance)
    return Metric(area, max(area - half, 0.0), min(area + half, 1.0), score.size)


def _from_scores(p: Floats, y: Floats) -> dict[str, Metric]:
    if not p.size:
        return dict.fromkeys(
            ("roc_auc", "log_loss", "brier", "ece"), _undefined(0, "no row has score and label")
        )
    metrics = {"roc_auc": roc_auc(p, y)}
    if np.any((p < 0) | (p > 1)):
        outside = _undefined(p.size, "some scores are not probabilities between 0 and 1")
        return {**metrics, **dict.fromkeys(("log_loss", "brier", "ece"), outside)}
    clipped = np.clip(p, CLIP, 1 - CLIP)
    metrics["log_loss"] = _mean_loss(-(y * np.log(clipped) + (1 - y) * np.log1p(-clipped)))
    metrics["brier"] = _mean_loss((p - y) ** 2)
    metrics["ece"] = _calibration_error(p, y)
    return metrics


def _from_classes(hat: Floats, y: Floats) -> dict[str, Metric]:
    if not y.size:
        reason = "no row has prediction and label"
        return dict.fromkeys(("accuracy", "precision", "recall", "f1"), _undefined(0, reason))
    cells = np.array([np.sum((hat == a) & (y == b)) for a in (1, 0) for b in (1, 0)], dtype=np.int64)
    tp, fp, fn, tn = (int(c) for c in cells)
    rows = int(y.size)
    return {
        "accuracy": _rate(tp + tn, rows, rows, ""),
        "precision": _rate(tp, tp + fp, rows, "nothing was predicted positive"),
        "recall": _rate(tp, tp + fn, rows, "no label is positive"),
        "f1": _f1(cells, rows),
    }


def _f1(cells: npt.NDArray[np.int64], rows: int) -> Metric:
    tp, fp, fn, _ = (int(c) for c in cells)
    if tp + fn == 0 or tp + fp == 0:
        return _undefined(rows, "no label is positive" if tp + fn == 0 else "nothing was predicted positive")
    drawn = np.random.default_rng(rows).multinomial(rows, cells / rows, size=DRAWS)
    below = np.maximum(2 * drawn[:, 0] + drawn[:, 1] + drawn[:, 2], 1)
    low, high = np.quantile(2 * drawn[:, 0] / below, [0.025, 0.975])
    return Metric(2 * tp / (2 * tp + fp + fn), float(low), float(high), rows)


def _calibration_error(p: Floats, y: Floats) -> Metric:
    bins = np.minimum((p * ECE_BINS).astype(np.int64), ECE_BINS - 1)
    rows = np.bincount(bins, minlength=ECE_BINS).astype(np.float64)
    positives = np.bincount(bins, weights=y, minlength=ECE_BINS)
    means = np.bincount(bins, weights=p, minlength=ECE_BINS) / np.maximum(rows, 1)

    def error(positive: npt.NDArray[Any], negative: npt.NDArray[Any]) -> Floats:
        return np.asarray(np.abs(means * (positive + negative) - positive).sum(axis=-1) / p.size)

    cells = np.concatenate([positives, rows - positives]) / p.size
    drawn = np.random.default_rng(p.size).multinomial(p.size, cells / cells.sum(), size=DRAWS)
    low, high = np.quantile(error(drawn[:, :ECE_BINS], drawn[:, ECE_BINS:]), [0.025, 0.975])
    value = float(error(positives, rows - positives))
    return Metric(value, min(float(low), value), max(float(high), value), p.size)


def _mean_loss(losses: Floats) -> Metric:
    value = float(losses.mean())
    if losses.size < 2:
        return Metric(value, None, None, losses.size, "one row has no interval")
    half = Z * float(losses.std(ddof=1)) / math.sqrt(losses.size)
    return Metric(value, max(value - half, 0.0), value + half, losses.size)


def _rate(hits: int, of: int, rows: int, reason: str) -> Metric:
    return Metric(hits / of, *wilson(hits, of), rows) if of else _undefined(rows, reason)


def _undefined(rows: int, reason: str) -> Metric:
    return Metric(None, None, None, rows, reason)


def _one_class(positives: int, negatives: int) -> str:
    if positives + negatives == 0:
        return "no row has score and label"
    only = "positive" if positives else "negative"
    return f"all {positives + negatives} labels are {only}; the curve needs both classes"


def _numbers(values: Any) -> Floats:
    raw = values.to_pylist() if hasattr(values, "to_pylist") else list(values)
    return np.array([np.nan if _unknown(v) else float(v) for v in raw], dtype=np.float64)


def _unknown(value: Any) -> bool:
    """None, NaN and pandas' NA, which are the values that do not equal themselves."""
    if value is None or type(value).__name__ == "NAType":
        return True
    return isinstance(value, float | np.floating) and math.isnan(value)
