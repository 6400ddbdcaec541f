"""Total variation distance: ½ Σ |c − r| over the coarse cells, the share of rows that lie elsewhere now; from 0 to 1.

Evidently's TVD is this on categories, reported as the p of 1,000 permutations (`evidently:TVD`).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from backend.monitoring.grids import Grid
from backend.monitoring.statistics._core import (
    Numbers,
    Statistic,
    compare_counts,
    law_of_sum,
    register,
    shares,
)


def terms(r: Numbers, c: Numbers) -> Numbers:
    """Each cell's part, from shares (..., cells)."""
    return np.asarray(np.abs(c - r) / 2)


def measure(grid: Grid, reference: npt.NDArray[Any], current: npt.NDArray[Any]) -> Numbers:
    return np.asarray(np.abs(shares(current) - shares(reference)).sum(axis=-1) / 2)


TOTAL_VARIATION = register(
    Statistic(
        name="total_variation",
        title="Total variation distance",
        family="drift",
        applies_to=("numeric", "categorical"),
        unit="share, 0 to 1",
        largest=1.0,
        floor=0.1,
        formula=__doc__,
        compute=partial(compare_counts, measure, False),
        measure=measure,
        law=partial(law_of_sum, terms, 1.0),
        weight=0.1,
        default=False,
    )
)
