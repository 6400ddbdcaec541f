"""Rows placed on frozen grids: the coarse cell of every row, and the same cells as plain numbers.

The cells are those of `Grid.coarsen`, with infinite numbers added to the last ("outside" or "unseen") and one more
cell for missing values, so that counts over rows equal counts from a stored profile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from backend.monitoring.columns import Column
from backend.monitoring.grids import HUGE, Grid
from backend.monitoring.profiles import Profile

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

FAR = 0.5  # of the grid's span: a value further outside than this is no tail of the distribution
MATRIX_VALUES = 200


@dataclass(frozen=True)
class PlacedColumn:
    """One column of n rows on its grid.

    codes    (n,) coarse cell; the last but one is "outside" or "unseen", the last is missing
    numbers  (n,) the value as a number: itself (numeric; NaN when missing) or its cell in the grid (categorical)
    far      (n,) infinite, or outside the grid by more than half of its span
    present  False when the table lacks the column
    """

    name: str
    grid: Grid
    codes: Codes
    numbers: Floats
    far: Mask
    present: bool

    @property
    def cells(self) -> int:
        return int(self.grid.coarsen(np.zeros(self.grid.cells, dtype=np.int64)).size) + 1

    @property
    def missing(self) -> Mask:
        return np.asarray(self.codes == self.cells - 1)

    @property
    def strange(self) -> Mask:
        """Outside the grid (numeric) or unseen (categorical)."""
        return np.asarray(self.codes == self.cells - 2)

    @cached_property
    def labels(self) -> list[str]:
        return [*self.grid.labels(), "missing"]


def place_rows(frame: pd.DataFrame, grids: Mapping[str, Grid]) -> dict[str, PlacedColumn]:
    """Every column of `grids` in `frame`. A column that is absent is missing in every row."""
    placed: dict[str, PlacedColumn] = {}
    for name, grid in grids.items():
        if name not in frame.columns:
            rows = len(frame)
            missing = np.full(rows, _coarse_cells(grid), dtype=np.int64)
            none = np.full(rows, np.nan), np.zeros(rows, dtype=bool)
            placed[name] = PlacedColumn(name, grid, missing, *none, present=False)
            continue
        values: Any = frame[name]
        if getattr(values, "ndim", 1) > 1:  # the first of columns that share a name, as in the scan
            values = values.iloc[:, 0]
        place = _place_numbers if grid.kind == "numeric" else _place_categories
        placed[name] = place(name, values, grid)
    return placed


def profile_cells(profile: Profile) -> Codes:
    """Rows in each cell of `PlacedColumn.codes`, from a stored profile."""
    counts = np.append(profile.coarse, profile.missing).astype(np.int64)
    counts[-2] += profile.infinite
    return counts


def build_matrix(placed: Mapping[str, PlacedColumn], columns: Sequence[Column]) -> tuple[Floats, list[bool]]:
    """Numbers (n, columns) for a tree model with NaN for missing, and which columns are categories."""
    parts = [np.where(np.isfinite(placed[c.name].numbers), placed[c.name].numbers, np.nan) for c in columns]
    matrix = np.column_stack(parts) if parts else np.empty((0, 0))
    return matrix, [column.kind == "categorical" for column in columns]


def read_floats(values: Any) -> Floats:
    """Values (n,) as numbers, NaN where there is none or it cannot be read; times as seconds since 1970."""
    import pandas as pd

    series = pd.Series(values).reset_index(drop=True)
    if pd.api.types.is_datetime64_any_dtype(series.dtype):
        nanoseconds = pd.to_datetime(series, utc=True).astype("datetime64[ns, UTC]")
        seconds = np.array(nanoseconds.astype("int64"), dtype=np.float64) / 1e9
        return np.asarray(np.where(series.isna().to_numpy(), np.nan, seconds), dtype=np.float64)
    if pd.api.types.is_bool_dtype(series.dtype) or pd.api.types.is_numeric_dtype(series.dtype):
        return np.asarray(
            series.astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan), dtype=np.float64
        )
    numbers = pd.to_numeric(series.astype(object), errors="coerce")
    return np.asarray(pd.Series(numbers).to_numpy(dtype=np.float64, na_value=np.nan))


def _coarse_cells(grid: Grid) -> int:
    return int(grid.coarsen(np.zeros(grid.cells, dtype=np.int64)).size)


def _coarse_of(grid: Grid, cells: Codes) -> Codes:
    """The coarse cell of each fine cell (n,)."""
    table = np.argmax(grid.coarsen(np.eye(grid.cells, dtype=np.int8)), axis=-1)
    return np.asarray(table[cells], dtype=np.int64)


def _place_numbers(name: str, values: pd.Series, grid: Grid) -> PlacedColumn:
    x = read_floats(values)
    missing, infinite = np.isnan(x), np.abs(x) > float(HUGE)
    inside = ~missing & ~infinite
    points = np.asarray(grid.edges or grid.values, dtype=np.float64)
    outside, codes = _coarse_cells(grid) - 1, np.zeros(x.size, dtype=np.int64)
    far = infinite.copy()
    if not points.size:
        codes[:] = outside
    else:
        known = np.where(inside, x, points[0])
        codes = _coarse_of(grid, grid.locate(known))
        reach = FAR * (points[-1] - points[0])
        far |= inside & ((known < points[0] - reach) | (known > points[-1] + reach))
        codes[infinite] = outside
    codes[missing] = outside + 1
    return PlacedColumn(name, grid, codes, x, far, present=True)


def _place_categories(name: str, values: pd.Series, grid: Grid) -> PlacedColumn:
    import pandas as pd

    picks, uniques = pd.factorize(values, use_na_sentinel=True)
    place = {value: cell for cell, value in enumerate(grid.values)}
    other, unseen = grid.cells - 2, grid.cells - 1
    cells = np.empty(len(uniques) + 1, dtype=np.int64)
    for index, value in enumerate(uniques):
        text = category_text(value)
        rest = other if text in grid.others or not grid.complete else unseen
        cells[index] = place.get(text, rest)
    cells[-1] = unseen + 1
    codes = cells[np.asarray(picks)]  # -1 (missing) picks the last
    numbers = np.where(codes > unseen, np.nan, codes.astype(np.float64))
    return PlacedColumn(name, grid, codes, numbers, np.zeros(codes.size, dtype=bool), present=True)


def category_text(value: Any) -> str:
    """A category as the scan writes it: 3.0 and 3 are the same, booleans in lower case."""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float | np.floating) and abs(float(value)) < 1e15 and float(value).is_integer():
        return str(int(value))
    return str(value)
