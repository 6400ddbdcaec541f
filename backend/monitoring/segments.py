"""Everything by segment: the rows of a window parted by the values of the spec's segment columns.

A segment is written "column=value". Its values are those of the reference's frozen grid: the 20 most frequent
categories, or ranges of a number, then "other" and "missing", so that a segment is the same in every window.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from backend.monitoring.cells import PlacedColumn, place_rows
from backend.monitoring.columns import ModelSpec
from backend.monitoring.evaluate import Point
from backend.monitoring.falls import judge_realised, take_baseline
from backend.monitoring.grids import Grid
from backend.monitoring.performance import PRIMARY, Performance
from backend.monitoring.performance.segments import measure_segments
from backend.monitoring.placement import SEGMENTS, segment_ranges
from backend.monitoring.profiles import Profile

ALL = ""
Parts = Mapping[str, Mapping[str, Profile]]
"""{segment, "" for all rows: {column: Profile}}."""


def name_in(column: str, segment: str) -> str:
    """How a segment's column is called where columns are compared: `fare in carrier=AA`."""
    return column if segment == ALL else f"{column} in {segment}"


def segment_grids(spec: ModelSpec, grids: Mapping[str, Grid]) -> dict[str, Grid]:
    """The grids of the spec's segment columns; a column that is not counted makes no segments."""
    return {name: grids[name] for name in spec.segments if name in grids}


def profile_parts(
    rows: pa.Table, grids: Mapping[str, Grid], group_column: str, by: Mapping[str, Grid]
) -> dict[int, dict[str, dict[str, Profile]]]:
    """{value of the group column: {segment: {column: Profile}}} of every group and segment with rows, in one scan."""
    from backend.monitoring.assembly import build_profiles
    from backend.monitoring.scan import Split, count_rows  # takes a second to import

    by = {name: grid for name, grid in by.items() if name in rows.column_names}
    scan = count_rows(rows, grids, Split(group=group_column, segments=by or None))
    found: dict[int, dict[str, dict[str, Profile]]] = {}
    for column in (None, *by):
        for (group, segment, name), profile in build_profiles(scan, grids, column).items():
            key = ALL if column is None else f"{column}={scan.names[column][segment]}"
            found.setdefault(group, {}).setdefault(key, {})[name] = profile
    return found


def measure_parts(spec: ModelSpec, rows: pa.Table, by: Mapping[str, Grid]) -> dict[str, Performance]:
    """Realised performance of each segment with rows."""
    by = {name: grid for name, grid in by.items() if name in rows.column_names}
    if not by or not rows.num_rows:
        return {}
    named = rows
    for name, values in part_names(rows, by).items():
        named = named.set_column(named.column_names.index(name), name, values)
    found = measure_segments(spec, named, list(by), top=SEGMENTS + 2)
    return {f"{column}={value}": performance for (column, value), performance in found.items()}


def part_names(rows: pa.Table, by: Mapping[str, Grid]) -> dict[str, pa.Array]:
    """The segment of each row (n,) by column, as the scan names it; without columns that the rows lack."""
    by = {name: grid for name, grid in by.items() if name in rows.column_names}
    if not by:
        return {}
    placed = place_rows(rows.select(list(by)).to_pandas(), by)
    return {name: _names(column) for name, column in placed.items()}


def judge_parts(
    spec: ModelSpec, found: Mapping[str, Performance], then: Mapping[str, Performance], *, alpha: float
) -> list[Point]:
    """A point for every metric of every segment that the reference has too; a fall is a ticket.

    found  of a window (`measure_parts`)
    alpha  the chance that an unchanged window alarms in any of them
    """
    there = {segment: one for segment, one in found.items() if segment in then}
    return [
        replace(point, segment=segment, text=f"{segment}: {point.text}")
        for segment, one in there.items()
        for point in judge_realised(
            take_baseline(then[segment], {}), one, primary=PRIMARY[spec.task], alpha=alpha / len(there),
            min_labels=spec.min_labels, may_page=False, label_unit=spec.label_unit,
        )
    ]  # fmt: skip


def _names(column: PlacedColumn) -> pa.Array:
    """The segment of each row (n,) as the scan names it."""
    grid, numbers = column.grid, column.numbers
    missing = np.isnan(numbers)
    if grid.kind == "categorical":
        names = [str(value) for value in grid.values[:SEGMENTS]]
        codes = np.where(missing, 0, numbers).astype(np.int64)
        inside = codes < len(names)
    else:
        borders, names = segment_ranges(grid)
        if not names:
            inside, codes = np.zeros(numbers.size, dtype=bool), np.zeros(numbers.size, dtype=np.int64)
        else:
            x = np.where(missing, borders[0], numbers)
            codes = np.clip(np.searchsorted(borders, x, side="right") - 1, 0, len(names) - 1)
            inside = (x >= borders[0]) & (x <= borders[-1])
    places = np.where(missing, len(names) + 1, np.where(inside, codes, len(names)))
    values: list[Any] = [*names, "other", "missing"]
    return pa.DictionaryArray.from_arrays(pa.array(places), pa.array(values)).cast(pa.string())
