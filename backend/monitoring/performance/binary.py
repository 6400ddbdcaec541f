"""Realised performance of a binary classifier in one window, each number with a 95 % interval.

    roc_auc              DeLong's variance; Wilson's when it is 0 at AUC 1
    average_precision    infinitesimal jackknife, on the logit scale
    accuracy, precision, recall   Wilson's score interval
    f1                   percentile bootstrap of the confusion counts
    ece                  from what chance alone makes of it (`calibration_error`)
    log_loss, brier      mean of per-row losses ± 1.96 standard errors

ECE: Σ share of bin · |mean score − share of positives| over 10 equal-width bins. Log loss clips scores at 1e-15.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from backend.errors import BadInput
from backend.monitoring.performance._core import (
    Codes,
    Floats,
    Metric,
    Performance,
    completeness,
    read_classes,
    read_numbers,
    undefined,
)
from backend.monitoring.performance.intervals import Ranking, Z, bounded, mean_of, rate, wilson

METRICS = ("roc_auc", "log_loss", "brier", "accuracy", "precision", "recall", "f1", "ece")
"""What `measure_performance` gives. `measure` gives every metric of the registry."""

DRAWS = 500
ECE_BINS = 10
CLIP = 1e-15


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
    p, hat, y = read_binary(score, prediction, label, cutoff=cutoff, positive=positive)
    metrics = binary_metrics(p, hat, y)
    known = int((~np.isnan(y)).sum())
    return Performance(
        metrics={name: metrics[name] for name in METRICS},
        rows=int(y.size),
        known=known,
        will_not_come=will_not_come,
        label_completeness=completeness(known, int(y.size), will_not_come),
    )


def read_binary(
    score: Any | None, prediction: Any | None, label: Any, *, cutoff: float, positive: Any
) -> tuple[Floats, Floats, Floats]:
    """Scores, predicted classes and labels, each (n,) with NaN where unknown; a missing column is all NaN."""
    y = read_classes(label, positive, "label")
    p = read_numbers(score) if score is not None else np.full(y.size, np.nan)
    if prediction is None:
        hat = np.where(np.isnan(p), np.nan, (p >= cutoff).astype(np.float64))
    else:
        hat = read_classes(prediction, positive, "prediction")
    if not y.size == p.size == hat.size:
        raise BadInput(f"score, prediction and label have {p.size}, {hat.size} and {y.size} rows")
    return p, hat, y


def binary_metrics(p: Floats, hat: Floats, y: Floats) -> dict[str, Metric]:
    """Every metric of a binary classifier, from what `read_binary` gives."""
    known = ~np.isnan(y)
    classed = known & ~np.isnan(hat)
    return {**_from_scores(p[known], y[known]), **_from_classes(hat[classed], y[classed])}


def roc_auc(score: Floats, label: Floats) -> Metric:
    """Area under the ROC curve of scores (n,) and labels 0/1 (n,), ties counted half, with DeLong's interval."""
    return area_of(Ranking(score, label))


def area_of(ranking: Ranking) -> Metric:
    m, n = int(ranking.positives), int(ranking.negatives)
    if m == 0 or n == 0:
        return undefined(ranking.rows, _one_class(m, n))
    area, variance = ranking.area()
    se = math.sqrt(variance) if variance > 0 else None
    if variance <= 0 or m == 1 or n == 1:
        rows = min(m, n)
        low, high = wilson(area * rows, rows)
        return Metric(area, min(low, area), max(high, area), ranking.rows, se=None if rows == 1 else se)
    half = Z * math.sqrt(variance)
    return Metric(area, max(area - half, 0.0), min(area + half, 1.0), ranking.rows, se=se)


def calibration_error(p: Floats, y: Floats) -> Metric:
    """Expected calibration error of probabilities (n,) of events 0/1 (n,), n > 0.

    It is a sum of absolute values, so chance raises it: its interval goes down by what calibrated scores of these
    bins exceed in 2.5 of 100 samples, and up by 1.96 standard errors of the signed sums.
    """
    bins = np.minimum((p * ECE_BINS).astype(np.int64), ECE_BINS - 1)
    rows = np.bincount(bins, minlength=ECE_BINS).astype(np.float64)
    positives = np.bincount(bins, weights=y, minlength=ECE_BINS)
    expected = np.bincount(bins, weights=p, minlength=ECE_BINS)
    by_chance = np.sqrt(np.bincount(bins, weights=p * (1 - p), minlength=ECE_BINS)) / p.size
    seen = np.sqrt(positives * (rows - positives) / np.maximum(rows, 1)) / p.size
    signed = (expected - positives) / p.size
    drawn = np.random.default_rng(p.size).normal(size=(DRAWS, ECE_BINS))
    value = float(np.abs(signed).sum())
    low = value - float(np.quantile(np.abs(drawn * by_chance).sum(axis=1), 0.975))
    high = value + Z * math.sqrt(float((seen**2).sum()))
    true = np.sqrt(np.maximum(signed**2 - seen**2, 0))  # without what chance adds to a square
    se = float(np.abs(true + drawn * seen).sum(axis=1).std())
    return Metric(value, max(low, 0.0), high, p.size, se=se or None)


def log_losses(p: Floats, y: Floats) -> Floats:
    clipped = np.clip(p, CLIP, 1 - CLIP)
    return np.asarray(-(y * np.log(clipped) + (1 - y) * np.log1p(-clipped)))


def infinite_note(infinite: int, of: str) -> str | None:
    """What to say of rows left out for an infinite number, or None."""
    if not infinite:
        return None
    return f"{infinite} row{'s' if infinite > 1 else ''} with an infinite {of} left out"


_SCORED = ("roc_auc", "average_precision", "log_loss", "brier", "ece")


def _from_scores(p: Floats, y: Floats) -> dict[str, Metric]:
    finite = np.isfinite(p)
    note = infinite_note(int(np.isinf(p).sum()), "score")
    p, y = p[finite], y[finite]
    if not p.size:
        return dict.fromkeys(_SCORED, undefined(0, note or "no row has score and label"))
    ranking = Ranking(p, y)
    metrics = {"roc_auc": area_of(ranking), "average_precision": _average_precision(ranking)}
    if np.any((p < 0) | (p > 1)):
        outside = undefined(p.size, "some scores are not probabilities between 0 and 1")
        metrics |= dict.fromkeys(("log_loss", "brier", "ece"), outside)
    else:
        metrics["log_loss"] = mean_of(log_losses(p, y))
        metrics["brier"] = mean_of((p - y) ** 2)
        metrics["ece"] = calibration_error(p, y)
    if note is None:
        return metrics
    return {
        name: replace(m, reason=f"{m.reason}; {note}" if m.reason else note) for name, m in metrics.items()
    }


def _average_precision(ranking: Ranking) -> Metric:
    if not ranking.positives:
        return undefined(ranking.rows, _one_class(0, int(ranking.negatives)))
    value, se = ranking.average_precision()
    found = bounded(value, se, int(ranking.positives))
    return replace(found, rows=ranking.rows)


def _from_classes(hat: Floats, y: Floats) -> dict[str, Metric]:
    if not y.size:
        reason = "no row has prediction and label"
        return dict.fromkeys(("accuracy", "precision", "recall", "f1"), undefined(0, reason))
    cells = np.array([np.sum((hat == a) & (y == b)) for a in (1, 0) for b in (1, 0)], dtype=np.int64)
    tp, fp, fn, tn = (int(c) for c in cells)
    rows = int(y.size)
    return {
        "accuracy": rate(tp + tn, rows, rows, ""),
        "precision": rate(tp, tp + fp, rows, "nothing was predicted positive"),
        "recall": rate(tp, tp + fn, rows, "no label is positive"),
        "f1": _f1(cells, rows),
    }


def _f1(cells: Codes, rows: int) -> Metric:
    tp, fp, fn, _ = (int(c) for c in cells)
    if tp + fn == 0 or tp + fp == 0:
        return undefined(rows, "no label is positive" if tp + fn == 0 else "nothing was predicted positive")
    drawn = np.random.default_rng(rows).multinomial(rows, cells / rows, size=DRAWS)
    below = np.maximum(2 * drawn[:, 0] + drawn[:, 1] + drawn[:, 2], 1)
    values = 2 * drawn[:, 0] / below
    low, high = np.quantile(values, [0.025, 0.975])
    return Metric(2 * tp / (2 * tp + fp + fn), float(low), float(high), rows, se=float(values.std()) or None)


def _one_class(positives: int, negatives: int) -> str:
    if positives + negatives == 0:
        return "no row has score and label"
    only = "positive" if positives else "negative"
    return f"all {positives + negatives} labels are {only}; the curve needs both classes"
