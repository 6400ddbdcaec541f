"""The one scan that counts all columns in all windows and segments together.

For each column the rows are grouped by (window, segment, cell); the union of these groups is one Ibis expression.
What differs by backend is only how that union is run, in `_run_duckdb` and `_run_backend`:

    DuckDB      the union's branches are compiled once per grid and kept, and every branch reads its own column,
                so that no row is materialised (a whole expression takes longer to compile than to run)
    PostgreSQL  one statement whose common part is materialised by the server
    Spark       one job over the cached common part

Only SQL that ships inside DuckDB is used; extensions are never fetched. A column whose type cannot be read as its
declared kind is counted as invalid instead of failing the query.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from backend.errors import BadInput
from backend.monitoring.buffers import doubles_of, wholes_of
from backend.monitoring.grids import HUGE, Grid
from backend.monitoring.placement import (
    INVALID,
    TEMPLATE,
    TINY,
    Marks,
    double,
    marks_of,
    place_number,
    place_segment,
    place_time,
    read_category,
    read_number,
    text_of,
)
from backend.monitoring.sources import Source, compile_duckdb, open_scan
from backend.monitoring.windows import Window

__all__ = ["HUGE", "Counted", "Split", "count_rows", "read_categories", "read_numbers", "words_of"]

Expression = Any  # an ibis expression; ibis ships no types for mypy here

COLUMNS = ("column", "window", "segment", "cell", "text", "rows", "total", "squares", "low", "high")
AT_ONCE = 8
_BRANCH = "warrant_branch"
_TEMPLATE = re.compile(rf"\({str(int(TEMPLATE))[:4]}[0-9]{{6}}[.]5e0\)")
_FAILURES: tuple[type[Exception], ...] = (Exception,)


@dataclass(frozen=True)
class Split:
    """How the rows are parted before they are counted.

    windows   by time, in `ts_column`; or
    group     by the value of an integer column; or, without both, not at all
    segments  the columns, with their grids, that part each window further; every row is counted once for each
    """

    windows: Sequence[Window] | None = None
    ts_column: str = ""
    group: str | None = None
    segments: Mapping[str, Grid] | None = None


@dataclass(frozen=True)
class Counted:
    """Groups of rows of one column, (n,) each.

    window   index of the stretch of time, or the value of the group column
    segment  index into the names of `by`'s segments, 0 without segments
    cell     as `placement.place_number` gives it (categories: 0 or an odd one); -1 for null
    text     the category, None otherwise
    low, high of numbers; `total` and `squares` are their sums
    """

    window: npt.NDArray[np.int64]
    segment: npt.NDArray[np.int64]
    cell: npt.NDArray[np.int64]
    text: list[str | None]
    rows: npt.NDArray[np.int64]
    total: npt.NDArray[np.float64]
    squares: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scan:
    """What `count_rows` found.

    counted   {(column, segment column or None): groups}; a column that the source lacks is not there
    rows      {segment column or None: groups of all rows, only `window`, `segment` and `rows` filled}
    stretches for each window, the range of stretches that make it up; None when rows were not parted by time
    names     {segment column: names of its segments}
    """

    counted: Mapping[tuple[str, str | None], Counted]
    rows: Mapping[str | None, Counted]
    stretches: list[tuple[int, int]] | None
    names: Mapping[str, list[str]]


def read_numbers(table: Any, names: Sequence[str]) -> dict[str, npt.NDArray[np.float64]]:
    """The finite numbers of each column, (n,) each; empty where it is absent or unreadable."""
    source = open_scan(table, names)
    found = {name: np.empty(0) for name in names}

    def read(wanted: Sequence[str]) -> None:
        values = {f"v{i}": read_number(source.column(n), source.backend)[0] for i, n in enumerate(wanted)}
        try:
            rows = source.run(source.table.select(**values))
        except _FAILURES:
            if len(wanted) > 1:
                for name in wanted:
                    read([name])
            return
        for i, name in enumerate(wanted):
            x = doubles_of(rows[f"v{i}"])
            found[name] = x[np.abs(x) <= float(HUGE)]

    present = [name for name in found if name in source.columns]
    for first in range(0, len(present), AT_ONCE):
        read(present[first : first + AT_ONCE])
    return found


def read_categories(table: Any, names: Sequence[str]) -> dict[str, dict[str, int]]:
    """Rows of each value of each column, as text; empty where it is absent or unreadable."""
    scan = count_rows(table, {name: Grid("categorical") for name in names}, Split())
    return {name: words_of(scan.counted.get((name, None))) for name in names}


def words_of(counted: Counted | None) -> dict[str, int]:
    """Rows of each category that was counted, whatever the grid."""
    rows: dict[str, int] = {}
    if counted is not None:
        for text, n in zip(counted.text, counted.rows.tolist(), strict=True):
            if text is not None:
                rows[text] = rows.get(text, 0) + n
    return rows


def count_rows(source: Any, grids: Mapping[str, Grid], split: Split) -> Scan:
    """Count every column of `grids` in every part of the source, in one scan.

    Raises `BadInput` when the column of times or of groups is not there or of the wrong type.
    """
    segments = dict(split.segments or {})
    split_column = split.ts_column if split.windows is not None else split.group
    opened = open_scan(source, [*grids, *segments, *([split_column] if split_column else [])])
    if split.windows is not None and not split.windows:
        return Scan({}, {}, [], {})
    window, stretches, kept = _place_rows(opened, split)
    names: dict[str, list[str]] = {}
    placed = {"w": window}
    for index, (name, grid) in enumerate(segments.items()):
        if name not in opened.columns:
            raise BadInput(f"the data have no column {name!r} to make segments by")
        placed[f"s{index}"], names[name] = place_segment(opened.column(name), grid, opened.backend)
    table = opened.table if kept is None else opened.table.filter(kept)
    common = table.mutate(**placed) if opened.columns else table.select(**placed)
    jobs: list[_Job] = []
    for by in range(len(segments)) if segments else (None,):
        jobs.append(_Job(len(jobs), None, None, by))
        for name, grid in grids.items():
            if name in opened.columns:
                jobs.append(_Job(len(jobs), name, grid, by))
    keys = (*(["w"] if split_column else []), *(["s"] if segments else []))
    found = _count(opened, common, jobs, keys)
    labels = list(segments)
    counted: dict[tuple[str, str | None], Counted] = {}
    rows: dict[str | None, Counted] = {}
    for job in jobs:
        by_name = None if job.by is None else labels[job.by]
        if job.name is None:
            rows[by_name] = found[job.index]
        else:
            counted[job.name, by_name] = found[job.index]
    return Scan(counted, rows, stretches, names)


@dataclass(frozen=True)
class _Job:
    """One branch of the union: a column (None: the rows themselves) by a segment column's index (None: by none)."""

    index: int
    name: str | None
    grid: Grid | None
    by: int | None


def _count(
    source: Source, common: Expression, jobs: Sequence[_Job], keys: tuple[str, ...]
) -> dict[int, Counted]:
    run = _run_backend if source.backend != "duckdb" else _run_duckdb
    try:
        return _parted(run(source, common, jobs, keys), jobs)
    except _FAILURES:
        # A value that breaks the query must not take the other columns with it: halve until it is alone.
        if len(jobs) > 1:
            half = len(jobs) // 2
            return {**_count(source, common, jobs[:half], keys), **_count(source, common, jobs[half:], keys)}
        if jobs[0].name is None:
            raise
        whole = _count(source, common, [_Job(0, None, None, jobs[0].by)], keys)[0]
        bad = np.full(whole.rows.size, INVALID)
        return {jobs[0].index: Counted(**{**vars(whole), "cell": bad})}


def _run_duckdb(source: Source, common: Expression, jobs: Sequence[_Job], keys: tuple[str, ...]) -> pa.Table:
    types = source.table.schema()
    branches = []
    for job in jobs:
        inside = None if job.name is None else source.columns[job.name]
        sql = _branch_of(job.grid, None if inside is None else types[inside], keys)
        reads = {"w": "w", "s": f"s{job.by} as s"}
        picks = [*(reads[key] for key in keys), *([] if inside is None else [f"{inside} as v"])]
        part = f"(select {', '.join(picks) or '0'} from placed)"  # noqa: S608 - names of our own
        branch = sql.replace(f'"{_BRANCH}"', part)
        branches.append(f'select {job.index} as "column", * from ({branch})')  # noqa: S608
    placed = compile_duckdb(common) if keys else "select * from source"
    return source.query_union(f"with placed as not materialized ({placed})", branches)


def _branch_of(grid: Grid | None, kind: dt.DataType | None, keys: tuple[str, ...]) -> str:
    if grid is None or grid.kind != "numeric":
        return _branch_sql("rows" if grid is None else "categorical", None, kind, keys)
    marks = marks_of(grid)
    template = marks.template
    sql = _branch_sql("numeric", template, kind, keys)
    actual = dict(zip(map(_literal, template.numbers), map(_literal, marks.numbers), strict=True))
    return re.sub(_TEMPLATE, lambda m: actual[m[0]], sql)


@lru_cache(maxsize=4000)
def _branch_sql(what: str, marks: Marks | None, kind: dt.DataType | None, keys: tuple[str, ...]) -> str:
    """One branch's SQL. What grids of one shape share is compiled once, and each one's numbers put in."""
    schema: dict[str, Any] = dict.fromkeys(keys, "int64")
    schema |= {} if kind is None else {"v": kind}
    table = ibis.table(schema or {"n": "int8"}, name=_BRANCH)
    return _shorten(compile_duckdb(_branch(table, what, marks, "duckdb", keys)))


def _literal(number: float) -> str:
    return _shorten(f"CAST('{number!r}' AS DOUBLE)")


def _shorten(sql: str) -> str:
    """Doubles as DuckDB's own double literals, which it plans faster than a cast of a text."""
    return re.sub(
        r"CAST\('(-?[0-9.]+)(?:e([-+]?[0-9]+))?' AS DOUBLE\)", lambda m: f"({m[1]}e{m[2] or 0})", sql
    )


def _run_backend(source: Source, common: Expression, jobs: Sequence[_Job], keys: tuple[str, ...]) -> pa.Table:
    def build(job: _Job, table: Expression) -> Expression:
        reads = {"w": table.w, "s": table[f"s{job.by}"] if "s" in keys else None}
        picks = {key: reads[key] for key in keys}
        picks |= {} if job.name is None else {"v": table[source.columns[job.name]]}
        what = "rows" if job.grid is None else job.grid.kind
        marks = marks_of(job.grid) if job.grid is not None and what == "numeric" else None
        branch = _branch(table.select(**picks) if picks else table, what, marks, source.backend, keys)
        return branch.select(column=ibis.literal(job.index, "int32"), **{c: branch[c] for c in COLUMNS[1:]})

    def run(table: Expression) -> pa.Table:
        branches = [build(job, table) for job in jobs]
        return (ibis.union(*branches, distinct=False) if len(branches) > 1 else branches[0]).to_pyarrow()

    if source.backend != "pyspark":
        return run(common)
    cached = common.cache()
    try:
        return run(cached)
    finally:
        cached.release()


def _branch(
    table: Expression, what: str, marks: Marks | None, backend: str, keys: tuple[str, ...]
) -> Expression:
    """Groups of one column `v` of a table that also has the `keys` (w: window, s: segment); `COLUMNS[1:]`."""
    none = ibis.null("float64")
    kept = {key: table[key] for key in keys}
    columns = {"cell": ibis.literal(0, "int64"), "text": ibis.null("string"), "total": none, "squares": none,
               "low": none, "high": none}  # fmt: skip
    if what == "rows":
        found = (table.group_by([*keys]) if keys else table).aggregate(rows=table.count())
    elif marks is None:
        parts = read_category(table.v, backend).parts
        read = table.select(**kept, **parts)
        found = read.group_by([*keys, *parts]).aggregate(rows=read.count())
        columns |= {{"number": "low"}.get(name, name): found[name] for name in parts}
    else:
        value, bad = read_number(table.v, backend)
        read = table.select(**kept, v=value, **({} if bad is None else {"bad": bad}))
        cell = place_number(read.v, marks)
        if bad is not None:
            cell = read.bad.ifelse(INVALID, cell)
        read = read.select(**{key: read[key] for key in keys}, cell=cell, v=read.v)
        found = read.group_by([*keys, "cell"]).aggregate(
            rows=read.count(),
            total=read.v.sum(),
            squares=_square(read.v, backend).sum(),
            low=read.v.min(),
            high=read.v.max(),
        )
        columns |= {name: found[name] for name in ("cell", "total", "squares", "low", "high")}
    zero = ibis.literal(0, "int64")
    columns |= {"window": found.w if "w" in keys else zero, "segment": found.s if "s" in keys else zero,
                "rows": found.rows}  # fmt: skip
    return found.select(**{name: columns[name] for name in COLUMNS[1:]})


def _square(v: Expression, backend: str) -> Expression:
    """x². PostgreSQL stops at an overflow or underflow, where the others give infinity (not counted) or 0."""
    if backend != "postgres":
        return v * v
    size = v.abs()
    return ibis.cases(((size <= double(float(HUGE))) & (size >= double(TINY)), v * v), else_=double(0.0))


def _parted(table: pa.Table, jobs: Sequence[_Job]) -> dict[int, Counted]:
    """The union's rows by job. Rows outside all windows (a null window) are left out."""
    table = table.filter(pc.is_valid(table["window"])).combine_chunks()
    table = table.take(pc.sort_indices(table["column"]))
    column = wholes_of(table["column"])
    found: dict[int, Counted] = {}
    for job in jobs:
        first, last = (int(np.searchsorted(column, job.index, side)) for side in ("left", "right"))
        part = table.slice(first, last - first)
        categorical = job.grid is not None and job.grid.kind == "categorical"
        cell = wholes_of(part["cell"])
        numbers = {name: doubles_of(part[name]) for name in ("total", "squares", "low", "high")}
        texts: list[str | None] = []
        if categorical:
            pairs = zip(part["text"].to_pylist(), part["low"].to_pylist(), strict=True)
            texts = [text_of(text, number) for text, number in pairs]
            empty = np.fromiter((text is None for text in texts), bool, len(texts))
            cell = np.where(empty & (cell == 0), -1, cell)
        found[job.index] = Counted(
            window=wholes_of(part["window"]),
            segment=wholes_of(part["segment"]),
            cell=cell,
            text=texts,
            rows=wholes_of(part["rows"]),
            **numbers,
        )
    return found


def _place_rows(
    source: Source, split: Split
) -> tuple[Expression, list[tuple[int, int]] | None, Expression | None]:
    """The window's index of each row, the stretches of each window, and which rows need to be read at all."""
    if split.windows is not None:
        name = split.ts_column
        if name not in source.columns:
            raise BadInput(f"the data have no column {name!r}, which holds the time of each row")
        moment = source.column(name)
        if not (moment.type().is_timestamp() or moment.type().is_date()):
            raise BadInput(f"the column {name!r} holds {_type_name(moment.type())}, not times")
        index, stretches = place_time(moment, split.windows, source.backend)
        first, last = min(w.start for w in split.windows), max(w.end for w in split.windows)
        return index, stretches, _between(moment, first, last)
    if split.group is not None:
        if split.group not in source.columns:
            raise BadInput(f"the data have no column {split.group!r} to group rows by")
        group = source.column(split.group)
        if not group.type().is_integer():
            raise BadInput(f"the column {split.group!r} holds {_type_name(group.type())}, not whole numbers")
        return group.cast("int64"), None, None
    return ibis.literal(0, "int64"), None, None


def _between(moment: Expression, first: datetime, last: datetime) -> Expression | None:
    """A comparison with the bare column, which lets files and partitions be skipped; None for dates."""
    kind = moment.type()
    if kind.is_date():
        return None
    bounds = [
        m.astimezone(UTC) if kind.timezone else m.astimezone(UTC).replace(tzinfo=None) for m in (first, last)
    ]
    literals = [ibis.literal(m, dt.Timestamp(timezone="UTC" if kind.timezone else None)) for m in bounds]
    return (moment >= literals[0]) & (moment < literals[1])


def _type_name(kind: dt.DataType) -> str:
    return "varchar" if kind.is_string() else str(kind)
