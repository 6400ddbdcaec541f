"""Kullback-Leibler divergence of the window from the reference: Σ r · ln(r / c) over the coarse cells, in nats.

Direction and unit are Evidently's: KL(reference ‖ current). A share of zero is replaced by 0.0001 on its own side, then
both sides are made to sum to 1. Cells are the frozen ones; Evidently's move with the data (`evidently:kl_div`).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import rel_entr

from backend.monitoring.grids import Grid
from backend.monitoring.statistics._core import (
    Numbers,
    Statistic,
    compare_counts,
    law_of_counts,
    register,
    shares,
)
from backend.monitoring.statistics.psi import ZERO_SHARE


def measure(grid: Grid, reference: npt.NDArray[Any], current: npt.NDArray[Any]) -> Numbers:
    r, c = shares(reference), shares(current)
    used = (r > 0) | (c > 0)
    r, c = (np.where(used & (side == 0), ZERO_SHARE, side) for side in (r, c))
    r, c = (side / np.maximum(side.sum(axis=-1, keepdims=True), 1e-300) for side in (r, c))
    return np.asarray(rel_entr(r, c).sum(axis=-1))


KL_DIVERGENCE = register(
    Statistic(
        name="kl_divergence",
        title="Kullback-Leibler divergence",
        family="drift",
        applies_to=("numeric", "categorical"),
        unit="nats",
        floor=0.1,
        formula=__doc__,
        compute=partial(compare_counts, measure, False),
        measure=measure,
        law=partial(law_of_counts, measure, 1.0),
        weight=0.05,
        default=False,
    )
)
