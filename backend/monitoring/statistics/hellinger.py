"""Hellinger distance: sqrt(1 − Σ sqrt(r · c)) over the coarse cells; from 0 to 1.

NannyML's ‖√r − √c‖ / √2 is the same number, and so is the value on up to 200 categories; on numbers the cells are the
frozen coarse ones, where NannyML takes Doane's bins of the reference and Evidently Sturges' of both.
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
    """Each cell's part of the squared distance, from shares (..., cells)."""
    return np.asarray((np.sqrt(r) - np.sqrt(c)) ** 2 / 2)


def measure(grid: Grid, reference: npt.NDArray[Any], current: npt.NDArray[Any]) -> Numbers:
    overlap = np.sqrt(shares(reference) * shares(current)).sum(axis=-1)
    return np.asarray(np.sqrt(np.clip(1 - overlap, 0.0, 1.0)))


HELLINGER = register(
    Statistic(
        name="hellinger",
        title="Hellinger distance",
        family="drift",
        applies_to=("numeric", "categorical"),
        unit="distance, 0 to 1",
        largest=1.0,
        floor=0.1,
        formula=__doc__,
        compute=partial(compare_counts, measure, False),
        measure=measure,
        law=partial(law_of_sum, terms, 2.0),
        weight=0.05,
        default=False,
    )
)
