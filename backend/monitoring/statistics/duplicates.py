"""Share of rows that came before: the same id again, or without an id column the same whole row.

Duplicates arise when a producer retries or a file is loaded twice. The reference's own rate is the usual one.
"""

from __future__ import annotations

from backend.monitoring.statistics._core import Result
from backend.monitoring.statistics._table import TableFacts, TableStatistic, rate_of, register_table


def compute(reference: TableFacts, current: TableFacts) -> Result:
    sizes = (reference.rows, current.rows)
    if reference.duplicates is None or current.duplicates is None:
        return Result(None, *sizes, "duplicates were not counted")
    if not reference.rows or not current.rows:
        return Result(
            None, *sizes, "the window has no rows" if reference.rows else "the reference has no rows"
        )
    details = {
        "hits": current.duplicates,
        "reference_hits": reference.duplicates,
        "reference_rate": reference.duplicates / reference.rows,
    }
    return Result(current.duplicates / current.rows, *sizes, None, details)


DUPLICATES = register_table(
    TableStatistic(
        name="duplicates",
        title="Duplicated rows",
        unit="share of rows",
        floor=0.01,
        formula=__doc__,
        compute=compute,
        law=rate_of,
    )
)
