"""Grids: where a column's values are counted, frozen once on the reference.

Edges never depend on the data that is looked at, so one value of 1e6 moves one count, not every bin.
A numeric grid has up to 512 bins in a few pieces of equal bins; within a piece, bin = floor((x - lo) * k).
A bin holds at most about 0.5 % of the reference; a value that many rows share has a bin of its own.
A column with few distinct values keeps each value exactly; a category keeps its 200 most frequent values.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from backend.monitoring.columns import Column, Kind

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

BINS = 512
PIECES = 8
FULL = 0.0045  # share of the reference that a bin may hold where the column is continuous
ATOM = 0.02  # share of the reference from which a value gets a bin of its own
ATOMS = 4
NARROW = 1e-300
LEAST_BINS = 16
ENDLESS = 1e200  # bins: no grid has them, and sums of them are still numbers
HUGE = "1e150"  # beyond it squares overflow; counted as infinite
DISCRETE = 64
TOP = 200
GROUPS = 10
KNOWN_LIMIT = 50_000
STEPS = 64
GAPS = 4
FEW = 2000
TAIL_BORDERS = (12, 48)
LARGEST = 4
TAILS = (0.001, 0.003, 0.006, 0.01, 0.99, 0.994, 0.997, 0.999)


@dataclass(frozen=True)
class Grid:
    """How one column is counted. Three forms, by what is filled:

    edges   numeric: piece borders, ascending, (pieces + 1,). Values outside are under- or overflow
    bins    the number of equal bins in each piece, (pieces,)
    values  numeric with at most 64 distinct values: each value, ascending
    values  categorical: the most frequent values (up to 200), as text; `others` are the rest of the reference's

    lows, highs    numeric with edges: borders of the cells that part what lies below and above them, ascending,
                   where the reference has a long tail; a profile keeps rows and sums of these cells
    groups         numeric with edges: bin indices that start the 10 groups of about equal reference mass
                   on which PSI, JS, chi² and L-infinity are computed; 512 bins would drown them in noise
    expected_new   share of rows with values not met before that equal data would bring (Good-Turing: the
                   reference's values seen once, divided by its rows; for `edges`, about 2 / rows)
    complete       categorical: False when the reference has over 50,000 values, so 'unseen' cannot be told
    """

    kind: Kind
    edges: tuple[float, ...] = ()
    bins: tuple[int, ...] = ()
    values: tuple[Any, ...] = ()
    others: frozenset[str] = frozenset()
    groups: tuple[int, ...] = ()
    lows: tuple[float, ...] = ()
    highs: tuple[float, ...] = ()
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
            return sum(self.bins) + 2
        return 2 * max(len(self.values), 1) + 1

    @property
    def tails(self) -> int:
        """Length of `Profile.tail_rows`: cells below, from far to near, then cells above, from near to far."""
        return len(self.lows) + len(self.highs) + 2 if self.lows or self.highs else 0

    @cached_property
    def borders(self) -> Floats:
        """Numeric with edges: all bin borders, (bins + 1,)."""
        spans = zip(pairwise(self.edges), self.bins, strict=True)
        parts = [np.linspace(lo, hi, bins, endpoint=False) for (lo, hi), bins in spans]
        return np.concatenate([*parts, np.array([self.edges[-1]])])

    @cached_property
    def places(self) -> Floats:
        """Numeric: a point for each cell, (cells,): its middle. What lies outside the grid counts as at its end."""
        if self.edges:
            middles = (self.borders[1:] + self.borders[:-1]) / 2
            return np.concatenate([[self.edges[0]], middles, [self.edges[-1]]])
        values = np.asarray(self.values, dtype=np.float64)
        found = np.empty(self.cells)
        found[1::2] = values
        found[2:-1:2] = (values[:-1] + values[1:]) / 2
        found[0], found[-1] = values[0], values[-1]
        return found

    @cached_property
    def widths(self) -> Floats:
        """Numeric: the width of each cell, (cells,); 0 for exact values and outside the grid."""
        return np.concatenate([[0.0], np.diff(self.borders), [0.0]]) if self.edges else np.zeros(self.cells)

    @cached_property
    def drawn_borders(self) -> Floats:
        """`borders` without those that only part a single value from the bin after it, for charts."""
        return self.borders[self._drawn]

    def draw(self, counts: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The bins' counts between `drawn_borders`."""
        return np.asarray(np.add.reduceat(counts[1:-1], np.flatnonzero(self._drawn)[:-1]))

    @cached_property
    def _drawn(self) -> npt.NDArray[np.bool_]:
        wide = np.diff(self.borders) > 1e-9 * (self.edges[-1] - self.edges[0])
        return np.concatenate([[True], wide[:-1], [True]])

    @cached_property
    def slopes(self) -> tuple[float, ...]:
        """Numeric with edges: bins per unit in each piece, a hair below bins / width where rounding needs it.

        (x - lo) * slope is then below the number of bins for every x up to the piece's upper edge.
        """
        found = []
        for (lo, hi), bins in zip(pairwise(self.edges), self.bins, strict=True):
            k = bins / (hi - lo)
            while (hi - lo) * k >= bins:
                k = math.nextafter(k, 0)
            found.append(k)
        return tuple(found)

    @cached_property
    def firsts(self) -> tuple[int, ...]:
        """Numeric with edges: the cell of the first bin of each piece."""
        return tuple(1 + int(n) for n in np.cumsum([0, *self.bins[:-1]]))

    def locate(self, numbers: Floats) -> npt.NDArray[np.int64]:
        """The cell (n,) of each finite number (n,), as a scan counts it."""
        points = np.asarray(self.edges or self.values, dtype=np.float64)
        if not points.size:
            return np.full(numbers.shape, self.cells - 1)
        last = np.clip(np.searchsorted(points, numbers, side="right") - 1, 0, None)
        if self.edges:
            piece = np.minimum(last, points.size - 2)
            held = np.clip(numbers, points[0], points[-1])
            within = np.floor((held - points[piece]) * np.asarray(self.slopes)[piece]).astype(np.int64)
            cells = np.asarray(self.firsts)[piece] + within
        else:
            cells = 2 * last + np.where(numbers == points[last], 1, 2)
        cells = np.where(numbers < points[0], 0, cells)
        return np.asarray(np.where(numbers > points[-1], self.cells - 1, cells), dtype=np.int64)

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
        return [*name_ranges([float(self.borders[g]) for g in self.groups] + [self.edges[-1]]), "outside"]

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the canonical JSON; equal grids have equal digests."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "edges": list(self.edges),
            "bins": list(self.bins),
            "values": list(self.values),
            "others": sorted(self.others),
            "groups": list(self.groups),
            **({"lows": list(self.lows), "highs": list(self.highs)} if self.tails else {}),
            "expected_new": self.expected_new,
            "complete": self.complete,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Grid:
        return cls(
            kind=document["kind"],
            edges=tuple(document["edges"]),
            bins=tuple(document["bins"]),
            values=tuple(document["values"]),
            others=frozenset(document["others"]),
            groups=tuple(document["groups"]),
            lows=tuple(document.get("lows", ())),
            highs=tuple(document.get("highs", ())),
            expected_new=document["expected_new"],
            complete=document["complete"],
        )


def freeze_grids(reference: pa.Table, columns: Iterable[Column]) -> dict[str, Grid]:
    """A grid for each column from the reference's rows.

    A column that is absent, all null or unreadable gets a grid without values: every value looked at later
    is outside it, and statistics against it are inconclusive with that reason.
    """
    from backend.monitoring.scan import read_categories, read_numbers  # takes a second to import

    chosen = {column.name: column.kind for column in columns}
    numeric = [name for name, kind in chosen.items() if kind == "numeric"]
    words = [name for name, kind in chosen.items() if kind != "numeric"]
    grids = (
        {name: place_numbers(x) for name, x in read_numbers(reference, numeric).items()} if numeric else {}
    )
    if words:
        grids |= {name: place_categories(rows) for name, rows in read_categories(reference, words).items()}
    return {name: grids[name] for name in chosen}


def place_numbers(numbers: Floats) -> Grid:
    """The grid of finite numbers (n,), in any order."""
    x = np.sort(numbers)
    if not x.size:
        return Grid(kind="numeric")
    values, rows = np.unique(x, return_counts=True)
    if values.size <= DISCRETE and (values.size <= 2 or x.size >= 4 * values.size):
        once = int((rows == 1).sum())
        return Grid(kind="numeric", values=tuple(values.tolist()), expected_new=once / x.size)
    edges, bins = _whole_numbers(x) or _with_atoms(*_pieces(x), values, rows)
    first, last = (edges[1] - edges[0]) / bins[0], (edges[-1] - edges[-2]) / bins[-1]
    lows = tuple(-b for b in reversed(_tail(-x[x < edges[0]][::-1], -edges[0], first)))
    grid = Grid("numeric", edges, bins, lows=lows, highs=tuple(_tail(x[x > edges[-1]], edges[-1], last)))
    filled = np.cumsum(np.bincount(grid.locate(x), minlength=grid.cells)[1:-1])
    targets = np.arange(1, GROUPS) / GROUPS * filled[-1]
    starts = np.unique(np.searchsorted(filled, targets, side="left") + 1)
    groups = (0, *(int(s) for s in starts if s < filled.size))
    return replace(grid, groups=groups, expected_new=min(2 / x.size, 1.0))


def name_ranges(borders: Sequence[float]) -> list[str]:
    """A text for each range (n,) between borders (n + 1,); a range of one value is that value."""
    names = []
    for a, b in pairwise(borders):
        low, high = (0.0 if abs(x) <= NARROW else x for x in (a, b))
        names.append(f"{low:.4g}" if b - a <= _gap(a) else f"{low:.4g} to {high:.4g}")
    return names


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


def _whole_numbers(x: Floats) -> tuple[tuple[float, ...], tuple[int, ...]] | None:
    """A bin for each whole number, where sorted `x` holds nothing else and spans few of them."""
    low, high = math.floor(-_fence(-x[::-1])), math.ceil(_fence(x))
    if high - low >= BINS or max(abs(low), abs(high)) > 1e15 or bool((x != np.floor(x)).any()):
        return None
    return (float(low), float(high + 1)), (high - low + 1,)


def _pieces(x: Floats) -> tuple[list[float], list[int]]:
    """Edges (n + 1,) and bins (n,) of the fewest pieces, up to 8, that hold every bin to its share.

    A piece from a to b needs (b - a) times its largest density, divided by the share a bin may hold, bins. Cuts are
    tried at quantiles; the cheapest ones for each number of pieces are found by dynamic programming.
    """
    low, high = -_fence(-x[::-1]), _fence(x)
    inner = x[(x >= low) & (x <= high)]
    steps = max(2, min(STEPS, inner.size // 2))
    full = FULL if inner.size >= FEW else FULL / 3  # few rows tell densities roughly
    places = [*(i / steps for i in range(1, steps)), *(TAILS if inner.size >= 1000 else ())]
    gaps = np.argsort(np.diff(inner))[-GAPS:] if inner.size > 50 else np.empty(0, dtype=np.int64)
    quantiles = np.quantile(inner, places, method="lower")
    points = np.unique([low, high, *quantiles, *inner[gaps], *inner[gaps + 1]])
    rows = np.searchsorted(inner, points[1:], "left") - np.searchsorted(inner, points[:-1], "right")
    n = points.size
    cost = np.full((n, n), np.inf)
    with np.errstate(
        over="ignore"
    ):  # over hundreds of orders of magnitude a piece would need endlessly many bins
        density = rows / inner.size / np.diff(points)
        for i in range(n - 1):
            needed = (points[i + 1 :] - points[i]) * np.maximum.accumulate(density[i:])
            cost[i, i + 1 :] = np.minimum(needed, ENDLESS)
    best = cost[0].copy()
    cuts: list[npt.NDArray[np.int64]] = []
    while best[-1] > full * BINS and len(cuts) < min(PIECES, n - 1) - 1:
        through = best[:, None] + cost
        cuts.append(np.argmin(through, axis=0))
        best = np.min(through, axis=0)
    path = [n - 1]
    for cut in reversed(cuts):
        path.append(int(cut[path[-1]]))
    path = sorted({0, *path})
    wanted = np.array([cost[a, b] for a, b in pairwise(path)])
    spare = BINS - LEAST_BINS * wanted.size
    bins = LEAST_BINS + np.floor(spare * wanted / max(wanted.sum(), 1e-300)).astype(np.int64)
    edges = [float(points[i]) for i in path]
    kept = [i for i, (a, b) in enumerate(pairwise(edges)) if math.isfinite(BINS / (b - a))]
    if len(kept) < len(bins):  # denormal gaps: one piece, if that has a width at all
        wide = math.isfinite(BINS / (edges[-1] - edges[0]))
        return ([edges[0], edges[-1]] if wide else [edges[0], edges[0] + _gap(edges[0])]), [
            BINS if wide else 1
        ]
    return edges, [int(b) for b in bins]


def _with_atoms(
    edges: list[float], bins: list[int], values: Floats, rows: Counts
) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """The grid with a bin of its own for each of the few values that many rows share."""
    common = np.argsort(-rows, kind="stable")[:ATOMS]
    for atom in sorted(float(values[i]) for i in common if rows[i] >= max(ATOM * rows.sum(), 3)):
        after = atom + _gap(atom)
        if not edges[0] <= atom or not after < edges[-1]:
            continue
        at = int(np.searchsorted(edges, atom, side="right")) - 1
        lo, hi = edges[at], edges[at + 1]
        if hi <= after:
            continue
        left = round(bins[at] * (atom - lo) / (hi - lo))
        parts = [(atom, max(left, 1))] if atom > lo else []
        parts += [(after, 1), (hi, max(bins[at] - left - 1, 1))]
        if not all(math.isfinite(n / (b - a)) for (a, _), (b, n) in pairwise([(lo, 0), *parts])):
            continue
        edges[at + 1 : at + 2] = [edge for edge, _ in parts]
        bins[at : at + 1] = [n for _, n in parts]
    return tuple(edges), tuple(bins)


def _tail(beyond: Floats, end: float, width: float) -> list[float]:
    """Borders of a tail from the sorted values beyond `end`: 12 or 48, ever wider apart, and the largest values.

    A few rows far out decide a distance, so cells grow with the distance from the grid, whose last bin has this
    `width`. Numbers of borders are few, since each is an expression of its own to compile.
    """
    values = np.unique(beyond)
    if not values.size:
        return []
    wanted = TAIL_BORDERS[values.size > LARGEST]
    far = float(values[-1]) - end
    near = min(width, far / 2)
    if not 0 < near < far < ENDLESS:
        return []
    largest = values[-LARGEST:]
    found = np.unique([*(end + np.geomspace(near, far, wanted - largest.size + 1)[:-1]), *largest])
    while found.size < wanted:  # halve the widest cell
        steps = np.diff(found, prepend=end)
        at = int(np.argmax(steps))
        middle = found[at] - steps[at] / 2
        if middle in found or not end < middle:
            return []
        found = np.sort(np.append(found, middle))
    return [float(value) for value in found] if found[0] > end else []


def _gap(value: float) -> float:
    """The width of a bin that holds this value alone."""
    return max(math.nextafter(value, math.inf) - value, NARROW)


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
