"""Sums and maxima over cells when nothing changed, without drawing splits.

A split of pooled rows into two groups leaves each cell with a hypergeometric count, whose probabilities are known. From
them come, for a distance that is a sum over cells, its exact mean, its variance (cells depend on each other only
through their total: their orthogonal polynomials of order p correlate by ρ ** p, Lancaster 1958) and its skewness.
The same data give the same numbers, and rare cells keep their lumps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.special import betainc, betaln, gammaln

Numbers = npt.NDArray[np.float64]
Terms = Callable[[Numbers, Numbers], Numbers]
"""(shares of the reference, shares of the current side) -> each cell's part of a distance, of the same shape."""

POINTS = 56
REACH = 7.0  # standard deviations
ORDERS = 4
SMALLEST = 0.2  # of the largest standard deviation; a cell below it never moves most
TINY = 1e-6


@dataclass(frozen=True)
class Cells:
    """The counts that each cell may have on both sides, and their probabilities; (cells, points) each.

    share      of the pooled rows, (cells,); 0 for a cell that is not exchanged with the others
    times      how many cells are alike, (cells,)
    rows       of both sides, which counts are divided by for shares
    """

    reference: Numbers
    current: Numbers
    chance: Numbers
    share: Numbers
    times: Numbers
    rows: tuple[int, int]

    @cached_property
    def shares(self) -> tuple[Numbers, Numbers]:
        """The counts as shares of each side's rows."""
        return self.reference / self.rows[0], self.current / self.rows[1]

    @cached_property
    def _away(self) -> Numbers:
        """Each count less its cell's mean."""
        return np.asarray(self.current - (self.chance * self.current).sum(axis=-1, keepdims=True))

    @cached_property
    def exchanged(self) -> tuple[Numbers, float]:
        """Counts of exchanged cells less their means, zero for others; and the sum of their variances."""
        centred = self._away * (self.share > 0)[:, None]
        return centred, float(self.times @ (self.chance * centred * centred).sum(axis=-1))

    @cached_property
    def owed(self) -> list[Numbers]:
        """By order, what a cell's polynomials correlate by with those of others, parted into one factor for each."""
        rest = 1 - self.share
        # A cell that holds every row cannot move.
        odds = np.where(rest > 0, np.sqrt(self.share / np.where(rest > 0, rest, 1.0)), 0.0)
        return [odds**order for order in range(1, ORDERS + 1)]

    @cached_property
    def polynomials(self) -> list[Numbers]:
        """Orthonormal polynomials of order 1, 2, ... in each cell's count, (cells, points) each."""
        w, centred = self.chance, self._away
        std = np.sqrt((w * centred**2).sum(axis=-1, keepdims=True))
        z = np.divide(centred, std, out=np.zeros_like(centred), where=std > 0)
        before, now = np.zeros_like(z), np.ones_like(z)
        found: list[Numbers] = []
        for _ in range(ORDERS):
            # The three-term recurrence of orthogonal polynomials.
            raised = z * now
            by_now = (w * raised * now).sum(axis=-1, keepdims=True)
            by_before = (w * raised * before).sum(axis=-1, keepdims=True)
            raised -= by_now * now + by_before * before
            norm = np.sqrt((w * raised**2).sum(axis=-1, keepdims=True))
            before, now = now, np.divide(raised, norm, out=np.zeros_like(raised), where=norm > 1e-6)
            found.append(now)
        return found


@dataclass(frozen=True)
class Apart:
    """A cell whose reference rows stay where they are: a beta-binomial count of `rows` current ones.

    hits, misses   parameters of the beta law of its rate
    """

    reference: int
    hits: float
    misses: float
    rows: int


def possible_counts(
    pooled: npt.NDArray[np.int64], rows: tuple[int, int], apart: Apart | None = None
) -> Cells:
    """What a split of `pooled` rows (cells,) can give; `rows` of both sides also count those of the cell apart."""
    sizes, alike = np.unique(pooled[pooled > 0], return_counts=True)
    m, times = sizes.astype(np.float64)[:, None], alike.astype(np.float64)
    total = float(times @ m[:, 0])
    n = min(float(rows[1]), total)
    if apart is not None:
        outside = apart.rows * apart.hits / (apart.hits + apart.misses)
        n = max(min(total - (rows[0] - apart.reference), total), 0.0)
    mean = m * n / max(total, 1)
    std = np.sqrt(mean * (1 - m / max(total, 1)) * max(total - n, 0) / max(total - 1, 1))
    x = _points(mean, std, np.maximum(0.0, n - (total - m)), np.minimum(m, n))
    log = -(gammaln(x + 1) + gammaln(m - x + 1) + gammaln(n - x + 1) + gammaln(total - m - n + x + 1))
    chance = _normal(log, x)
    others = m - x
    share = m[:, 0] / max(total, 1)
    if apart is not None:
        a, b = apart.hits, apart.misses
        rate = a / (a + b)
        spread = math.sqrt(apart.rows * rate * (1 - rate) * (a + b + apart.rows) / (a + b + 1))
        y = _points(*(np.array([[v]]) for v in (outside, 2 * spread, 0.0, float(apart.rows))))
        log = betaln(y + a, apart.rows - y + b) - betaln(y + 1, apart.rows - y + 1)
        x, chance = np.vstack([x, y]), np.vstack([chance, _normal(log, y)])
        others = np.vstack([others, np.full_like(y, apart.reference)])
        share, times = np.append(share, 0.0), np.append(times, 1.0)
        n += outside
    sides = (max(int(total + (apart.reference if apart else 0) - (n if apart is None else n - outside)), 1),
             max(round(n), 1))  # fmt: skip
    return Cells(others, x, chance, share, times, sides)


def _points(mean: Numbers, std: Numbers, least: Numbers, most: Numbers) -> Numbers:
    """Counts around the mean, (cells, POINTS): each whole number where they are few, evenly spaced ones where not.

    A smooth law's moments come out right from points a third of a deviation apart. Unused places repeat the last.
    """
    low = np.clip(np.floor(mean - REACH * std - 1), least, most)
    high = np.clip(np.ceil(mean + REACH * std + 8), least, most)
    step = np.maximum((high - low) / (POINTS - 1), 1.0)
    return np.asarray(np.minimum(low + step * np.arange(POINTS), high))


def _normal(log: Numbers, x: Numbers) -> Numbers:
    """Probabilities that sum to 1 along the last axis; repeated points count once."""
    chance = np.exp(log - log.max(axis=-1, keepdims=True))
    chance[:, 1:][x[:, 1:] <= x[:, :-1]] = 0.0
    return np.asarray(chance / chance.sum(axis=-1, keepdims=True))


def moments_of_sum(terms: Terms, cells: Cells) -> tuple[float, float, float]:
    """Mean, variance and third central moment of Σ terms over the cells."""
    f = terms(*cells.shares)
    w = cells.chance
    means = (w * f).sum(axis=-1, keepdims=True)
    away = f - means
    # Counts of exchanged cells have a fixed sum, so a multiple of them takes nothing from the terms' sum; this one
    # takes most of what cells owe to each other (Morris 1975).
    centred, held = cells.exchanged
    times = cells.times
    owes = float(times @ (w * centred * away).sum(axis=-1))
    away = away - (owes / held if held > 0 else 0.0) * centred
    weighted = w * away
    squares = weighted * away
    variance = float(times @ squares.sum(axis=-1))
    for order, (owed, polynomial) in enumerate(zip(cells.owed, cells.polynomials, strict=True), 1):
        scaled = owed * (weighted * polynomial).sum(axis=-1)
        variance += (-1) ** order * (float(times @ scaled) ** 2 - float(times @ scaled**2))
    # One of few cells shows less of the skewness than it adds to the sum's, as its count is held by the others'.
    third = float(times @ ((squares * away).sum(axis=-1) / np.maximum(1 - cells.share, 0.1)))
    return float(times @ means[:, 0]), max(variance, 0.0), third


@dataclass(frozen=True)
class LargestLaw:
    """The largest |difference of shares| over cells, as if cells were independent: a little too large.

    Each cell's current count is binomial with the mean and variance of its hypergeometric law. Between the values
    that whole rows give, probabilities are interpolated.

    pooled   rows of the cells that matter, (cells,)
    """

    pooled: Numbers
    rows: tuple[int, int]

    @cached_property
    def _binomial(self) -> tuple[Numbers, Numbers]:
        n_r, n_c = self.rows
        total = float(n_r + n_c)
        rate = 1 - (1 - self.pooled / total) * n_r / max(total - 1, 1)
        return self.pooled * n_c / total / rate, rate

    def p(self, value: float) -> float:
        if not self.pooled.size or value <= 0:
            return float(value <= 0)
        n_r, n_c = self.rows
        trials, rate = self._binomial
        above, below = (
            (d + self.pooled / n_r) / (1 / n_c + 1 / n_r) + TINY * sign
            for d, sign in ((value, -1), (-value, 1))
        )
        up = betainc(np.clip(above, TINY, None), np.clip(trials - above + 1, TINY, None), rate)
        up = np.where(above > trials + 1 - TINY, 0.0, up)
        down = betainc(np.clip(trials - below, TINY, None), np.clip(below + 1, TINY, None), 1 - rate)
        down = np.where(below <= -1 + TINY, 0.0, down)
        return float(-np.expm1(np.log1p(-np.minimum(up + down, 1 - 1e-12)).sum()))

    def quantile(self, alpha: float) -> float:
        if not self.pooled.size:
            return 0.0
        share = self.pooled / sum(self.rows)
        low, high = 0.0, float(np.sqrt(share * (1 - share) * (1 / self.rows[0] + 1 / self.rows[1])).max())
        while self.p(high) > alpha and high < 2:
            low, high = high, 2 * high
        target, at_low, at_high = math.log(alpha), math.log(self.p(low)), _log(self.p(high))
        for turn in range(60):
            # Regula falsi on the logarithm, with halving in every third turn.
            part = (at_low - target) / max(at_low - at_high, 1e-300)
            middle = (low + high) / 2 if turn % 3 == 2 else low + min(max(part, 0.01), 0.99) * (high - low)
            at = _log(self.p(middle))
            if at > target:
                low, at_low = middle, at
            else:
                high, at_high = middle, at
            if abs(at - target) < 2e-3 or high - low < 1e-6 * high:
                return middle
        return high


def largest_change(pooled: npt.NDArray[np.int64], rows: tuple[int, int]) -> LargestLaw:
    """The law of the largest change of a share over all splits of `pooled` rows (cells,)."""
    spread = pooled * (float(sum(rows)) - pooled)
    if np.count_nonzero(pooled) == 2:  # what one loses the other gains
        spread[np.flatnonzero(pooled)[1]] = 0.0
    return LargestLaw(pooled[(spread > 0) & (spread >= SMALLEST**2 * spread.max())].astype(np.float64), rows)


def _log(p: float) -> float:
    return math.log(max(p, 1e-300))
