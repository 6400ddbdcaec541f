"""L-infinity distance: the largest difference of a category's share, max |c − r|; from 0 to 1.

As NannyML's, on up to 200 categories. Unseen categories are compared one by one while a window has at most 100
of them (details.exact is true), else as one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from backend.monitoring.grids import Grid
from backend.monitoring.laws import Law
from backend.monitoring.nulls import Exchange
from backend.monitoring.profiles import Profile
from backend.monitoring.splits import largest_change
from backend.monitoring.statistics._core import (
    Numbers,
    Result,
    Statistic,
    compare_counts,
    law_of_counts,
    register,
    shares,
)


def measure(grid: Grid, reference: npt.NDArray[Any], current: npt.NDArray[Any]) -> Numbers:
    return np.asarray(np.abs(shares(current) - shares(reference)).max(axis=-1))


def compute(reference: Profile, current: Profile) -> Result:
    result = compare_counts(measure, False, reference, current)
    if result.value is None:
        return result
    change = shares(current.compared) - shares(reference.compared)
    labels = reference.grid.labels()
    exact = bool(current.unseen is not None and reference.unseen is not None)
    if exact:
        # The last cell lumps all unseen values; NannyML's maximum runs over each of them.
        named = {value: rows / current.known for value, rows in (current.unseen or {}).items()}
        for value, rows in (reference.unseen or {}).items():
            named[value] = named.get(value, 0.0) - rows / reference.known
        labels, change = [*labels[:-1], *named], np.append(change[:-1], list(named.values()))
    at = int(np.abs(change).argmax())
    details = {"category": labels[at], "change": float(change[at]), "exact": exact}
    return Result(abs(float(change[at])), result.rows_reference, result.rows_current, None, details)


def law(exchange: Exchange, result: Result) -> Law:
    """As if cells were independent; drawn where new values count as one, or other values might have been kept."""
    lumped = exchange.values is not None and not result.details["exact"]
    if lumped or exchange.ranked is not None:
        return law_of_counts(measure, 1.0, exchange, result)
    return largest_change(exchange.exchanged, exchange.rows)


L_INFINITY = register(
    Statistic(
        name="l_infinity",
        title="Largest change of a category's share",
        family="drift",
        applies_to=("categorical",),
        unit="share, 0 to 1",
        largest=1.0,
        floor=0.1,
        formula=__doc__,
        compute=compute,
        measure=measure,
        law=law,
        weight=0.3,
    )
)
