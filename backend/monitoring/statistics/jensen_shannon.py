"""Jensen-Shannon distance to base 2: sqrt((KL(r‖m) + KL(c‖m)) / 2) with m = (r + c) / 2; from 0 to 1.

The base-2 *distance*, as NannyML's; Evidently's is in nats and 0.8326 times as large. On categories (up to 200,
all unseen ones as one) the value equals NannyML's. On numbers the cells are the frozen coarse cells, all mass
outside the grid as one more cell; NannyML takes Doane's bins of the reference there.
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
    law_of_sum,
    register,
    shares,
)


def terms(r: Numbers, c: Numbers) -> Numbers:
    """Each cell's part of the squared distance, from shares (..., cells)."""
    m = (r + c) / 2
    return np.asarray((rel_entr(r, m) + rel_entr(c, m)) / 2 / np.log(2))


def measure(grid: Grid, reference: npt.NDArray[Any], current: npt.NDArray[Any]) -> Numbers:
    divergence = terms(shares(reference), shares(current)).sum(axis=-1)
    return np.asarray(np.sqrt(np.maximum(divergence, 0.0)))


JENSEN_SHANNON = register(
    Statistic(
        name="jensen_shannon",
        title="Jensen-Shannon distance",
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
    )
)
