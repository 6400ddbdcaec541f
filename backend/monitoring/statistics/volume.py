"""Rows of a window against those of usual windows: |ln(rows / median)| in usual deviations.

The deviation is 1.4826 times the median absolute deviation of ln(rows) over the usual windows, at least that of
counts by chance (1 / sqrt(median)) and at least 5 %. Fewer than 5 usual windows are inconclusive; no rows count as
half a row. details.ratio is rows / median.
"""

from __future__ import annotations

import math

import numpy as np

from backend.monitoring.laws import ShiftLaw
from backend.monitoring.statistics._core import Result
from backend.monitoring.statistics._table import TableFacts, TableStatistic, register_table

LEAST_WINDOWS = 5
LEAST_SPREAD = 0.05


def compute(reference: TableFacts, current: TableFacts) -> Result:
    sizes = (reference.rows, current.rows)
    usual = np.asarray(reference.usual_rows, dtype=np.float64)
    if usual.size < LEAST_WINDOWS:
        return Result(None, *sizes, f"{usual.size} usual windows are known and {LEAST_WINDOWS} are needed")
    logs = np.log(np.maximum(usual, 0.5))
    middle = float(np.median(logs))
    spread = 1.4826 * float(np.median(np.abs(logs - middle)))
    spread = max(spread, math.exp(-middle / 2), LEAST_SPREAD)
    change = math.log(max(current.rows, 0.5)) - middle
    details = {"ratio": math.exp(change), "median": math.exp(middle), "spread": spread}
    return Result(abs(change) / spread, *sizes, None, details)


VOLUME = register_table(
    TableStatistic(
        name="volume",
        title="Rows against usual windows",
        unit="usual deviations",
        floor=3.0,
        formula=__doc__,
        compute=compute,
        law=lambda result: ShiftLaw(1.0, 0.0),
    )
)
