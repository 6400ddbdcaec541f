"""Age of the newest row, in units of the gap that usually passes between arrivals.

Arrivals that come by chance at a steady rate wait longer than x gaps with probability exp(−x). Below 3 gaps nothing is
said. Give the gap of the same hour and weekday where traffic has a rhythm.
"""

from __future__ import annotations

from backend.monitoring.statistics._core import Result
from backend.monitoring.statistics._table import ExponentialLaw, TableFacts, TableStatistic, register_table


def compute(reference: TableFacts, current: TableFacts) -> Result:
    sizes = (reference.rows, current.rows)
    if current.newest_age_s is None:
        return Result(None, *sizes, "the data have no time of their newest row")
    if not reference.usual_gap_s or reference.usual_gap_s <= 0:
        return Result(None, *sizes, "the usual gap between arrivals is not known")
    if current.newest_age_s < 0:
        return Result(None, *sizes, "the newest row lies in the future")
    details = {"age_s": current.newest_age_s, "usual_gap_s": reference.usual_gap_s}
    return Result(current.newest_age_s / reference.usual_gap_s, *sizes, None, details)


FRESHNESS = register_table(
    TableStatistic(
        name="freshness",
        title="Age of the newest row",
        unit="usual gaps",
        floor=3.0,
        formula=__doc__,
        compute=compute,
        law=lambda result: ExponentialLaw(),
    )
)
