"""Grids: where a column's values are counted, frozen once on the reference.

Edges never depend on the data that is looked at, so one value of 1e6 moves one count, not every bin.
A numeric grid has up to 8 pieces of 64 equal bins; within a piece, bin = floor((x - lo) * k).
A column with few distinct values keeps each value exactly; a category keeps its 200 most frequent values.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from backend.monitoring.columns import Column, Kind

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

BINS = 64
PIECES = 8
HUGE = "1e150"  # beyond it squares overflow; counted as infinite
DISCRETE = 64
TOP = 200
GROUPS = 10
KNOWN_LIMIT = 50_000
PLACES = (0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99)


@dataclass(frozen=True)
class Grid:
    """How one column is counted. Three forms, by what is filled:

    edges   numeric: piece borders, ascending, (pieces + 1,). Values outside are under- or overflow
    values  numeric with at most 64 distinct values: each value, ascending
    values  categorical: the most frequent values (up to 200), as text; `others` are the rest of the reference's

    groups         numeric with edges: bin indices that start the 10 groups of about equal reference mass
                   on which PSI, JS, chi² and L-infinity are computed; 512 bins would drown them in noise
    expected_new   share of rows with values not met before that equal data would bring (Good-Turing: the
                   reference's values seen once, divided by its rows; for `edges`, about 2 / rows)
    complete       categorical: False when the reference has over 50,000 values, so 'unseen' cannot be told
    """

    kind: Kind
    edges: tuple[float, ...] = ()
    values: tuple[Any, ...] = ()
    others: frozenset[str] = frozenset()
    groups: tuple[int, ...] = ()
    expected_new: float = 0.0
    complete: bool = True

    @property
    def discrete(self) -> bool:
        """Numeric with exact values."""
        return self.kind == "numeric" and not self.edges

    @cached_property
    def cells(self) -> int:
        """Length of `Profile.counts`.

        edges:       under, bins..., over
        discrete:    under, v0, gap, v1, gap, ..., v_last, over
        categorical: values..., other, unseen
        """
        if self.kind == "categorical":
            return len(self.values) + 2
        if self.edges:
            return (len(self.edges) - 1) * BINS + 2
        return 2 * max(len(self.values), 1) + 1

    @cached_property
    def borders(self) -> Floats:
        """Numeric with edges: all bin borders, (bins + 1,)."""
        parts = [np.linspace(lo, hi, BINS, endpoint=False) for lo, hi in pairwise(self.edges)]
        return np.concatenate([*parts, np.array([self.edges[-1]])])

    @cached_property
    def slopes(self) -> tuple[float, ...]:
        """Numeric with edges: bins per unit in each piece, a hair below 64 / width where rounding needs it.

        (x - lo) * slope is then below 64 for every x up to the piece's upper edge.
        """
        found = []
        for lo, hi in pairwise(self.edges):
            k = BINS / (hi - lo)
            while (hi - lo) * k >= BINS:
                k = math.nextafter(k, 0)
            found.append(k)
        return tuple(found)

    def coarsen(self, counts: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Sum cells (last axis) into those that share-based statistics use; the last is 'new' or 'outside'."""
        if self.kind == "categorical":
            return counts
        if self.edges:
            inner = np.add.reduceat(counts[..., 1:-1], self.groups, axis=-1)
            outside = counts[..., :1] + counts[..., -1:]
        else:
            inner = counts[..., 1::2][..., : len(self.values)]
            outside = counts.sum(axis=-1, keepdims=True) - inner.sum(axis=-1, keepdims=True)
        return np.concatenate([inner, outside], axis=-1)

    def labels(self) -> list[str]:
        """One text for each cell of `coarsen`, for people."""
        if self.kind == "categorical":
            return [*map(str, self.values), "other", "unseen"]
        if not self.edges:
            return [*(f"{v:g}" for v in self.values), "new value"]
        at = [float(self.borders[g]) for g in self.groups] + [self.edges[-1]]
        return [*(f"{a:.4g} to {b:.4g}" for a, b in pairwise(at)), "outside"]

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the canonical JSON; equal grids have equal digests."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "edges": list(self.edges),
            "values": list(self.values),
            "others": sorted(self.others),
            "groups": list(self.groups),
            "expected_new": self.expected_new,
            "complete": self.complete,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Grid:
        return cls(
            kind=document["kind"],
            edges=tuple(document["edges"]),
            values=tuple(document["values"]),
            others=frozenset(document["others"]),
            groups=tuple(document["groups"]),
            expected_new=document["expected_new"],
            complete=document["complete"],
        )


def freeze_grids(reference: pa.Table, columns: Iterable[Column]) -> dict[str, Grid]:
    """A grid for each column from the reference's rows.

    A column that is absent, all null or unreadable gets a grid without values: every value looked at later
    is outside it, and statistics against it are inconclusive with that reason.
    """
    from backend.monitoring.scan import read_categories, read_numbers  # takes a second to import

    grids: dict[str, Grid] = {}
    for column in columns:
        if column.kind == "numeric":
            grids[column.name] = place_numbers(read_numbers(reference, column.name))
        else:
            grids[column.name] = place_categories(read_categories(reference, column.name))
    return grids


def place_numbers(numbers: Floats) -> Grid:
    """The grid of finite numbers (n,), in any order."""
    x = np.sort(numbers)
    if not x.size:
        return Grid(kind="numeric")
    values, rows = np.unique(x, return_counts=True)
    if values.size <= DISCRETE and (values.size <= 2 or x.size >= 4 * values.size):
        once = int((rows == 1).sum())
        return Grid(kind="numeric", values=tuple(values.tolist()), expected_new=once / x.size)
    edges = _edges(x)
    inner = x[(x >= edges[0]) & (x <= edges[-1])]
    grid = Grid(kind="numeric", edges=edges)
    borders = grid.borders
    through = np.searchsorted(inner, borders[1:], side="left")
    targets = np.arange(1, GROUPS) / GROUPS * inner.size
    starts = np.unique(np.searchsorted(through, targets, side="left") + 1)
    groups = (0, *(int(s) for s in starts if s < borders.size - 1))
    return Grid(kind="numeric", edges=edges, groups=groups, expected_new=min(2 / x.size, 1.0))


def place_categories(rows_by_value: Mapping[str, int]) -> Grid:
    """The grid of categories, from the reference's rows of each value."""
    ranked = sorted(rows_by_value, key=lambda value: (-rows_by_value[value], value))
    rows = sum(rows_by_value.values())
    once = sum(1 for count in rows_by_value.values() if count == 1)
    complete = len(ranked) <= KNOWN_LIMIT
    return Grid(
        kind="categorical",
        values=tuple(ranked[:TOP]),
        others=frozenset(ranked[TOP:]) if complete else frozenset(),
        expected_new=once / rows if rows and complete else 0.0,
        complete=complete,
    )


def _edges(x: Floats) -> tuple[float, ...]:
    """Borders of up to 8 pieces for sorted `x` with at least three distinct values."""
    low, high = -_fence(-x[::-1]), _fence(x)
    inner = x[(x >= low) & (x <= high)]
    edges = sorted({low, *(float(q) for q in np.quantile(inner, PLACES, method="lower")), high})
    # Equal quantiles (a value that many rows share) leave pieces over: split where most rows lie.
    while len(edges) - 1 < PIECES:
        spans = [inner[np.searchsorted(inner, a, "right") : np.searchsorted(inner, b, "left")]
                 for a, b in pairwise(edges)]  # fmt: skip
        fullest = max(spans, key=len)
        if not fullest.size:
            break
        edges = sorted({*edges, float(fullest[fullest.size // 2])})
    kept = [edges[0]]
    for edge in edges[1:]:
        if math.isfinite(BINS / (edge - kept[-1])):
            kept.append(edge)
    return tuple(kept) if len(kept) > 1 else (edges[0], float(np.nextafter(edges[0], np.inf)) + 1e-300)


def _fence(x: Floats) -> float:
    """The grid's upper end: far enough for the tail, not so far that one outlier stretches the last piece.

    Rows beyond it are counted as overflow, with their exact sum.
    """
    top = float(x[-1])
    above = x[x > x[x.size // 2]]
    if above.size < 20:
        return top
    middle, far = (float(q) for q in np.quantile(above, [0.5, 0.98], method="lower"))
    return min(top, far + 3 * (far - middle)) if far > middle else top
