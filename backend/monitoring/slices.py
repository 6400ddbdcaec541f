"""Worst slices: where, over one or two columns, a model does worse than on the rest of the rows.

Each row's share in the metric is its influence (`outcomes.gradient`): the excess loss for mean metrics, the DeLong
placement for roc_auc. A slice's excess is then a sum over rows, so all slices of a pair of columns come from one
table of counts.

A slice is judged against what chance gives to a set of so many rows drawn from the same rows without replacement
(for roc_auc: so many of each class): the permutation distribution, whose mean, variance and skewness are known
exactly, with Pearson's type III law for the tail (Mielke and Berry 2007). p is multiplied by the number of slices
looked at (Bonferroni), so on rows where no column matters a slice is named at most 5 % of the time.

After the strongest slice is found its rows are set aside and the search is repeated on the rest: a slice that is
only part of a worse one, or overlaps it, is not named twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy.special import gammainc, gammaincc, ndtr

from backend.monitoring.cells import Codes, Floats, Mask, PlacedColumn
from backend.monitoring.outcomes import LOWER_IS_BETTER, Outcomes, gradient, measure

MIN_ROWS = 50
LEVEL = 0.05
LIMIT = 5
GROUPS = 10
PAIR_GROUPS = 5
CATEGORIES = 20
PAIR_CATEGORIES = 9
PAIR_MARGIN = 0.5  # standard errors by which two columns must do better than one to be named


@dataclass(frozen=True)
class Condition:
    """One column of a slice: the cells of `PlacedColumn.codes` that belong to it, and their name for people."""

    column: str
    cells: tuple[int, ...]
    text: str


@dataclass(frozen=True)
class Slice:
    """A set of rows on which the model does worse.

    rows, share      its rows among those with label and output
    inside, outside  the metric on the slice and on all other rows; None where it is undefined (one class)
    effect           points of the metric that these rows cost, beyond what so many average rows would
    p                chance of such an excess for one slice looked at
    p_corrected      chance that any of the slices looked at shows it
    """

    conditions: tuple[Condition, ...]
    rows: int
    share: float
    inside: float | None
    outside: float | None
    effect: float
    statistic: float
    p: float
    p_corrected: float
    text: str

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(condition.column for condition in self.conditions)


@dataclass(frozen=True)
class SliceSearch:
    """The slices found, largest effect on the metric first, and how many were looked at to find them."""

    metric: str
    slices: tuple[Slice, ...]
    looked_at: int
    rows: int
    reason: str | None = None


def search_slices(
    placed: Mapping[str, PlacedColumn],
    outcomes: Outcomes,
    *,
    excess: Floats | None = None,
    min_rows: int = MIN_ROWS,
    level: float = LEVEL,
    limit: int = LIMIT,
    pairs: bool = True,
) -> SliceSearch:
    """Search all slices over one and two columns.

    placed     the columns of the rows that `outcomes` was read from
    excess     (m,) how much worse each usable row did than was to be expected of it, in points of the metric x rows
               (`attribution.Attribution.excess`): slices are then those that became worse, not those that are
               hard by nature. None: against the other rows
    min_rows   a slice, and the rest, have at least so many rows

    A search that cannot be made has no slices and the reason.
    """
    rows = outcomes.known
    if rows < 2 * min_rows:
        return SliceSearch(outcomes.metric, (), 0, rows, f"{rows} labelled rows; {2 * min_rows} are needed")
    if outcomes.value() is None:
        return SliceSearch(outcomes.metric, (), 0, rows, f"{outcomes.metric} is undefined on these rows")
    guarded, strata = excess is not None, np.zeros(rows, dtype=np.int64)
    if excess is None:
        excess, strata = _influence(outcomes)
    columns = {name: column.codes[outcomes.usable] for name, column in placed.items()}
    searched = _Search(placed, columns, min_rows, guarded, pairs)
    left = np.ones(rows, dtype=bool)
    found: list[Slice] = []
    looked_at = 0
    while len(found) < limit and left.sum() >= 2 * min_rows:
        best, tested = searched.best(excess, strata, left)
        looked_at = max(looked_at, tested)
        if best is None or best.p * tested > level:
            break
        member = np.logical_and.reduce([np.isin(columns[c.column], c.cells) for c in best.conditions])
        found.append(_describe(outcomes, best, member, excess, min(best.p * tested, 1.0)))
        left &= ~member
    found.sort(key=lambda one: -one.effect)
    return SliceSearch(outcomes.metric, tuple(found), looked_at, rows)


@dataclass(frozen=True)
class _Candidate:
    conditions: tuple[Condition, ...]
    z: float
    p: float


@dataclass(frozen=True)
class _Cuts:
    """The slices of one column: `member` (slices, cells) says which cells each holds."""

    conditions: list[Condition]
    member: Floats


class _Search:
    """The slices of all columns and pairs, counted on the rows that are left."""

    def __init__(
        self,
        placed: Mapping[str, PlacedColumn],
        codes: Mapping[str, Codes],
        min_rows: int,
        guarded: bool,
        pairs: bool,
    ) -> None:
        self.min_rows, self.guarded = min_rows, guarded
        self.single: dict[str, tuple[Codes, _Cuts]] = {}
        self.double: dict[str, tuple[Codes, _Cuts]] = {}
        for name, column in placed.items():
            rows = np.bincount(codes[name], minlength=column.cells)
            for kept, groups, values in (
                (self.single, GROUPS, CATEGORIES),
                (self.double, PAIR_GROUPS, PAIR_CATEGORIES),
            ):
                place, cuts = _cut(column, rows, groups, values)
                if cuts.conditions:
                    kept[name] = place[codes[name]], cuts
        self.pairs = list(combinations(self.double, 2)) if pairs else []

    def best(self, excess: Floats, strata: Codes, left: Mask) -> tuple[_Candidate | None, int]:
        """The slice furthest from chance on the rows left, and how many slices were looked at."""
        law = _Permutation(excess[left], strata[left], self.guarded)
        ones: list[tuple[_Candidate | None, int]] = []
        for codes, cuts in self.single.values():
            tables = law.count(codes[left], cuts.member.shape[1])
            sums = [cuts.member @ table for table in tables]
            ones.append(self._pick(law, sums, [cuts]))
        twos: list[tuple[_Candidate | None, int]] = []
        kept = {name: codes[left] for name, (codes, _) in self.double.items()}
        for first, second in self.pairs:
            a, b = self.double[first][1], self.double[second][1]
            width = b.member.shape[1]
            tables = law.count(kept[first] * width + kept[second], a.member.shape[1] * width)
            sums = [
                np.einsum("ac,cds,bd->abs", a.member, t.reshape(-1, width, t.shape[-1]), b.member, optimize=True)
                .reshape(-1, t.shape[-1])
                for t in tables
            ]  # fmt: skip
            twos.append(self._pick(law, sums, [a, b]))
        tested = sum(count for _, count in ones + twos)
        single = max((c for c, _ in ones if c), key=lambda c: c.z, default=None)
        double = max((c for c, _ in twos if c), key=lambda c: c.z, default=None)
        if single is None or (double is not None and double.z > single.z + PAIR_MARGIN):
            return double, tested
        return single, tested

    def _pick(
        self, law: _Permutation, sums: list[Floats], cuts: Sequence[_Cuts]
    ) -> tuple[_Candidate | None, int]:
        rows = sums[0].sum(axis=-1)
        wide = (rows >= self.min_rows) & (law.rows - rows >= self.min_rows)
        if not wide.any():
            return None, 0
        z, p = law.judge(*(part[wide] for part in sums))
        at = int(np.argmin(np.where(z > 0, p, 2.0))) if np.all(p > 0) else int(np.argmax(z))
        index = np.unravel_index(int(np.flatnonzero(wide)[at]), [len(c.conditions) for c in cuts])
        chosen = tuple(cut.conditions[int(i)] for cut, i in zip(cuts, index, strict=True))
        return _Candidate(chosen, float(z[at]), float(p[at])), int(wide.sum())


class _Permutation:
    """Sums of excess over rows drawn without replacement, within strata."""

    def __init__(self, excess: Floats, strata: Codes, guarded: bool) -> None:
        self.rows = excess.size
        self.strata = strata
        self.width = int(strata.max()) + 1
        self.total = np.bincount(strata, minlength=self.width).astype(np.float64)
        means = np.bincount(strata, weights=excess, minlength=self.width) / np.maximum(self.total, 1)
        self.excess = excess - means[strata]
        self.second = self._moment(2)
        self.third = self._moment(3)
        self.weights = [None, self.excess, self.excess**2] if guarded else [None, self.excess]

    def _moment(self, order: int) -> Floats:
        sums = np.bincount(self.strata, weights=self.excess**order, minlength=self.width)
        return np.asarray(sums / np.maximum(self.total, 1))

    def count(self, codes: Codes, cells: int) -> list[Floats]:
        """Tables (cells, strata) of rows, Σ excess and, when guarded, Σ excess²."""
        at = codes * self.width + self.strata if self.width > 1 else codes
        size = cells * self.width
        return [
            np.bincount(at, weights=w, minlength=size).astype(np.float64).reshape(cells, self.width)
            for w in self.weights
        ]

    def judge(self, rows: Floats, sums: Floats, squares: Floats | None = None) -> tuple[Floats, Floats]:
        """Standardised excess and one-sided p of slices; arrays (slices, strata)."""
        n, k = self.total, rows
        room = np.maximum(n - 1, 1)
        variance = k * (n - k) / room * self.second
        # Third central moment of a sum drawn without replacement (Cramér 1946, 23.5).
        skew = k * (n - k) * (n - 2 * k) / (room * np.maximum(n - 2, 1)) * self.third
        spread = variance.sum(axis=-1)
        if squares is not None:  # rows of the slice may vary more than the rest by nature
            own = (squares * (1 - k / np.maximum(n, 1))).sum(axis=-1)
            spread = np.maximum(spread, own)
        root = np.sqrt(np.maximum(spread, 1e-300))
        z = np.where(spread > 0, sums.sum(axis=-1) / root, 0.0)
        gamma = np.where(spread > 0, skew.sum(axis=-1) / root**3, 0.0)
        return z, _tail(z, gamma)


def _tail(z: Floats, skew: Floats) -> Floats:
    """P(Z >= z) of Pearson's type III law with mean 0, variance 1 and this skewness; normal where it is small."""
    shape = 4 / np.maximum(np.abs(skew), 1e-3) ** 2
    root = np.sqrt(shape)
    right = gammaincc(shape, np.maximum(shape + z * root, 0.0))
    left = gammainc(shape, np.maximum(shape - z * root, 0.0))
    # A short upper tail is not trusted: the normal law bounds it.
    left = np.maximum(left, ndtr(-z))
    return np.asarray(np.where(np.abs(skew) < 1e-3, ndtr(-z), np.where(skew > 0, right, left)))


def _influence(outcomes: Outcomes) -> tuple[Floats, Codes]:
    """Each row's part in making the metric worse, in points x rows (m,), and its stratum (m,)."""
    sign = 1.0 if outcomes.metric in LOWER_IS_BETTER else -1.0
    y, rows = outcomes.outcome, outcomes.known
    one, zero = gradient(outcomes.metric, outcomes.point, y, 1 - y)
    strata = y.astype(np.int64) if outcomes.metric == "roc_auc" else np.zeros(rows, dtype=np.int64)
    return sign * rows * (y * one + (1 - y) * zero), strata


def _cut(column: PlacedColumn, rows: Codes, groups: int, values: int) -> tuple[Codes, _Cuts]:
    """Where each cell of a column goes in its slices' table (cells,), and these slices."""
    inner = np.arange(column.cells - 2)
    if column.grid.kind == "categorical":
        ranked = inner[np.argsort(-rows[:-2], kind="stable")]
        sets = [[int(c)] for c in ranked[:values] if rows[c]]
        spans = [(i, i + 1) for i in range(len(sets))]
    else:
        through = np.cumsum(rows[:-2]) - rows[:-2] / 2
        place = np.minimum(through * groups / max(rows[:-2].sum(), 1), groups - 1).astype(np.int64)
        filled = [inner[place == group] for group in range(groups)]
        sets = [[int(c) for c in cells] for cells in filled if cells.size]
        count = len(sets)
        spans = [(a, b) for a in range(count) for b in range(a + 1, count + 1) if b - a < count]
    table = len(sets)  # the rest of a column's cells belong to no slice
    to = np.full(column.cells, table + 2, dtype=np.int64)
    for index, cells in enumerate(sets):
        to[cells] = index
    to[-2], to[-1] = table, table + 1
    members = [[cell for cells in sets[a:b] for cell in cells] for a, b in spans]
    conditions = [Condition(column.name, tuple(cells), _text(column, cells)) for cells in members]
    member = np.zeros((len(spans) + 2, table + 3))
    for index, (a, b) in enumerate(spans):
        member[index, a:b] = 1
    for extra in (0, 1):
        cell = column.cells - 2 + extra
        member[len(spans) + extra, table + extra] = 1
        conditions.append(Condition(column.name, (cell,), f"{column.name} {column.labels[cell]}"))
    return to, _Cuts(conditions, member)


def _text(column: PlacedColumn, cells: Sequence[int]) -> str:
    """The cells in words: "age 31 to 40", "city = Lyon"."""
    grid, first, last = column.grid, cells[0], cells[-1]
    if grid.kind == "categorical" or (grid.discrete and first == last):
        return f"{column.name} = {column.labels[first]}"
    if grid.discrete:
        low, high = float(grid.values[first]), float(grid.values[last])
    else:
        at = [*(float(grid.borders[group]) for group in grid.groups), grid.edges[-1]]
        low, high = at[first], at[last + 1]
    return f"{column.name} {low:.4g} to {high:.4g}"


def _describe(
    outcomes: Outcomes, best: _Candidate, member: npt.NDArray[np.bool_], excess: Floats, corrected: float
) -> Slice:
    y, rows, total = outcomes.outcome, int(member.sum()), outcomes.known

    def on(mask: Mask) -> float | None:
        return measure(outcomes.metric, outcomes.point[mask], y[mask], 1 - y[mask])

    inside, outside = on(member), on(~member)
    effect = float(excess[member].sum()) / total
    where = " and ".join(condition.text for condition in best.conditions)
    figures = (
        f"{outcomes.metric} {inside:.3f} against {outside:.3f} elsewhere"
        if inside is not None and outside is not None
        else f"{outcomes.metric} is undefined in it alone"
    )
    chance = "less than 1 in 1000" if corrected < 0.001 else f"{corrected:.2g}"
    text = (
        f"{where}: {figures}, on {rows} rows ({rows / total:.0%}). They cost {effect:.3f} of the whole; "
        f"chance alone would show such a slice with probability {chance}."
    )
    return Slice(
        best.conditions, rows, rows / total, inside, outside, effect, best.z, best.p, corrected, text
    )
