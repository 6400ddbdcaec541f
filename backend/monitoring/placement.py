"""Where a value is counted, as Ibis expressions: one definition for DuckDB, PostgreSQL and Spark.

Only comparisons, `floor`, and one subtraction and multiplication of IEEE doubles decide a cell, so that every
backend counts alike to the last unit. Borders are written as text that is cast to double: as plain literals
DuckDB and Spark would read them as decimals first. NaN is above every number in all three.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import numpy as np
import numpy.typing as npt

from backend.monitoring.grids import HUGE, Grid, name_ranges
from backend.monitoring.windows import Window

Value = Any  # an ibis value expression; ibis ships no types for mypy here

TINY = 1e-150  # below it squares underflow, which PostgreSQL refuses
NAN, INFINITE, INVALID = -2, -3, -4
TEMPLATE = 7_400_000_000.5
WHOLE_SPAN = 2000
NUMBER = r"^\s*[+-]?([0-9]{1,40}([.][0-9]{0,40})?|[.][0-9]{1,40})([eE][+-]?[0-9]{1,2})?\s*$"
SEGMENTS = 20


@ibis.udf.scalar.builtin(name="epoch_us")  # type: ignore[untyped-decorator]
def _duckdb_micros(moment: dt.timestamp) -> dt.int64:
    """Microseconds since 1970."""


@ibis.udf.scalar.builtin(name="unix_micros")  # type: ignore[untyped-decorator]
def _spark_micros(moment: dt.timestamp) -> dt.int64:
    """Microseconds since 1970."""


@ibis.udf.scalar.builtin(name="floor")  # type: ignore[untyped-decorator]
def _floor(number: dt.float64) -> dt.float64:
    """Ibis's own floor casts to a whole number, which the cell is cast to in the end anyway."""


def micros_of(moment: Value, backend: str) -> Value:
    """A timestamp or date as whole microseconds since 1970 (int64). A time without a zone is UTC.

    The one place where the backends are asked differently: SQL has no common function for it.
    """
    if moment.type().is_date():
        moment = moment.cast("timestamp")
    if backend == "duckdb":
        return _duckdb_micros(moment)
    if backend == "pyspark":
        return _spark_micros(moment.cast("timestamp('UTC')"))
    return (
        (moment.epoch_seconds() * 1_000_000).cast("float64").floor()
    )  # numeric seconds in PostgreSQL: exact


def read_number(value: Value, backend: str) -> tuple[Value, Value | None]:
    """A column as double (null where there is none), and where a value is there but unreadable (or None).

    Booleans are 0 and 1, times are seconds since 1970, text is read where it has the form of a number.
    """
    kind = value.type()
    if kind.is_floating():
        return (value if kind.is_float64() else value.cast("float64")), None
    if kind.is_boolean():
        return value.cast("int32").cast("float64"), None
    if kind.is_numeric():
        return value.cast("float64"), None
    if kind.is_timestamp() or kind.is_date():
        return micros_of(value, backend).cast("float64") / double(1e6), None
    if kind.is_string():
        word = value.strip().lower()
        number = ibis.cases(
            (value.re_search(NUMBER), value.strip().cast("float64")),
            (word.isin(["nan"]), double(math.nan)),
            (word.isin(["inf", "+inf", "infinity", "+infinity"]), double(math.inf)),
            (word.isin(["-inf", "-infinity"]), double(-math.inf)),
        )
        # Spark's isnull, as ibis writes it, holds for NaN too.
        return number, value.notnull() & number.isnull() & ~number.isnan().fill_null(False)
    return ibis.null("float64"), value.notnull()


@dataclass(frozen=True)
class Category:
    """A column as a category: `text`, or `number` where `text_of` writes the text; `cell` marks the odd.

    What a kind of column does not need is None, so that rows are not grouped by it.
    """

    text: Value | None = None
    number: Value | None = None
    cell: Value | None = None

    @property
    def parts(self) -> dict[str, Value]:
        """What rows are grouped by."""
        return {name: value for name, value in vars(self).items() if value is not None}


def read_category(value: Value, backend: str) -> Category:
    """3.0 and 3 are the same category. Times are their microseconds; nested values and bytes are invalid."""
    kind = value.type()
    if kind.is_string():
        return Category(value)
    if kind.is_boolean():
        return Category(ibis.cases((value, "true"), (~value, "false")))
    if kind.is_integer():
        return Category(value.cast("string"))
    if kind.is_numeric():
        number = value if kind.is_float64() else value.cast("float64")
        return Category(number=number, cell=number.isnan().ifelse(NAN, 0).cast("int64"))
    if kind.is_timestamp():
        # text_of writes it: backends print times differently.
        return Category(ibis.literal("us:") + micros_of(value, backend).cast("string"))
    if kind.is_nested() or kind.is_binary() or kind.is_null() or kind.is_unknown() or kind.is_geospatial():
        return Category(cell=value.notnull().ifelse(INVALID, 0).cast("int64"))
    return Category(value.cast("string"))


def text_of(text: str | None, number: float | None) -> str | None:
    """The category of one group: whole numbers without a fraction, others as Python writes them; None for null."""
    if number is not None and not math.isnan(number):
        return str(int(number)) if abs(number) < 1e15 and number == math.floor(number) else repr(number)
    if text is not None and text.startswith("us:") and text[3:].lstrip("-").isdigit():
        moment = np.datetime64(int(text[3:]), "us")
        return str(moment).replace("T", " ").removesuffix(".000000")
    return text


def double(value: float) -> Value:
    return ibis.literal(repr(float(value))).cast("float64")


@dataclass(frozen=True)
class Marks:
    """The numbers that place a value on a grid; grids of one `form` and as many `numbers` share one expression.

    pieces  edges (n + 1), slopes (n), first cell of each piece (n), keys below and above, borders of both tails
    whole   lowest value, twice it less one, highest value, the key above
    points  the values
    none    the cell of every value
    """

    form: str
    numbers: tuple[float, ...]

    @property
    def template(self) -> Marks:
        """Marks of the same shape whose numbers are unlike each other and all others in an expression."""
        return Marks(self.form, tuple(TEMPLATE + i for i in range(len(self.numbers))))


def marks_of(grid: Grid) -> Marks:
    if not (grid.edges or grid.values):
        return Marks("none", (float(grid.cells - 1),))
    if grid.edges:
        firsts = map(float, grid.firsts)
        ends = (0.0, float(grid.cells - 1))
        if grid.tails:  # keys above the cells are those of the tails
            ends = (float(grid.cells), float(grid.cells + len(grid.lows) + 1))
        form = f"pieces {len(grid.bins)} {len(grid.lows)} {len(grid.highs)}"
        return Marks(form, (*grid.edges, *grid.slopes, *firsts, *ends, *grid.lows, *grid.highs))
    if _whole(grid):
        low, high = float(grid.values[0]), float(grid.values[-1])
        return Marks("whole", (low, 2 * low - 1, high, 2 * (high - low) + 2))
    return Marks("points", tuple(map(float, grid.values)))


def place_number(v: Value, marks: Marks) -> Value:
    """The key (int64) of a double: null, NAN, INFINITE, or a cell (through `cells_of_keys`).

    Cells are doubles until the end: a cast in every branch costs more than one. Null and NaN are asked for last, of
    the few rows above the grid, which is where every comparison sends them: DuckDB must not be let to drop a
    comparison that Parquet's statistics decide, since they leave NaN out (see `sources.connect`).
    """
    return _place_known(v, marks).cast("int64")


def _place_known(v: Value, marks: Marks) -> Value:
    numbers = marks.numbers
    if marks.form == "none":
        return _odd(v, numbers[0])
    if marks.form.startswith("pieces"):
        return _place_in_pieces(v, numbers, *map(int, marks.form.split()[1:]))
    if marks.form == "whole":
        # For a whole number 2v, between two whole numbers their sum: no search is needed.
        low, before, high, over = numbers
        steps = _floor(v) - _floor(double(0) - v)
        return ibis.cases(
            (v < double(low), _below(v)), (v <= double(high), steps - double(before)), else_=_odd(v, over)
        )
    points = numbers

    def leaf(i: int) -> Value:
        if i == len(points) - 1:
            return ibis.cases((v == double(points[i]), double(2 * i + 1)), else_=_odd(v, 2 * i + 2))
        exact = (v == double(points[i])).ifelse(double(2 * i + 1), double(2 * i + 2))
        return ibis.cases((v < double(points[0]), _below(v)), else_=exact) if i == 0 else exact

    return _bisect(v, points, leaf, 0, len(points))


def cells_of_keys(keys: npt.NDArray[np.int64], grid: Grid) -> npt.NDArray[np.int64]:
    """The cell (n,) in `Profile.counts` of each key (n,) that `place_number` gives and that is not negative."""
    if grid.edges and grid.tails:
        return np.where(
            keys < grid.cells, keys, np.where(keys <= grid.cells + len(grid.lows), 0, grid.cells - 1)
        )
    if grid.kind != "numeric" or grid.edges or not _whole(grid):
        return keys
    low = grid.values[0]
    values = np.asarray(grid.values)
    odd = keys % 2 == 1
    number = low + (keys - 1) / 2  # of an even key: halfway between two whole numbers
    last = np.searchsorted(values, number, side="right") - 1
    cells = np.where(odd & (values[np.maximum(last, 0)] == number), 2 * last + 1, 2 * last + 2)
    return np.asarray(np.where(keys == 0, 0, cells), dtype=np.int64)


def place_time(moment: Value, windows: Sequence[Window], backend: str) -> tuple[Value, list[tuple[int, int]]]:
    """The index (int64) of the stretch that a time falls in, null outside all windows; and each window's stretches.

    Stretches are the time between neighbouring bounds of windows, so that windows may overlap; a window is
    `range(*pair)` of them. Stretches of equal length follow each other in runs (a day of 23 hours ends one):
    within a run the index is a division.
    """
    bounds = sorted({micros for w in windows for micros in (to_micros(w.start), to_micros(w.end))})
    place = {micros: index for index, micros in enumerate(bounds)}
    runs = [0]
    lengths = [b - a for a, b in pairwise(bounds)]
    runs += [i for i in range(1, len(lengths)) if lengths[i] != lengths[i - 1]]
    at = micros_of(moment, backend)

    def leaf(r: int) -> Value:
        first = runs[r]
        return (at - bounds[first]) // lengths[first] + first

    starts = [bounds[first] for first in runs]
    inner = _bisect(at, starts, leaf, 0, len(runs), literal=int)
    index = ibis.cases(((at >= bounds[0]) & (at < bounds[-1]), inner))
    return index, [(place[to_micros(w.start)], place[to_micros(w.end)]) for w in windows]


def to_micros(moment: datetime) -> int:
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def place_segment(value: Value, grid: Grid, backend: str) -> tuple[Value, list[str]]:
    """The segment (int64) that a row belongs to by this column, and the segments' names in order.

    The 20 most frequent values of the reference, or ranges of a numeric column; then "other" and "missing".
    """
    if grid.kind == "categorical":
        tops = list(grid.values[:SEGMENTS])
        category = read_category(value, backend)
        text, number = category.text, category.number
        if text is not None:
            absent = text.isnull()
        else:
            absent = ibis.literal(True) if number is None else number.isnull() | number.isnan()
        cases = [(absent, len(tops) + 1)]
        for i, top in enumerate(tops):
            known = _as_float(top)
            if number is not None and known is not None:
                cases.append((number == double(known), i))
            elif text is not None:
                cases.append((text == ibis.literal(top), i))
        return ibis.cases(*cases, else_=len(tops)).cast("int64"), [*map(str, tops), "other", "missing"]
    v, _ = read_number(value, backend)
    borders, names = segment_ranges(grid)
    count = len(names)
    if not count:
        return ibis.cases((v.isnull() | v.isnan(), 1), else_=0).cast("int64"), ["other", "missing"]
    inner = _bisect(v, borders, ibis.literal, 0, count)
    inside = (v >= double(borders[0])) & (v <= double(borders[-1]))
    code = ibis.cases((v.isnull() | v.isnan(), count + 1), (inside, inner), else_=count)
    return code.cast("int64"), [*names, "other", "missing"]


def segment_ranges(grid: Grid) -> tuple[list[float], list[str]]:
    """Borders (n + 1,) and names (n,) of a numeric column's segments: its values when few, else ranges of them."""
    if grid.edges:
        borders = [*(float(grid.borders[g]) for g in grid.groups), grid.edges[-1]]
        return borders, name_ranges(borders)
    values = [float(v) for v in grid.values]
    if len(values) <= SEGMENTS:
        return ([*values, values[-1]] if values else []), [f"{v:g}" for v in values]
    starts = values[:: math.ceil(len(values) / 10)]
    lasts = [values[values.index(s) - 1] for s in starts[1:]] + [values[-1]]
    return [*starts, values[-1]], [f"{a:g} to {b:g}" for a, b in zip(starts, lasts, strict=True)]


def _place_in_pieces(v: Value, numbers: tuple[float, ...], count: int, below: int, above: int) -> Value:
    at = [0, count + 1, 2 * count + 1, 3 * count + 1, 3 * count + 3, 3 * count + 3 + below, len(numbers)]
    edges, ks, firsts, (under, over), lows, highs = (numbers[a:b] for a, b in pairwise(at))
    if below or above:
        under, over = _tail(v, under, lows), _tail(v, over, highs)

    def leaf(piece: int) -> Value:
        inner = _floor((v - double(edges[piece])) * double(ks[piece])) + double(firsts[piece])
        if piece == count - 1:
            inner = ibis.cases((v <= double(edges[-1]), inner), else_=_odd(v, over))
        if piece == 0:
            inner = ibis.cases((v < double(edges[0]), _below(v, under)), else_=inner)
        return inner

    return _bisect(v, edges, leaf, 0, count)


def _tail(v: Value, first: float, borders: tuple[float, ...]) -> Value:
    """The key of a value beyond the edges, one more for each border at or below it."""
    return double(first) + _bisect(v, (0.0, *borders), double, 0, len(borders) + 1)


def _below(v: Value, under: Any = 0.0) -> Value:
    under = double(under) if isinstance(under, float) else under
    return ibis.cases((v < double(-float(HUGE)), double(INFINITE)), else_=under)


def _odd(v: Value, over: Any) -> Value:
    """Not on the grid and not below it: null, NaN, infinite, or over."""
    over = double(over) if isinstance(over, int | float) else over
    huge = double(float(HUGE))
    return ibis.cases(
        (v.isnan(), double(NAN)),
        (v.isnull(), ibis.null("float64")),
        ((v > huge) | (v < double(-float(HUGE))), double(INFINITE)),
        else_=over,
    )


def _whole(grid: Grid) -> bool:
    values = grid.values
    return (
        len(values) > 1
        and values[-1] - values[0] <= WHOLE_SPAN
        and all(float(v).is_integer() for v in values)
    )


def _bisect(
    v: Value,
    points: Sequence[Any],
    leaf: Callable[[int], Value],
    first: int,
    last: int,
    literal: Callable[[Any], Value] = double,
) -> Value:
    """Nested CASE that finds the last point at or below `v` in log2(n) comparisons. Null reaches the last leaf."""
    if last - first <= 1:
        return leaf(first)
    middle = (first + last) // 2
    below = _bisect(v, points, leaf, first, middle, literal)
    above = _bisect(v, points, leaf, middle, last, literal)
    return (v < literal(points[middle])).ifelse(below, above)


def _as_float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
