# ruff: noqa: S608  every name and text in these queries passes through _quoted or _text
"""The one DuckDB scan that counts all columns in all windows together.

Only SQL that ships inside DuckDB is used; extensions are never fetched. Column names are quoted, and a column
whose type cannot be read as its declared kind is counted as invalid instead of failing the query.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from backend.errors import BadInput
from backend.monitoring.windows import Window

if TYPE_CHECKING:
    from backend.monitoring.grids import Grid

BINS = 64
HUGE = "1e150"  # beyond it squares overflow; counted as infinite
BUCKETS = 1_000_000
REST = "\x00rest"
WINDOW = '"__warrant_window"'

_NUMBER_TYPES = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER",
                 "UBIGINT", "UHUGEINT", "FLOAT", "DOUBLE", "DECIMAL")  # fmt: skip
_FRACTIONS = ("FLOAT", "DOUBLE", "DECIMAL")


@dataclass
class Tally:
    """What the scan found of one column in one window; `cells` is keyed by cell (numeric) or value."""

    rows: int
    cells: dict[Any, int] = field(default_factory=dict)
    null: int = 0
    nan: int = 0
    infinite: int = 0
    invalid: int = 0
    absent: int = 0
    total: float = 0.0
    squares: float = 0.0
    under_sum: float = 0.0
    over_sum: float = 0.0
    low: float | str | None = None
    high: float | str | None = None


class _Source:
    """A table that DuckDB can scan, with each column's DuckDB name and type by the caller's name."""

    def __init__(self, source: Any, needed: Sequence[str]) -> None:
        if isinstance(source, duckdb.DuckDBPyRelation):
            self.relation, names = source, list(source.columns)
        else:
            names = list(source.schema.names)
            if isinstance(source, pa.Table):
                names = [name for name in dict.fromkeys(needed) if name in names]
                # The first of columns that share a name is the one that is read.
                source = pa.table({name: source.column(source.schema.names.index(name)) for name in names}
                                  or {"\x00none": pa.nulls(source.num_rows)})  # fmt: skip
            connection = duckdb.connect(config={"autoinstall_known_extensions": "false",
                                                "autoload_known_extensions": "false"})  # fmt: skip
            self.relation = connection.from_arrow(source)
        # DuckDB ignores case and renames a second "Fare"; positions, not names, tell columns apart.
        found = zip(names, self.relation.columns, self.relation.types, strict=False)
        self.columns: dict[str, tuple[str, str]] = {
            name: (_quoted(inside), str(kind).upper()) for name, inside, kind in found
        }

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query that reads this source as `source`."""
        rows: list[tuple[Any, ...]] = self.relation.query("source", sql).fetchall()
        return rows


def read_numbers(table: Any, name: str) -> npt.NDArray[np.float64]:
    """The finite numbers of a column, (n,); empty when it is absent or unreadable."""
    source = _Source(table, [name])
    if name not in source.columns:
        return np.empty(0)
    value, _ = _number(*source.columns[name])
    sql = f"select v from (select {value} as v from source) where abs(v) <= {HUGE}"
    try:
        found = source.relation.query("source", sql).fetchnumpy()["v"]
    except duckdb.Error:
        return np.empty(0)
    return np.asarray(found, dtype=np.float64)


def read_categories(table: Any, name: str) -> dict[str, int]:
    """Rows of each value of a column, as text; empty when it is absent or unreadable."""
    source = _Source(table, [name])
    if name not in source.columns:
        return {}
    value, _ = _category(*source.columns[name])
    try:
        found = source.query(f"select {value} as v, count(*) from source group by 1")
    except duckdb.Error:
        return {}
    return {value: rows for value, rows in found if value is not None}


def count_windows(
    source: Any, grids: Mapping[str, Grid], windows: Sequence[Window] | None, ts_column: str
) -> dict[tuple[int, str], Tally]:
    """{(index of the window, column): Tally}; without `windows` everything is window 0."""
    opened = _Source(source, [*grids, *([ts_column] if windows is not None else [])])
    if windows is None:
        place = f"select 0 as {WINDOW}, * from source"
    elif not windows:
        return {}
    else:
        place = _placed(opened, windows, ts_column)
    return _count(opened, place, dict(grids))


def _count(source: _Source, place: str, grids: dict[str, Grid]) -> dict[tuple[int, str], Tally]:
    if not grids:
        return {}
    counters = {name: _counter(index, source, name, grid) for index, (name, grid) in enumerate(grids.items())}
    reads = ", ".join([WINDOW, *(c.read for c in counters.values() if c.read)])
    picks = ", ".join([WINDOW, "count(*)", *(a for c in counters.values() for a in c.aggregates)])
    try:
        rows = source.query(f"select {picks} from (select {reads} from ({place})) group by {WINDOW}")
    except duckdb.Error:
        # A value that breaks the query must not take the other columns with it: halve until it is alone.
        names = list(grids)
        if len(names) == 1:
            counted = source.query(f"select {WINDOW}, count(*) from ({place}) group by {WINDOW}")
            return {(int(w), names[0]): Tally(rows=n, invalid=n) for w, n in counted}
        half = len(names) // 2
        parts = [{n: grids[n] for n in names[:half]}, {n: grids[n] for n in names[half:]}]
        return {key: tally for part in parts for key, tally in _count(source, place, part).items()}
    tallies: dict[tuple[int, str], Tally] = {}
    for window, count, *values in rows:
        at = 0
        for name, counter in counters.items():
            width = len(counter.aggregates)
            tallies[int(window), name] = _tally(grids[name], count, values[at : at + width])
            at += width
    return tallies


@dataclass(frozen=True)
class _Counter:
    """SQL of one column: what the inner query reads, what the outer one aggregates."""

    read: str
    aggregates: tuple[str, ...]


def _counter(index: int, source: _Source, name: str, grid: Grid) -> _Counter:
    if name not in source.columns:
        return _Counter("", ())
    v, bad = f"__v{index}", f"__bad{index}"
    inside, kind = source.columns[name]
    if grid.kind == "categorical":
        value, nan = _category(inside, kind)
        key = (
            v
            if grid.complete
            else f"case when {v} in ({_texts(grid.values)}) then {v} else {_text(REST)} end"
        )
        key = f"case when {v} is not null then {key} end"
        return _Counter(
            f"{value} as {v}, {nan} as {bad}",
            (f"histogram({key})", f"count({v})", f"count_if({bad})", f"min({v})", f"max({v})"),
        )
    value, invalid = _number(inside, kind)
    finite = f"case when abs({v}) <= {HUGE} then {v} end"
    low, high = _ends(grid)
    return _Counter(
        f"{value} as {v}, {invalid} as {bad}",
        (
            f"histogram({_cell(v, grid)})",
            f"count_if({bad})",
            f"sum({finite})",
            f"sum(({finite}) * ({finite}))",
            f"min({finite})",
            f"max({finite})",
            f"sum(case when {v} < {low} and abs({v}) <= {HUGE} then {v} end)",
            f"sum(case when {v} > {high} and abs({v}) <= {HUGE} then {v} end)",
        ),
    )


def _tally(grid: Grid, rows: int, values: Sequence[Any]) -> Tally:
    if not values:
        return Tally(rows=rows, null=rows, absent=rows)
    if grid.kind == "categorical":
        cells, known, nan, low, high = values
        return Tally(rows, dict(cells or {}), null=rows - known - nan, nan=nan, low=low, high=high)
    histogram, invalid, total, squares, low, high, under, over = values
    cells = {int(cell): count for cell, count in (histogram or {}).items()}
    return Tally(
        rows=rows,
        null=cells.pop(-1, 0) - invalid,
        nan=cells.pop(-2, 0),
        infinite=cells.pop(-3, 0),
        cells=cells,
        invalid=invalid,
        total=total or 0.0,
        squares=squares or 0.0,
        under_sum=under or 0.0,
        over_sum=over or 0.0,
        low=low,
        high=high,
    )


def _number(inside: str, kind: str) -> tuple[str, str]:
    """SQL of a column as DOUBLE (NULL when unreadable), and whether a value is there but unreadable."""
    if kind.startswith(_NUMBER_TYPES) and not kind.endswith("]"):
        return f"cast({inside} as double)", "false"
    if kind == "BOOLEAN":
        return f"cast(cast({inside} as integer) as double)", "false"
    if kind == "VARCHAR" or kind.startswith("ENUM"):
        value = f"try_cast(cast({inside} as varchar) as double)"
        return value, f"({inside} is not null and {value} is null)"
    if kind == "DATE" or kind.startswith("TIMESTAMP"):
        return f"epoch({inside})", "false"
    return "cast(null as double)", f"({inside} is not null)"


def _category(inside: str, kind: str) -> tuple[str, str]:
    """SQL of a column as text, and whether it is NaN. 3.0 and 3 are the same category."""
    text = f"cast({inside} as varchar)"
    if not kind.startswith(_FRACTIONS) or kind.endswith("]"):
        return text, "false"
    number = f"cast({inside} as double)"
    whole = f"abs({number}) < 1e15 and {number} = floor({number})"
    return (
        f"case when isnan({number}) then null when {whole} "
        f"then cast(cast({number} as bigint) as varchar) else {text} end",
        f"coalesce(isnan({number}), false)",
    )


def _ends(grid: Grid) -> tuple[str, str]:
    points = grid.edges or grid.values or (math.inf,)
    if points == (math.inf,):
        return f"-{HUGE}", f"-{HUGE}"  # a grid without values: everything is over
    return _double(points[0]), _double(points[-1])


def _cell(v: str, grid: Grid) -> str:
    """SQL of the cell of `v`: -1 null, -2 NaN, -3 infinite, else as in `Grid.cells`."""
    low, high = _ends(grid)
    if grid.edges:
        inner = _bisect(v, grid.edges, lambda piece: _linear(v, grid.edges, piece), 0, len(grid.edges) - 1)
    elif grid.values:
        points = grid.values

        def exact(i: int) -> str:
            return f"case when {v} = {_double(points[i])} then {2 * i + 1} else {2 * i + 2} end"

        inner = _bisect(v, points, exact, 0, len(points))
    else:
        inner = "0"
    return (
        f"cast(case when {v} is null then -1 when isnan({v}) then -2 when abs({v}) > {HUGE} then -3 "
        f"when {v} < {low} then 0 when {v} > {high} then {grid.cells - 1} else {inner} end as smallint)"
    )


def _linear(v: str, edges: Sequence[float], piece: int) -> str:
    lo, k = edges[piece], BINS / (edges[piece + 1] - edges[piece])
    return f"({1 + piece * BINS} + least(floor(({v} - {_double(lo)}) * {_double(k)}), {BINS - 1}))"


def _bisect(v: str, points: Sequence[float], leaf: Any, first: int, last: int) -> str:
    """Nested CASE that finds the last point at or below `v` in log2(n) comparisons."""
    if last - first <= 1:
        return str(leaf(first))
    middle = (first + last) // 2
    below = _bisect(v, points, leaf, first, middle)
    above = _bisect(v, points, leaf, middle, last)
    return f"case when {v} < {_double(points[middle])} then {below} else {above} end"


def _placed(source: _Source, windows: Sequence[Window], ts_column: str) -> str:
    """SQL that gives each row its window's index."""
    if ts_column not in source.columns:
        raise BadInput(f"the data have no column {ts_column!r}, which holds the time of each row")
    inside, kind = source.columns[ts_column]
    if not kind.startswith("TIMESTAMP") and kind != "DATE":
        raise BadInput(f"the column {ts_column!r} holds {kind.lower()}, not times")
    if kind.endswith("_NS"):  # epoch_us knows no nanoseconds with a zone
        inside = f"cast({inside} as {'timestamptz' if kind.startswith('TIMESTAMPTZ') else 'timestamp'})"
    micros = f"epoch_us({inside})"
    bounds = [(_micros(w.start), _micros(w.end)) for w in windows]
    step = math.gcd(*(edge - bounds[0][0] for pair in bounds for edge in pair))
    if sum(end - start for start, end in bounds) // step <= BUCKETS:
        # Clock windows all start on multiples of an hour or so: an equality join on that bucket is fastest.
        zero = bounds[0][0]
        listed = (
            f"select {i} as w, unnest(range({(start - zero) // step}, {(end - zero) // step})) as b"
            for i, (start, end) in enumerate(bounds)
        )
        bucket = f"cast(floor(({micros} - {zero}) / {float(step):.1f}) as bigint)"
        return f"select p.w as {WINDOW}, s.* from source s join ({' union all '.join(listed)}) p on {bucket} = p.b"
    listed = (f"select {i} as w, {start} as a, {end} as b" for i, (start, end) in enumerate(bounds))
    within = f"{micros} >= p.a and {micros} < p.b"
    return f"select p.w as {WINDOW}, s.* from source s join ({' union all '.join(listed)}) p on {within}"


def _micros(moment: datetime) -> int:
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _texts(values: Sequence[str]) -> str:
    return ", ".join(map(_text, values)) or "null"


def _double(value: float) -> str:
    return f"cast('{float(value)!r}' as double)"
