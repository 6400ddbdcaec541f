"""Population stability index: Σ (c − r) · ln(c / r) over the cells, r and c the shares of reference and current.

A share of zero is replaced by 0.0001 on its own side, without renormalising (as Evidently does). Cells are the
frozen coarse cells: about 10 groups of equal reference mass plus "outside", or each value plus "new".
Evidently's own PSI takes its edges from the pooled data and is offered as `evidently:psi` on raw rows.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from backend.monitoring.grids import Grid
from backend.monitoring.laws import Law
from backend.monitoring.nulls import Exchange
from backend.monitoring.statistics._core import (
    Numbers,
    Result,
    Statistic,
    compare_counts,
    law_of_counts,
    law_of_sum,
    register,
    shares,
)

ZERO_SHARE = 0.0001


def terms(r: Numbers, c: Numbers) -> Numbers:
    """Each cell's part, from shares (..., cells)."""
    used = (r > 0) | (c > 0)
    r = np.where(r > 0, r, ZERO_SHARE)
    c = np.where(c > 0, c, ZERO_SHARE)
    return np.asarray(np.where(used, (c - r) * np.log(c / r), 0.0))


def measure(grid: Grid, reference: npt.NDArray[Any], current: npt.NDArray[Any]) -> Numbers:
    return np.asarray(np.sum(terms(shares(reference), shares(current)), axis=-1))


def law(exchange: Exchange, result: Result) -> Law:
    """Exact moments cell by cell; drawn where new values, which make one cell together, come and go."""
    if exchange.brings_new:
        return law_of_counts(measure, 1.0, exchange, result)
    return law_of_sum(terms, 1.0, exchange, result)


PSI = register(
    Statistic(
        name="psi",
        title="Population stability index",
        family="drift",
        applies_to=("numeric", "categorical"),
        unit="index",
        floor=0.1,
        formula=__doc__,
        compute=partial(compare_counts, measure, False),
        measure=measure,
        law=law,
        weight=0.1,
    )
)
