"""Business value: what each outcome is worth, per prediction and in total.

The spec's `costs` give the worth of (predicted class, true class); gains are positive, costs negative. Outcomes that
are not there have no worth and are left out, which the metric says. The interval is of the mean of per-row values;
the total is that mean times the rows with prediction and label, so it does not speak for rows without a label.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from backend.monitoring.performance._core import Codes, Metric, undefined
from backend.monitoring.performance.intervals import mean_of

Costs: TypeAlias = tuple[tuple[str, str, float], ...]


def value_metrics(costs: Costs, label: Codes, prediction: Codes, names: Sequence[str]) -> dict[str, Metric]:
    """Value per prediction and in total, from codes (n,) into `names`, −1 where unknown. Binary: "0" and "1"."""
    both = (label >= 0) & (prediction >= 0)
    rows = int(both.sum())
    if not rows:
        none = undefined(0, "no row has prediction and label")
        return {"value_per_prediction": none, "value_total": none}
    worth = {(predicted, true): value for predicted, true, value in costs}
    grid = np.array([[worth.get((a, b), math.nan) for b in names] for a in names])
    values = grid[prediction[both], label[both]]
    priced = values[~np.isnan(values)]
    left = rows - int(priced.size)
    reason = f"{left} row{'s' if left > 1 else ''} of outcomes without a value left out" if left else None
    if not priced.size:
        none = undefined(0, "no outcome of these rows has a value in the cost matrix")
        return {"value_per_prediction": none, "value_total": none}
    mean = mean_of(priced, floor=None, reason=reason)
    n = int(priced.size)

    def times(number: float | None) -> float | None:
        return None if number is None else number * n

    total = Metric(float(priced.sum()), times(mean.low), times(mean.high), n, mean.reason, times(mean.se))
    return {"value_per_prediction": mean, "value_total": total}
