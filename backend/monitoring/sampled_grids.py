"""Grids of a table that a person has not described: by a sample of its rows where it is large."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import numpy as np

from backend.monitoring.buffers import doubles_of
from backend.monitoring.columns import Column, Kind
from backend.monitoring.grids import DISCRETE, HUGE, Grid, place_numbers
from backend.monitoring.profiles import freeze_grids
from backend.monitoring.proposals import Proposal
from backend.monitoring.row_facts import quoted


def place_grids(
    rows: duckdb.DuckDBPyRelation,
    scanned: Any,
    sample: duckdb.DuckDBPyRelation | None,
    kinds: Mapping[str, Kind],
    proposals: Mapping[str, Proposal],
) -> dict[str, Grid]:
    """Grids of numbers on the reference; where it is large and values are many, by a sample and both ends.

    scanned   the same rows as `scan.open_scan` takes them
    sample    some of them (`draw_sample`); None where the table is small
    """
    large = [name for name, kind in kinds.items() if sample is not None and kind == "numeric"
             and proposals[name].distinct > 2 * DISCRETE and proposals[name].kind == "numeric"
             and proposals[name].holds_numbers]  # fmt: skip
    rest = [Column(name, kind) for name, kind in kinds.items() if kind == "numeric" and name not in large]
    grids = freeze_grids(scanned, rest)
    if sample is not None and large:
        names = [quoted(name) for name in large]
        ends = _ends(rows, names)
        drawn = sample.project(", ".join(names)).to_arrow_table()
        for i, name in enumerate(large):
            x = doubles_of(drawn.column(name))
            tips = np.array([end for end in ends[2 * i : 2 * i + 2] if end is not None], dtype=np.float64)
            x = np.concatenate([x, tips])
            grids[name] = place_numbers(x[np.abs(x) <= float(HUGE)])
    return grids


def _ends(table: duckdb.DuckDBPyRelation, names: Sequence[str]) -> tuple[Any, ...]:
    """Smallest and largest finite number of each column; (least, most, least, most, ...)."""
    both = ", ".join(f"min({name}), max({name})" for name in names)
    found = table.query("source", f"select {both} from source").fetchall()[0]  # noqa: S608
    if all(end is None or math.isfinite(end) for end in found):
        return tuple(found)
    usable = [f"case when isfinite(cast({name} as double)) then {name} end" for name in names]
    both = ", ".join(f"min({value}), max({value})" for value in usable)
    return tuple(table.query("source", f"select {both} from source").fetchall()[0])  # noqa: S608
