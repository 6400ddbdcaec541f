"""Profiles: mergeable counts of one column in one window, on a grid frozen from the reference.

Whatever a column holds has a defined place, and one odd column never stops the others:

    null      NULL, and every row of a table that lacks the column (also counted in `absent`)
    nan       NaN
    infinite  -inf, +inf and numbers beyond 1e150
    invalid   a value that cannot be read as the declared kind
    counts    finite numbers or categories, in the layout of `Grid.cells`
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np

from backend.monitoring.grids import Counts, Floats, Grid, freeze_grids, place_categories
from backend.monitoring.windows import Window

__all__ = [
    "Grid",
    "Profile",
    "empty_profile",
    "freeze_grids",
    "merge_all",
    "profile_groups",
    "profile_reference",
    "profile_segments",
    "profile_table",
    "profile_windows",
]

UNSEEN_KEPT = 100
STEPS = 64
Segment = tuple[str, str]
"""(segment column, its value)."""


@dataclass(frozen=True)
class Profile:
    """Counts of one column on one grid. Profiles of the same grid add up with `merge`.

    counts            (grid.cells,) rows in each cell
    total, squares    Σx and Σx² of finite numbers; under_sum, over_sum: Σx outside the grid
    tail_rows, tail_sums  (grid.tails,) rows and Σx of the cells outside the grid's edges; None where it has none
    offsets           (grid.cells,) where a cell's rows lie in it: the sum of their distances from its lower border, in
                      `STEPS` of its width, 0 outside the grid; None where the grid has no bins, or it is not known
    low, high         smallest and largest finite number, or text of a category; None when there is none
    unseen            categorical: rows of each unseen value, kept while there are at most 100 of them;
                      None when there were more (the count in `counts` stays exact)
    """

    grid: Grid
    rows: int
    counts: Counts
    null: int = 0
    nan: int = 0
    infinite: int = 0
    invalid: int = 0
    absent: int = 0
    total: float = 0.0
    squares: float = 0.0
    under_sum: float = 0.0
    over_sum: float = 0.0
    tail_rows: Counts | None = None
    tail_sums: Floats | None = None
    offsets: Counts | None = None
    low: float | str | None = None
    high: float | str | None = None
    unseen: Mapping[str, int] | None = field(default_factory=dict)

    @property
    def known(self) -> int:
        """Rows with a usable value: the denominator of every share."""
        return self.rows - self.null - self.nan - self.infinite - self.invalid

    @property
    def missing(self) -> int:
        """Rows without a readable value. Infinite values are readable, and out of range."""
        return self.null + self.nan + self.invalid

    @cached_property
    def coarse(self) -> Counts:
        return np.asarray(self.grid.coarsen(self.counts), dtype=np.int64)

    @cached_property
    def compared(self) -> Counts:
        """The coarse cells as share-based statistics see them.

        Where the reference has more values than are kept one by one, a value it never had is one more of the rest:
        the next rows of such a column bring new values even when nothing changed.
        """
        counts = self.coarse
        if self.grid.kind == "categorical" and (self.grid.others or not self.grid.complete):
            counts = counts.copy()
            counts[-2], counts[-1] = counts[-2] + counts[-1], 0
        return counts

    @cached_property
    def fingerprint(self) -> bytes:
        """Cheap identity of grid and counts, for caches."""
        sums = " ".join(f"{value:.9g}" for value in (self.under_sum, self.over_sum, self.squares))
        return hashlib.sha256(self.grid.digest.encode() + self.counts.tobytes() + sums.encode()).digest()

    @property
    def mean(self) -> float | None:
        return self.total / self.known if self.known and self.grid.kind == "numeric" else None

    @property
    def std(self) -> float | None:
        """Population standard deviation (ddof 0) of the finite numbers, as Evidently's Wasserstein takes it."""
        if not self.known or self.grid.kind != "numeric":
            return None
        mean = self.total / self.known
        return math.sqrt(max(self.squares / self.known - mean * mean, 0.0))

    @cached_property
    def moments(self) -> tuple[float, float, float]:
        """Mean, standard deviation (ddof 0) and skewness of a numeric column, wild values pulled in to the grid."""
        share = self.counts / max(int(self.counts.sum()), 1)
        mean = float(share @ self.grid.places)
        away = self.grid.places - mean
        variance = float(share @ (away**2 + self.grid.widths**2 / 12))
        if variance <= 0:
            return mean, 0.0, 0.0
        std = variance**0.5
        with np.errstate(under="ignore"):
            return mean, std, float(share @ (away / std) ** 3)

    def merge(self, other: Profile) -> Profile:
        """The profile of both sets of rows. Raises `ValueError` on different grids."""
        if self.grid is not other.grid and self.grid.digest != other.grid.digest:
            raise ValueError("profiles of different grids cannot be merged; profile again on one grid")
        return Profile(
            grid=self.grid,
            rows=self.rows + other.rows,
            counts=self.counts + other.counts,
            null=self.null + other.null,
            nan=self.nan + other.nan,
            infinite=self.infinite + other.infinite,
            invalid=self.invalid + other.invalid,
            absent=self.absent + other.absent,
            total=self.total + other.total,
            squares=self.squares + other.squares,
            under_sum=self.under_sum + other.under_sum,
            over_sum=self.over_sum + other.over_sum,
            **_merge_tails([self, other]),
            offsets=_merge_offsets([self, other]),
            low=_extreme(min, self.low, other.low),
            high=_extreme(max, self.high, other.high),
            unseen=_merge_unseen(self.unseen, other.unseen),
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON document without the grid; cells are sparse: [cell, rows], or [cell, rows, offset]."""
        filled = np.flatnonzero(self.counts)
        parts = [filled, self.counts[filled], *([] if self.offsets is None else [self.offsets[filled]])]
        return {
            "grid": self.grid.digest,
            "rows": self.rows,
            "counts": np.stack(parts, axis=1).tolist(),
            **{name: getattr(self, name) for name in _PLAIN},
            **(
                {}
                if self.tail_rows is None or self.tail_sums is None
                else {"tails": [self.tail_rows.tolist(), self.tail_sums.tolist()]}
            ),
            "unseen": None if self.unseen is None else dict(sorted(self.unseen.items())),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any], grid: Grid) -> Profile:
        """Raises `ValueError` when the document was counted on another grid."""
        if document["grid"] != grid.digest:
            raise ValueError("the stored profile was counted on another grid")
        filled = np.asarray(document["counts"] or np.empty((0, 3)), dtype=np.int64)
        counts, offsets = np.zeros((2, grid.cells), dtype=np.int64)
        counts[filled[:, 0]] = filled[:, 1]
        known = bool(grid.edges) and filled.shape[1] > 2
        if known:
            offsets[filled[:, 0]] = filled[:, 2]
        return cls(
            grid=grid,
            rows=document["rows"],
            counts=counts,
            offsets=offsets if known else None,
            unseen=document["unseen"],
            **_tails_of(document.get("tails")),
            **{name: document[name] for name in _PLAIN},
        )

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the canonical JSON; sums to 12 digits, since their last bits depend on the order read."""
        document = replace(self, offsets=None).to_json()  # whose last unit depends on it, too
        for name in ("total", "squares", "under_sum", "over_sum"):
            document[name] = float(f"{document[name]:.12g}")
        if "tails" in document:
            document["tails"] = [document["tails"][0], [float(f"{x:.12g}") for x in document["tails"][1]]]
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


_ADDED = (
    "null", "nan", "infinite", "invalid", "absent", "total", "squares", "under_sum", "over_sum",
)  # fmt: skip
_PLAIN = (
    "null", "nan", "infinite", "invalid", "absent", "total", "squares", "under_sum", "over_sum", "low", "high",
)  # fmt: skip


def empty_profile(grid: Grid) -> Profile:
    """The profile of no rows."""
    tails = [[0] * grid.tails, [0.0] * grid.tails] if grid.tails else None
    none = np.zeros(grid.cells, dtype=np.int64)
    return Profile(grid, 0, none, offsets=none if grid.edges else None, **_tails_of(tails))


def merge_all(profiles: Sequence[Profile], grid: Grid) -> Profile:
    """The profile of all rows of the given ones, as repeated `merge` gives it but in one pass over their cells.

    Raises `ValueError` on a profile of another grid.
    """
    if any(p.grid is not grid and p.grid.digest != grid.digest for p in profiles):
        raise ValueError("profiles of different grids cannot be merged; profile again on one grid")
    counts = np.zeros(grid.cells, dtype=np.int64)
    for profile in profiles:
        counts += profile.counts
    totals = {name: sum(getattr(p, name) for p in profiles) for name in ("rows", *_ADDED)}
    lows = [p.low for p in profiles if p.low is not None]
    highs = [p.high for p in profiles if p.high is not None]
    return Profile(
        grid=grid,
        counts=counts,
        low=min(lows, default=None),
        high=max(highs, default=None),
        unseen=_merge_all_unseen([p.unseen for p in profiles]),
        **_merge_tails(profiles or [empty_profile(grid)]),
        offsets=_merge_offsets(profiles or [empty_profile(grid)]),
        **totals,
    )


def profile_windows(
    source: Any,
    grids: Mapping[str, Grid],
    windows: Sequence[Window],
    ts_column: str = "ts",
) -> dict[tuple[datetime, str], Profile]:
    """Profile every column of `grids` in every window, in one scan of `source`.

    source   a pyarrow Table or Dataset, a DuckDB relation or an ibis table (scanned in place, nothing is copied),
             or the path or paths of Parquet or CSV files
    returns  {(window.start, column): Profile}; a window without rows has profiles of zero rows

    Rows outside all windows, or whose `ts_column` is null, are left out. A time without a zone is UTC.
    Raises `BadInput` when `ts_column` is not there or holds no times.
    """
    from backend.monitoring.assembly import build_windows
    from backend.monitoring.scan import Split, count_rows  # takes a second to import

    scan = count_rows(source, grids, Split(windows=windows, ts_column=ts_column))
    found = build_windows(scan, grids, windows)
    return {(start, name): profile for (start, _, name), profile in found.items()}


def profile_segments(
    source: Any,
    grids: Mapping[str, Grid],
    windows: Sequence[Window],
    segments: Sequence[str] | Mapping[str, Grid],
    ts_column: str = "ts",
) -> dict[tuple[datetime, Segment | None, str], Profile]:
    """Profile every column in every window, for all rows and for each segment of each segment column, in one scan.

    segments  columns of `grids`, or columns with a grid of their own, which says what their segments are: the 20
              most frequent values of the reference (or 10 ranges of a numeric column with many), "other", "missing"
    returns   {(window.start, (segment column, its value) or None for all rows, column): Profile}

    The segments of one column part the rows: their profiles merge to that of all rows. A segment without rows in
    any window is left out; one without rows in some window has profiles of zero rows there.
    """
    from backend.monitoring.assembly import build_windows
    from backend.monitoring.scan import Split, count_rows  # takes a second to import

    chosen = segments if isinstance(segments, Mapping) else {name: grids[name] for name in segments}
    scan = count_rows(source, grids, Split(windows=windows, ts_column=ts_column, segments=chosen))
    return build_windows(scan, grids, windows)


def profile_groups(
    source: Any, grids: Mapping[str, Grid], group_column: str
) -> dict[tuple[int, str], Profile]:
    """Profile every column for each value of an integer column, such as the number of a window of N rows.

    returns  {(group, column): Profile}; rows without a group are left out
    """
    from backend.monitoring.assembly import build_profiles
    from backend.monitoring.scan import Split, count_rows  # takes a second to import

    scan = count_rows(source, grids, Split(group=group_column))
    found = build_profiles(scan, grids, None)
    return {(group, name): profile for (group, _, name), profile in found.items()}


def profile_table(source: Any, grids: Mapping[str, Grid]) -> dict[str, Profile]:
    """Profile all rows of `source` together, whatever their times."""
    from backend.monitoring.assembly import build_profiles
    from backend.monitoring.scan import Split, count_rows  # takes a second to import

    scan = count_rows(source, grids, Split())
    found = build_profiles(scan, grids, None)
    return {name: found.get((0, 0, name)) or empty_profile(grid) for name, grid in grids.items()}


def profile_reference(
    source: Any, categories: Sequence[str], placed: Mapping[str, Grid]
) -> tuple[dict[str, Grid], dict[str, Profile]]:
    """Freeze the grids of categories on the rows that are profiled, in one scan: the grids, and every profile.

    placed   grids of the other columns
    """
    from backend.monitoring.assembly import build_profiles
    from backend.monitoring.scan import Split, count_rows, words_of  # takes a second to import

    scan = count_rows(source, {**placed, **{name: Grid("categorical") for name in categories}}, Split())
    grids = {name: place_categories(words_of(scan.counted.get((name, None)))) for name in categories}
    grids = {**placed, **grids}
    found = build_profiles(scan, grids, None)
    return grids, {name: found.get((0, 0, name)) or empty_profile(grid) for name, grid in grids.items()}


def _tails_of(document: Any) -> dict[str, Any]:
    if document is None:
        return {}
    rows, sums = document
    return {"tail_rows": np.asarray(rows, dtype=np.int64), "tail_sums": np.asarray(sums, dtype=np.float64)}


def _merge_tails(parts: Sequence[Profile]) -> dict[str, Any]:
    rows = [part.tail_rows for part in parts if part.tail_rows is not None]
    sums = [part.tail_sums for part in parts if part.tail_sums is not None]
    return {"tail_rows": sum(rows), "tail_sums": sum(sums)} if len(rows) == len(parts) else {}


def _merge_offsets(parts: Sequence[Profile]) -> Counts | None:
    known = [part.offsets for part in parts if part.offsets is not None]
    return np.sum(known, axis=0, dtype=np.int64) if len(known) == len(parts) else None


def _merge_all_unseen(parts: Sequence[Mapping[str, int] | None]) -> Mapping[str, int] | None:
    merged: dict[str, int] = {}
    for part in parts:
        if part is None:
            return None
        for value, rows in part.items():
            merged[value] = merged.get(value, 0) + rows
        if len(merged) > UNSEEN_KEPT:
            return None
    return merged


def _extreme(choose: Any, a: Any, b: Any) -> Any:
    if a is None or b is None:
        return b if a is None else a
    return choose(a, b)


def _merge_unseen(a: Mapping[str, int] | None, b: Mapping[str, int] | None) -> Mapping[str, int] | None:
    if a is None or b is None:
        return None
    merged = {key: a.get(key, 0) + b.get(key, 0) for key in {*a, *b}}
    return merged if len(merged) <= UNSEEN_KEPT else None
