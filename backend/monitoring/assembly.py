"""Profiles put together from the groups that one scan counted. All work is per group, never per row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from backend.monitoring.grids import Grid
from backend.monitoring.profiles import STEPS, UNSEEN_KEPT, Profile, Segment, empty_profile
from backend.monitoring.windows import Window

if TYPE_CHECKING:
    from backend.monitoring.scan import Counted, Scan

Indices = npt.NDArray[np.int64]


def build_windows(
    scan: Scan, grids: Mapping[str, Grid], windows: Sequence[Window]
) -> dict[tuple[datetime, Segment | None, str], Profile]:
    """{(window.start, segment or None for all rows, column): Profile}, also for windows without rows."""
    found: dict[tuple[datetime, Segment | None, str], Profile] = {}
    by_columns: list[str | None] = [None, *(name for name in scan.rows if name is not None)]
    for by in by_columns:
        names = [None] if by is None else scan.names[by]
        built = build_profiles(scan, grids, by)
        used = sorted({segment for _, segment, _ in built}) if by is not None else [0]
        for index, window in enumerate(windows):
            for segment in used:
                key: Segment | None = None if by is None else (by, str(names[segment]))
                for name, grid in grids.items():
                    profile = built.get((index, segment, name))
                    found[window.start, key, name] = empty_profile(grid) if profile is None else profile
    return found


def build_profiles(
    scan: Scan, grids: Mapping[str, Grid], by: str | None
) -> dict[tuple[int, int, str], Profile]:
    """{(index of the window or group, index of the segment, column): Profile} of every group with rows.

    by   the segment column; None: all rows together, which any one segment column's groups add up to
    """
    source = by if by in scan.rows else next(iter(scan.rows), None)
    if source is None and None not in scan.rows:
        return {}
    together = by is None and source is not None
    rows = _arranged(scan.rows[source], scan.stretches, together)
    groups = np.unique(np.stack([rows.window, rows.segment], axis=1), axis=0)
    place = _Places(groups)
    counts = np.zeros(len(groups), dtype=np.int64)
    np.add.at(counts, place.of(rows), rows.rows)
    keys = [(int(window), int(segment)) for window, segment in groups]
    profiles: dict[tuple[int, int, str], Profile] = {}
    for name, grid in grids.items():
        counted = scan.counted.get((name, source))
        if counted is None:
            blank = empty_profile(grid)
            for key, n in zip(keys, counts.tolist(), strict=True):
                profiles[*key, name] = replace(blank, rows=n, null=n, absent=n)
            continue
        counted = _arranged(counted, scan.stretches, together)
        build = _build_numeric if grid.kind == "numeric" else _build_categorical
        for key, profile in zip(keys, build(grid, counted, place.of(counted), counts), strict=True):
            profiles[*key, name] = profile
    return profiles


class _Places:
    """The row of each (window, segment) in a sorted (n, 2) list of groups."""

    def __init__(self, groups: Indices) -> None:
        self.low = int(groups[:, 0].min()) if len(groups) else 0
        self.width = int(groups[:, 1].max()) + 1 if len(groups) else 1
        self.codes = (groups[:, 0] - self.low) * self.width + groups[:, 1]

    def of(self, counted: Counted) -> Indices:
        codes = (counted.window - self.low) * self.width + counted.segment
        return np.asarray(np.searchsorted(self.codes, codes), dtype=np.int64)


def _arranged(counted: Counted, stretches: list[tuple[int, int]] | None, together: bool) -> Counted:
    """With stretches of time replaced by windows (a stretch may be in several), and segments by 0 if `together`."""
    if together:
        counted = replace(counted, segment=np.zeros_like(counted.segment))
    if stretches is None:
        return counted
    order = np.argsort(counted.window, kind="stable")
    sorted_window = counted.window[order]
    bounds = np.asarray(stretches, dtype=np.int64).reshape(-1, 2)
    first = np.searchsorted(sorted_window, bounds[:, 0], side="left")
    last = np.searchsorted(sorted_window, bounds[:, 1], side="left")
    sizes = last - first
    picks = np.concatenate([order[a:b] for a, b in zip(first, last, strict=True)] or [order[:0]])
    taken: dict[str, Any] = {
        name: values[picks] for name, values in vars(counted).items() if isinstance(values, np.ndarray)
    }
    taken["window"] = np.repeat(np.arange(len(bounds)), sizes)
    return replace(counted, **taken, text=[counted.text[i] for i in picks] if counted.text else [])


def _build_numeric(grid: Grid, counted: Counted, at: Indices, rows: Indices) -> Iterable[Profile]:
    from backend.monitoring.placement import INFINITE, INVALID, NAN, cells_of_keys

    n = len(rows)
    fine = counted.cell >= 0
    cells = cells_of_keys(counted.cell[fine], grid)
    counts = np.zeros((n, grid.cells), dtype=np.int64)
    np.add.at(counts, (at[fine], cells), counted.rows[fine])
    offsets: Any = [None] * n
    if grid.edges:
        offsets = np.zeros((n, grid.cells), dtype=np.int64)
        inner = (cells > 0) & (cells < grid.cells - 1)
        where = _offsets(grid, cells[inner], counted.rows[fine][inner], counted.total[fine][inner])
        np.add.at(offsets, (at[fine][inner], cells[inner]), where)

    tails: list[Any] = [(None, None)] * n
    if grid.tails:
        outer = np.flatnonzero(counted.cell >= grid.cells)
        place = at[outer], counted.cell[outer] - grid.cells
        tail_rows, tail_sums = np.zeros((n, grid.tails), dtype=np.int64), np.zeros((n, grid.tails))
        np.add.at(tail_rows, place, counted.rows[outer])
        np.add.at(tail_sums, place, counted.total[outer])
        tails = list(zip(tail_rows, tail_sums, strict=True))

    def rows_of(code: int) -> list[int]:
        found: list[int] = _sum(at, counted.rows, counted.cell == code, n).astype(np.int64).tolist()
        return found

    under, over = np.zeros_like(fine), np.zeros_like(fine)
    under[fine], over[fine] = cells == 0, cells == grid.cells - 1
    low, high = np.full(n, np.inf), np.full(n, -np.inf)
    np.minimum.at(low, at[fine], counted.low[fine])
    np.maximum.at(high, at[fine], counted.high[fine])
    some = (counts.sum(axis=1) > 0).tolist()
    parts = zip(
        rows.tolist(), rows_of(-1), rows_of(NAN), rows_of(INFINITE), rows_of(INVALID),
        _sum(at, counted.total, fine, n).tolist(), _sum(at, counted.squares, fine, n).tolist(),
        _sum(at, counted.total, under, n).tolist(), _sum(at, counted.total, over, n).tolist(),
        low.tolist(), high.tolist(), strict=True,
    )  # fmt: skip
    for i, (total_rows, null, nan, infinite, invalid, total, squares, below, above, least, most) in enumerate(
        parts
    ):
        yield Profile(
            grid=grid, rows=total_rows, counts=counts[i], null=null, nan=nan, infinite=infinite, invalid=invalid,
            total=total, squares=squares, under_sum=below, over_sum=above,
            low=least if some[i] else None, high=most if some[i] else None,
            tail_rows=tails[i][0], tail_sums=tails[i][1], offsets=offsets[i],
        )  # fmt: skip


def _offsets(grid: Grid, cells: Indices, rows: Indices, sums: npt.NDArray[np.float64]) -> Indices:
    """`Profile.offsets` of groups of rows of one bin each, (n,); the middle where Σx is too coarse to tell."""
    low, high = grid.borders[cells - 1], grid.borders[cells]
    width = high - low
    coarse = np.maximum(np.abs(low), np.abs(high)) * np.sqrt(rows) > width * 1e12
    with np.errstate(over="ignore", invalid="ignore"):
        at = (sums - low * rows) / width
    at = np.where(coarse | ~np.isfinite(at), rows / 2, at)
    return np.rint(np.clip(at, 0, rows) * STEPS).astype(np.int64)


def _build_categorical(grid: Grid, counted: Counted, at: Indices, rows: Indices) -> Iterable[Profile]:
    from backend.monitoring.placement import INVALID, NAN

    n = len(rows)
    place = {value: cell for cell, value in enumerate(grid.values)}
    other, new = grid.cells - 2, grid.cells - 1
    fine = counted.cell >= 0
    picks = np.flatnonzero(fine)
    texts = sorted({str(counted.text[i]) for i in picks})
    rank = {text: i for i, text in enumerate(texts)}
    cell_of = np.array(
        [place.get(t, other if t in grid.others or not grid.complete else new) for t in texts], dtype=np.int64
    )
    ranks = np.fromiter((rank[str(counted.text[i])] for i in picks), np.int64, picks.size)
    groups = at[picks]
    cells = cell_of[ranks] if picks.size else np.empty(0, dtype=np.int64)
    counts = np.zeros((n, grid.cells), dtype=np.int64)
    np.add.at(counts, (groups, cells), counted.rows[picks])
    first, last = np.full(n, len(texts)), np.full(n, -1)
    np.minimum.at(first, groups, ranks)
    np.maximum.at(last, groups, ranks)
    strange = _unseen(groups[cells == new], ranks[cells == new], counted.rows[picks][cells == new], texts, n)
    null, nan, invalid = (
        _sum(at, counted.rows, counted.cell == code, n).astype(np.int64).tolist()
        for code in (-1, NAN, INVALID)
    )
    for i, total_rows in enumerate(rows.tolist()):
        yield Profile(
            grid=grid, rows=total_rows, counts=counts[i], null=null[i], nan=nan[i], invalid=invalid[i],
            low=texts[first[i]] if last[i] >= 0 else None, high=texts[last[i]] if last[i] >= 0 else None,
            unseen=strange[i],
        )  # fmt: skip


def _unseen(
    groups: Indices, ranks: Indices, rows: Indices, texts: list[str], n: int
) -> list[dict[str, int] | None]:
    """Rows of each unseen value by group, None where there are too many values to keep."""
    found: list[dict[str, int] | None] = [{} for _ in range(n)]
    if not groups.size:
        return found
    pairs, inverse = np.unique(groups * (len(texts) + 1) + ranks, return_inverse=True)
    sums = np.bincount(inverse, weights=rows).astype(np.int64)
    where, which = np.divmod(pairs, len(texts) + 1)
    starts = np.searchsorted(where, np.arange(n + 1))
    for i in range(n):
        a, b = int(starts[i]), int(starts[i + 1])
        if b - a > UNSEEN_KEPT:
            found[i] = None
        elif b > a:
            found[i] = {texts[which[k]]: int(sums[k]) for k in range(a, b)}
    return found


def _sum(
    at: Indices, values: npt.NDArray[Any], mask: npt.NDArray[np.bool_], n: int
) -> npt.NDArray[np.float64]:
    """Σ of the values where `mask`, by group, (n,)."""
    return np.bincount(at[mask], weights=values[mask].astype(np.float64), minlength=n).astype(np.float64)
