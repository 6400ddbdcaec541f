"""What a statistic does when nothing changed: laws of two samples that could be exchanged row by row.

If reference and current rows come from one distribution, any split of the pooled rows into groups of these sizes
was equally likely. A law is that permutation distribution, in closed form where there is one, else fitted to
draws from it (`laws`). So it knows both sample sizes, ties, rare categories and the column's own tails, and a value
that neither side had before costs nothing by being new.
"""

from __future__ import annotations

import math
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from backend.monitoring.laws import RateLaw
from backend.monitoring.profiles import UNSEEN_KEPT, Profile
from backend.monitoring.splits import Apart, Cells, possible_counts

Numbers = npt.NDArray[np.float64]

DRAWS = 1000
FEW_CELLS = 64
FEW_ROWS = 500
OUTSIDE_LEAST = 3
USUAL_ALPHA = 0.001
RARELY = 0.05  # rows of a rare value in a reference
MOST_RARE = 4000
RARE = 8  # a value with so many rows is hardly ever on one side alone
NEVER = 1e-12  # a chance that no number of draws meets
OUTSIDE_TIMES = 4


def _spread(rows: int, values: int) -> npt.NDArray[np.int64]:
    """Rows of each of so many values that are about equally frequent, (values,)."""
    spread = np.full(values, rows // values, dtype=np.int64)
    spread[: rows % values] += 1
    return spread


class Exchange:
    """Two profiles on one grid as one pool of rows, and splits of it drawn again and again.

    The draws depend on the pool alone, so the same data give the same limits.
    """

    def __init__(self, reference: Profile, current: Profile) -> None:
        self.reference, self.current = reference, current

    @property
    def rows(self) -> tuple[int, int]:
        return self.reference.known, self.current.known

    @cached_property
    def pool(self) -> Profile:
        return self.reference.merge(self.current)

    @cached_property
    def spread(self) -> float:
        """1 / n_reference + 1 / n_current: the variance of a difference of means of unit variance."""
        return sum(1 / max(rows, 1) for rows in self.rows)

    @cached_property
    def random(self) -> np.random.Generator:
        return np.random.default_rng([*self.pool.fingerprint[:8], *self.rows])

    @cached_property
    def values(self) -> npt.NDArray[np.int64] | None:
        """Pooled rows of each value by itself, (values,), where the reference's own values make the cells.

        There "new" is what the reference happens not to have, so it has no new rows by construction, and in another
        split other values would be new. None for grids with edges or more values than are kept, and where the
        reference has new values itself.
        """
        grid, pool = self.pool.grid, self.pool
        if grid.edges or grid.others or not grid.complete or self.reference.compared[-1]:
            return None
        if grid.kind == "numeric":
            gaps = pool.counts[0::2]
            return np.concatenate(
                [pool.counts[1::2][: len(grid.values)], self._unnamed(int(gaps.sum()), gaps)]
            )
        if pool.unseen is None:  # too many to be kept
            new = int(pool.counts[-1])
            unseen = self._unnamed(new, _spread(new, UNSEEN_KEPT + 1))
        else:
            unseen = np.array(
                sorted(pool.unseen.values()), dtype=np.int64
            )  # in whatever order they were read
        return np.concatenate([pool.counts[:-1], unseen])

    def _unnamed(self, new: int, lumps: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Pooled rows of each of the values that make `new` rows, where only their sum is known.

        As many rows as the reference's single values let expect are as rare as those; the rest is as `lumps` (n,).
        """
        hits = round(self.pool.grid.expected_new * self.rows[0])
        usual = math.ceil(RateLaw(hits, *self.rows).quantile(USUAL_ALPHA) * self.rows[1])
        rare = np.ones(min(new, usual), dtype=np.int64)
        over = np.floor(lumps * (max(new - usual, 0) / max(new, 1))).astype(np.int64)
        return np.concatenate([rare, over, [new - rare.sum() - over.sum()]]).astype(np.int64)

    @cached_property
    def ranked(self) -> npt.NDArray[np.int64] | None:
        """Pooled rows of each value, (values,), where some of those kept one by one were so by the reference's chance.

        A rare value that the reference has a little more often than another is kept and the other is not, so the
        kept ones are rarer in any other rows. None where all kept values are frequent.
        """
        grid, counts = self.pool.grid, self.pool.counts
        if grid.kind != "categorical" or not (grid.others and grid.complete):
            return None
        if self.reference.counts[:-2].min() >= RARE:
            return None
        mine, rest = int(self.reference.compared[-2]), int(self.pool.compared[-2])
        rate = RateLaw(mine, *self.rows, grid.expected_new)
        usual = math.ceil(rate.quantile(USUAL_ALPHA) * self.rows[1]) + mine
        # λ / (1 − exp(−λ)) rows are seen of a value that is seen at all; about 1 + λ / 2.
        met = max(2 * (mine / len(grid.others) - 1), RARELY)
        rare = min(rest, usual)
        size = max(met * sum(self.rows) / max(self.rows[0], 1), rare / MOST_RARE, 1.0)
        return np.concatenate([counts[:-2], _spread(rare, math.ceil(rare / size)), [max(rest - usual, 0)]])

    @property
    def exchanged(self) -> npt.NDArray[np.int64]:
        """Pooled rows of the cells that are exchanged: single values where "new" is made of them."""
        return self.pool.compared if self.values is None else self.values

    @property
    def brings_new(self) -> bool:
        """Whether a split can give values that one side alone has."""
        return self.values is not None and bool(
            self.pool.grid.expected_new
            or self.pool.compared[-1]
            or ((self.values > 0) & (self.values < RARE)).any()
        )

    @cached_property
    def coarse(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Drawn coarse counts (draws, cells) of both sides; cells that are empty on both stay empty.

        A grid with edges ends where the reference ends, so "outside" is not exchanged: the reference keeps its
        rows there, and the current side draws as many as a grid placed on other data is expected to see. Once
        many more lie outside than that, they are exchanged like all others. Where `values` are known each is
        exchanged by itself, and those that the drawn reference does not have are the last cell; where they are
        `ranked`, those that are not among the drawn reference's most frequent ones are the rest.
        """
        if self.values is not None:
            return self._by_value(self.values)
        if self.ranked is not None:
            return self._by_rank(self.ranked)
        grid, pooled = self.pool.grid, self.pool.compared.copy()
        then, now = self.reference.compared, self.current.compared
        rows = self.rows[1]
        rate = min(then[-1] / max(self.rows[0], 1) + grid.expected_new, 1.0)
        apart = bool(grid.edges) and now[-1] <= OUTSIDE_LEAST + OUTSIDE_TIMES * rate * rows
        size = DRAWS if pooled.size <= FEW_CELLS else DRAWS // 2
        drawn = np.zeros((size, pooled.size), dtype=np.int64)
        if apart:
            pooled[-1] = 0
            rows = int(now[:-1].sum())
        filled = np.flatnonzero(pooled)
        drawn[:, filled] = self._split(pooled[filled], rows, size)
        others = pooled - drawn
        if apart:
            # The rate beyond the ends of n rows is itself uncertain: a beta law with this mean.
            hits = max(rate * self.rows[0], 0.5)
            rates = self.random.beta(hits, max(self.rows[0] - hits, 0.5), size=size)
            drawn[:, -1] = self.random.binomial(self.rows[1], rates)
            others[:, -1] = then[-1]
        return others, drawn

    @cached_property
    def new_rows(self) -> npt.NDArray[np.int64]:
        """Drawn rows (draws,) of the current side whose values the drawn reference does not have.

        Where `values` are known. Values so frequent that no split has them on one side alone are drawn together.
        """
        pooled = np.zeros(0, dtype=np.int64) if self.values is None else self.values[self.values > 0]
        share = self.rows[1] / max(sum(self.rows), 1)
        seldom = pooled[share ** pooled.astype(np.float64) > NEVER]
        if not seldom.size:
            return np.zeros(DRAWS, dtype=np.int64)
        once, often = int((seldom == 1).sum()), seldom[seldom > 1]
        rest = int(pooled.sum() - seldom.sum())
        size = DRAWS if often.size <= FEW_CELLS else DRAWS // 2
        drawn = self._split(np.concatenate([often, [once, rest]]), self.rows[1], size)
        mine, alone = drawn[:, : often.size], drawn[:, often.size]
        return np.asarray(np.where(mine == often, mine, 0).sum(axis=1) + alone)

    @cached_property
    def cells(self) -> Cells:
        """What `coarse` draws, as the possible counts of each cell and their probabilities.

        New values stay cells of their own: for a distance whose terms are linear in c where r = 0 that is the same.
        """
        if self.values is not None:
            return possible_counts(self.values, self.rows)
        grid, pooled = self.pool.grid, self.pool.compared
        then, now = self.reference.compared, self.current.compared
        rate = min(then[-1] / max(self.rows[0], 1) + grid.expected_new, 1.0)
        if not grid.edges or now[-1] > OUTSIDE_LEAST + OUTSIDE_TIMES * rate * self.rows[1]:
            return possible_counts(pooled, self.rows)
        hits = max(rate * self.rows[0], 0.5)
        apart = Apart(int(then[-1]), hits, max(self.rows[0] - hits, 0.5), self.rows[1])
        return possible_counts(pooled[:-1], self.rows, apart)

    def _by_value(self, pooled: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        once, often = int((pooled == 1).sum()), pooled[pooled > 1]
        size = DRAWS if often.size <= FEW_CELLS else DRAWS // 2
        drawn = self._split(np.append(often, once), self.rows[1], size)
        others = np.append(often, once) - drawn
        # Values of a single row are on one side alone: of many that only the current side has no cells are needed.
        alone, drawn, others = others[:, -1:], drawn[:, :-1], others[:, :-1]
        singles = (np.arange(alone.max()) < alone).astype(np.int64)
        new = np.where(others == 0, drawn, 0)
        none = np.zeros((size, 1), dtype=np.int64)
        kept = drawn - new, new.sum(axis=1, keepdims=True) + once - alone
        return np.hstack([others, singles, none]), np.hstack([kept[0], np.zeros_like(singles), kept[1]])

    def _by_rank(self, pooled: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        pooled = pooled[pooled > 0]
        drawn = self._split(pooled, self.rows[1], DRAWS // 4)
        others = pooled - drawn
        kept = len(self.pool.grid.values)
        frequent = np.argsort(others + self.random.random(others.shape), axis=1)[:, ::-1][:, :kept]
        sides = []
        for side in (others, drawn):
            named = np.take_along_axis(side, frequent, axis=1)
            rest = side.sum(axis=1, keepdims=True) - named.sum(axis=1, keepdims=True)
            sides.append(np.hstack([named, rest, np.zeros_like(rest)]))
        return sides[0], sides[1]

    @cached_property
    def fine(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Drawn fine counts (draws, cells) of both sides: slow with many cells."""
        pooled = self.pool.counts
        filled = np.flatnonzero(pooled)
        drawn = np.zeros((DRAWS // 4, pooled.size), dtype=np.int64)
        drawn[:, filled] = self._split(pooled[filled], self.rows[1], DRAWS // 4)
        return pooled - drawn, drawn

    def _split(self, pooled: npt.NDArray[np.int64], rows: int, size: int) -> npt.NDArray[np.int64]:
        return self.random.multivariate_hypergeometric(pooled, rows, size=size, method="marginals")

    def ends(self, size: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Drawn rows below a numeric grid, inside and above it, of both sides.

        (size, 3), or (size, tails + 1) where the grid has tails: its cells below, inside, its cells above.
        """
        counts, rows = self.pool.counts, self.pool.tail_rows
        below, above = counts[:1], counts[-1:]
        if rows is not None:
            below, above = np.split(rows, [len(self.pool.grid.lows) + 1])
        pooled = np.array([*below, counts[1:-1].sum(), *above], dtype=np.int64)
        drawn = self._split(pooled, self.rows[1], size)
        return pooled - drawn, drawn

    def few_gaps(self, places: npt.NDArray[np.int64]) -> Numbers:
        """Drawn differences of the cumulative shares after some fine cells, (draws, places): row by row.

        places   ascending indices of cells. For few rows on one side, whose lumps no limit law has.
        """
        few, many = sorted(self.rows)
        share = np.cumsum(self.pool.counts)[places] / max(self.pool.known, 1)
        drawn, levels = few_rows(FEW_STEPS[int(np.searchsorted(FEW_STEPS, few, side="right")) - 1])
        near = np.clip(np.searchsorted(levels, share), 1, levels.size - 1)
        near -= share - levels[near - 1] < levels[near] - share
        # To the exact share and number of rows by their standard deviations. Drawn with replacement; without it the
        # variance is smaller by many / (few + many).
        spread = np.clip(share * (1 - share), 0.0, None) / (levels[near] * (1 - levels[near]))
        size = np.sqrt(spread * (few + many) / many / few).astype(np.float32)
        return np.asarray(drawn[:, near] * size)


FEW_STEPS = np.unique(np.concatenate([np.arange(1, 10), np.geomspace(10, 1000, 48)]).astype(np.int64))
"""Numbers of rows for which draws are kept; a number between two has the lumps of the smaller."""


@lru_cache(maxsize=24)
def few_rows(rows: int) -> tuple[npt.NDArray[np.float32], Numbers]:
    """√rows times (share of `rows` uniform values below a level, less the level), (draws, levels); and the levels.

    Levels are denser towards both ends, where a single row is a lump. Any column's cells are some of them.
    """
    tail = np.geomspace(1e-7, 0.02, 140, endpoint=False)
    levels = np.concatenate([tail, np.linspace(0.02, 0.98, 240), 1 - tail[::-1]])
    random = np.random.default_rng(rows)
    cell = np.searchsorted(levels, random.random((DRAWS, rows)))
    cell += np.arange(DRAWS)[:, None] * (levels.size + 1)
    counts = np.bincount(cell.ravel(), minlength=DRAWS * (levels.size + 1)).reshape(DRAWS, -1)[:, :-1]
    gaps = (np.cumsum(counts, axis=1) / rows - levels) * math.sqrt(rows)
    return gaps.astype(np.float32), levels
