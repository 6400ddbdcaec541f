"""Columns that vanished or changed type: how many. Those that were added are named in details.added, and are no break.

A type is its group (whole numbers, fractions, text, truth values, times, nested): whole numbers that turn into
fractions are counted as no change, since a null among them does that in many formats.
"""

from __future__ import annotations

from backend.monitoring.statistics._core import Result
from backend.monitoring.statistics._table import TableFacts, TableStatistic, certain, register_table

NUMBERS = frozenset({"whole", "fraction"})


def compute(reference: TableFacts, current: TableFacts) -> Result:
    sizes = (reference.rows, current.rows)
    if not reference.types:
        return Result(None, *sizes, "the reference's columns are not known")
    then, now = reference.types, current.types
    vanished = [name for name in then if name not in now]
    changed = {
        name: f"{then[name]} to {now[name]}"
        for name in then
        if name in now and then[name] != now[name] and not {then[name], now[name]} <= NUMBERS
    }
    details = {"vanished": vanished, "changed": changed, "added": [name for name in now if name not in then]}
    return Result(float(len(vanished) + len(changed)), *sizes, None, details)


SCHEMA_CHANGE = register_table(
    TableStatistic(
        name="schema_change",
        title="Columns vanished or of another type",
        unit="columns",
        floor=0.0,
        formula=__doc__,
        compute=compute,
        law=certain,
    )
)
