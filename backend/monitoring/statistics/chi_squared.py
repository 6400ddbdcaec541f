"""Two-sample χ² of homogeneity: Σ (observed − expected)² / expected over the 2 × cells table of counts.

As `scipy.stats.chi2_contingency` (without Yates' correction) and NannyML's: the reference is a sample too, so a
new category does not force p = 0 and a constant column is p = 1. Cells empty on both sides are left out; details
hold p, the degrees of freedom and the effect w = sqrt(χ² · (1/n_reference + 1/n_current)) (after Cohen).
Below w = 0.1 (Cohen's "small") a difference is held to be without practical weight.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import chdtrc

from backend.monitoring.grids import Grid
from backend.monitoring.laws import Law, chi_squared_moments, law_of_moments
from backend.monitoring.nulls import Exchange
from backend.monitoring.profiles import Profile
from backend.monitoring.splits import moments_of_sum
from backend.monitoring.statistics._core import (
    Numbers,
    Result,
    Statistic,
    compare_counts,
    law_of_counts,
    register,
)

EFFECT = 0.1


def measure(grid: Grid, reference: npt.NDArray[Any], current: npt.NDArray[Any]) -> Numbers:
    n_r = reference.sum(axis=-1, keepdims=True)
    n_c = current.sum(axis=-1, keepdims=True)
    pooled = (reference + current) / np.maximum(n_r + n_c, 1)
    positive = np.where(pooled > 0, pooled, 1.0)
    terms = (reference - n_r * pooled) ** 2 / np.maximum(n_r, 1) + (current - n_c * pooled) ** 2 / np.maximum(
        n_c, 1
    )
    return np.asarray(np.sum(terms / positive, axis=-1))


def compute(reference: Profile, current: Profile) -> Result:
    result = compare_counts(measure, False, reference, current)
    if result.value is None:
        return result
    freedom = int(np.count_nonzero(reference.compared + current.compared)) - 1
    p = float(chdtrc(freedom, result.value)) if freedom > 0 else 1.0
    weight = 1 / result.rows_reference + 1 / result.rows_current
    details = {"p": p, "degrees_of_freedom": freedom, "effect": float(np.sqrt(result.value * weight))}
    return Result(result.value, result.rows_reference, result.rows_current, None, details)


def floor_at(rows_reference: int, rows_current: int) -> float:
    """The χ² at which the effect w is `EFFECT`."""
    return EFFECT**2 / (1 / max(rows_reference, 1) + 1 / max(rows_current, 1))


def law(exchange: Exchange, result: Result) -> Law:
    """Exact mean and variance over all splits of the pool, skewness cell by cell: right for rare cells too."""
    if exchange.ranked is not None:
        return law_of_counts(measure, 1.0, exchange, result)
    n_r, n_c = exchange.rows

    def terms(r: Numbers, c: Numbers) -> Numbers:
        pooled = (r * n_r + c * n_c) / (n_r + n_c)
        return np.asarray((c - r) ** 2 / np.maximum(pooled * (1 / n_r + 1 / n_c), 1e-300))

    _, variance, third = moments_of_sum(terms, exchange.cells)
    mean, exact = chi_squared_moments(exchange.exchanged, n_r, n_c)
    skew = third / variance**1.5 if variance > 0 else 0.0
    return law_of_moments(mean, exact, skew * max(exact, 0.0) ** 1.5)


CHI_SQUARED = register(
    Statistic(
        name="chi_squared",
        title="χ² of homogeneity",
        family="drift",
        applies_to=("categorical",),
        unit="χ²",
        floor=EFFECT,
        formula=__doc__,
        compute=compute,
        measure=measure,
        law=law,
        floor_at=floor_at,
    )
)
