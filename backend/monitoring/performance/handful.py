"""Metrics that a handful of rows make up: what they are without those rows.

One wild label makes a mean of errors, and its standard error, so large that nothing else shows. Where at most five
rows, and at most one in a hundred, are over half of all errors, the metric is also told without them; what is left
is looked at in the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from backend.monitoring.performance._core import Floats, Metric, Rest

HANDFUL = 5
MOST = 0.01
HALF = 0.5
FEWEST_ROWS = 20


def most_of(losses: Floats) -> tuple[npt.NDArray[np.int64], float]:
    """Places of the few losses (n,) >= 0 that are over half of all, and their share of the sum; else none, 0."""
    none = np.empty(0, dtype=np.int64), 0.0
    if losses.size < FEWEST_ROWS or not np.isfinite(losses).all():
        return none
    allowed = min(HANDFUL, max(1, int(MOST * losses.size)))
    places = np.argpartition(losses, losses.size - allowed)
    rest, top = places[:-allowed], places[-allowed:]
    top = top[np.argsort(-losses[top], kind="stable")]
    # Sums from the smallest on: what one huge number leaves over has no digits in a difference.
    after = losses[rest].sum() + np.append(np.cumsum(losses[top][::-1])[::-1], 0.0)
    left = 0
    for k in range(1, allowed + 1):
        if after[left] - after[k] > HALF * after[left]:
            left = k
    return (top[:left], float(1 - after[left] / after[0])) if left else none


def with_rest(metric: Metric, losses: Floats, measure: Callable[[npt.NDArray[Any]], Metric]) -> Metric:
    """The metric with what it is on the rows (a mask, (n,)) beside the few that are most of its losses (n,)."""
    places, share = most_of(losses)
    if not places.size:
        return metric
    kept = np.ones(losses.size, dtype=bool)
    kept[places] = False
    found = measure(kept)
    if found.value is None:
        return metric
    rest = Rest(found.value, found.low, found.high, found.rows, found.se, int(places.size), share)
    return replace(metric, rest=rest)
