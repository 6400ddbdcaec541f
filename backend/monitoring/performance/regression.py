"""Realised performance of a regression.

mae, mape, bias, quantile_loss   mean of per-row values ± 1.96 standard errors
rmse                             delta method: se(MSE) / (2·RMSE), the interval on the log scale
r2                               infinitesimal jackknife

Each but the bias has a `rest` where a handful of rows are most of it (`handful`).
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from backend.monitoring.performance._core import Floats, Metric, undefined
from backend.monitoring.performance.binary import infinite_note
from backend.monitoring.performance.handful import with_rest
from backend.monitoring.performance.intervals import Z, mean_of

_NAMES = ("mae", "rmse", "mape", "r2", "bias", "quantile_loss")


def regression_metrics(prediction: Floats, label: Floats, *, quantile: float = 0.5) -> dict[str, Metric]:
    """Every metric of a regression, from predictions and labels (n,), NaN where unknown.

    quantile    what the model predicts of its target: the pinball loss is taken at it
    """
    known = ~np.isnan(prediction) & ~np.isnan(label)
    finite = known & np.isfinite(prediction) & np.isfinite(label)
    note = infinite_note(int(known.sum() - finite.sum()), "prediction or label")
    guess, y = prediction[finite], label[finite]
    if not y.size:
        return dict.fromkeys(_NAMES, undefined(0, note or "no row has prediction and label"))
    error = guess - y
    size, square = np.abs(error), error**2
    pinball = np.maximum(-quantile * error, (1 - quantile) * error)
    found = {
        "mae": _mean(size),
        "rmse": with_rest(_rmse(error), square, lambda kept: _rmse(error[kept])),
        "mape": _mape(error, y),
        "r2": with_rest(_r2(error, y), square, lambda kept: _r2(error[kept], y[kept])),
        "bias": mean_of(error, floor=None),
        "quantile_loss": _mean(pinball),
    }
    if note is None:
        return found
    return {name: replace(m, reason=f"{m.reason}; {note}" if m.reason else note) for name, m in found.items()}


def _mean(losses: Floats, reason: str | None = None) -> Metric:
    return with_rest(
        mean_of(losses, reason=reason), losses, lambda kept: mean_of(losses[kept], reason=reason)
    )


def _rmse(error: Floats) -> Metric:
    squared = mean_of(error**2)
    value = math.sqrt(squared.value or 0.0)
    if squared.se is None:
        return replace(squared, value=value)
    if value == 0:
        return Metric(0.0, 0.0, 0.0, squared.rows, se=0.0)
    se = squared.se / (2 * value)
    spread = math.exp(min(Z * se / value, 700.0))
    return Metric(value, value / spread, value * spread, squared.rows, se=se)


def _mape(error: Floats, y: Floats) -> Metric:
    there = y != 0
    zeros = int(y.size - there.sum())
    note = f"{zeros} row{'s' if zeros > 1 else ''} with label 0 left out" if zeros else None
    if not there.any():
        return undefined(0, "every label is 0; a percentage of 0 has no meaning")
    return _mean(np.abs(error[there] / y[there]), note)


def _r2(error: Floats, y: Floats) -> Metric:
    around = (y - y.mean()) ** 2
    whole, left = float(around.sum()), float((error**2).sum())
    rows = int(y.size)
    if rows < 2 or whole <= 0:
        return undefined(rows, "every label is the same; there is no variation to explain")
    value = 1 - left / whole
    influence = -(error**2) / whole + left * around / whole**2
    se = math.sqrt(float((influence**2).sum()))
    return Metric(value, value - Z * se, min(value + Z * se, 1.0), rows, se=se)
