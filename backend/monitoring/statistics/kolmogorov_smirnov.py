"""Two-sample Kolmogorov-Smirnov D: the largest difference of the two cumulative shares; from 0 to 1.

Taken at every border of the frozen fine cells (up to 512 bins, or each value exactly), so it is at most the exact
D and within the mass of one cell of it. details.p is Kolmogorov's asymptotic p with n = n_r · n_c / (n_r + n_c).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import kolmogorov

from backend.monitoring.grids import Grid
from backend.monitoring.laws import KolmogorovLaw
from backend.monitoring.nulls import Exchange
from backend.monitoring.profiles import Profile
from backend.monitoring.statistics._core import Numbers, Result, Statistic, compare_counts, register, shares


def measure(grid: Grid, reference: npt.NDArray[Any], current: npt.NDArray[Any]) -> Numbers:
    gap = np.cumsum(shares(current), axis=-1) - np.cumsum(shares(reference), axis=-1)
    return np.asarray(np.abs(gap).max(axis=-1))


def compute(reference: Profile, current: Profile) -> Result:
    result = compare_counts(measure, True, reference, current)
    if result.value is None:
        return result
    rows = result.rows_reference * result.rows_current / (result.rows_reference + result.rows_current)
    p = float(kolmogorov(np.sqrt(rows) * result.value))
    return Result(result.value, result.rows_reference, result.rows_current, None, {"p": p})


def law(exchange: Exchange, result: Result) -> KolmogorovLaw:
    return KolmogorovLaw(1 / exchange.spread)


KOLMOGOROV_SMIRNOV = register(
    Statistic(
        name="kolmogorov_smirnov",
        title="Kolmogorov-Smirnov distance",
        family="drift",
        applies_to=("numeric",),
        unit="share, 0 to 1",
        largest=1.0,
        floor=0.05,
        formula=__doc__,
        compute=compute,
        measure=measure,
        law=law,
        weight=0.6,
        fine=True,
    )
)
