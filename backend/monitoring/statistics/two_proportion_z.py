"""Two-proportion Z, largest over the categories: |c − r| / sqrt(p (1 − p) (1 / n_r + 1 / n_c)), p the pooled share.

With two categories it is the usual Z of either, whose square is χ². With more it finds the one category whose share
moved most for its size, which χ² dilutes and L-infinity overlooks when it is rare. A change of less than 2 points is
held to be without practical weight.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from backend.monitoring.grids import Grid
from backend.monitoring.profiles import Profile
from backend.monitoring.statistics._core import (
    Numbers,
    Result,
    Statistic,
    compare_counts,
    law_of_counts,
    register,
    shares,
)

POINTS = 0.02


def scores(reference: npt.NDArray[Any], current: npt.NDArray[Any]) -> Numbers:
    """Signed Z of each cell, (..., cells); 0 where a cell is empty or holds everything on both sides."""
    n_r, n_c = (side.sum(axis=-1, keepdims=True) for side in (reference, current))
    pooled = (reference + current) / np.maximum(n_r + n_c, 1)
    variance = pooled * (1 - pooled) * (1 / np.maximum(n_r, 1) + 1 / np.maximum(n_c, 1))
    change = shares(current) - shares(reference)
    return np.asarray(np.where(variance > 0, change / np.sqrt(np.where(variance > 0, variance, 1.0)), 0.0))


def measure(grid: Grid, reference: npt.NDArray[Any], current: npt.NDArray[Any]) -> Numbers:
    return np.asarray(np.abs(scores(reference, current)).max(axis=-1))


def compute(reference: Profile, current: Profile) -> Result:
    result = compare_counts(measure, False, reference, current)
    if result.value is None:
        return result
    found = scores(reference.compared, current.compared)
    at = int(np.abs(found).argmax())
    change = float(shares(current.compared)[at] - shares(reference.compared)[at])
    details = {"category": reference.grid.labels()[at], "change": change}
    return Result(result.value, result.rows_reference, result.rows_current, None, details)


def floor_at(rows_reference: int, rows_current: int) -> float:
    """The largest Z that a change of `POINTS` of an even share can be."""
    return float(2 * POINTS / np.sqrt(1 / max(rows_reference, 1) + 1 / max(rows_current, 1)))


TWO_PROPORTION_Z = register(
    Statistic(
        name="two_proportion_z",
        title="Two-proportion Z",
        family="drift",
        applies_to=("categorical",),
        unit="Z",
        floor=POINTS,
        formula=__doc__,
        compute=compute,
        measure=measure,
        floor_at=floor_at,
        law=partial(law_of_counts, measure, 2.0),
        weight=0.4,
        default=False,
    )
)
