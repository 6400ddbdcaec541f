"""Laws of a statistic's value when nothing changed, in closed form or by moments.

p(value)          probability of a value at least this large, when nothing changed
quantile(alpha)   the value that is exceeded with probability alpha
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy.special import gammaincc, gammainccinv, kolmogi, kolmogorov, ndtr, ndtri

Numbers = npt.NDArray[np.float64]

STRAIGHT = 1e-3  # a skewness below this is none


class Law(Protocol):
    """A distribution under "no change"."""

    def p(self, value: float) -> float: ...

    def quantile(self, alpha: float) -> float: ...


@dataclass(frozen=True)
class PearsonLaw:
    """Pearson's type III (a shifted gamma law) by mean, standard deviation and skewness, of value ** power."""

    mean: float
    std: float
    skew: float
    power: float = 1.0

    def p(self, value: float) -> float:
        if self.std <= 0:
            return 1.0 if value**self.power <= self.mean * (1 + 1e-9) + 1e-12 else 0.0
        return upper_tail((value**self.power - self.mean) / self.std, self.skew)

    def quantile(self, alpha: float) -> float:
        reached = self.mean + self.std * upper_quantile(alpha, self.skew)
        return float(max(reached, 0.0) ** (1 / self.power))


@dataclass(frozen=True)
class KolmogorovLaw:
    """Kolmogorov's limit law of D with n = n_r · n_c / (n_r + n_c); on ties the truth is smaller."""

    rows: float

    def p(self, value: float) -> float:
        return float(kolmogorov(math.sqrt(self.rows) * value))

    def quantile(self, alpha: float) -> float:
        return float(min(kolmogi(alpha) / math.sqrt(self.rows), 1.0))


@dataclass(frozen=True)
class ShiftLaw:
    """|difference of two means| / scale; the permutation law of the difference by variance and skewness.

    skew   of the difference, signed so that the side which was observed is the upper one
    """

    std: float
    skew: float

    def p(self, value: float) -> float:
        return min(1.0, 2 * upper_tail(value / self.std, self.skew)) if self.std > 0 else float(value <= 0)

    def quantile(self, alpha: float) -> float:
        return max(self.std * upper_quantile(alpha / 2, self.skew), 0.0)


@dataclass(frozen=True)
class RateLaw:
    """A rate in `rows` rows, after `hits` in the reference's: beta-binomial, by mean and variance through a gamma law.

    The reference's own rate is uncertain, upwards by the beta law of Clopper & Pearson's upper limit (1934), with one
    hit more: without any hit it is as Fisher's exact test, which a prior that favours small rates is not. `expected`
    adds the rate of new values that unchanged data bring.
    """

    hits: int
    rows_reference: int
    rows: int
    expected: float = 0.0

    @cached_property
    def _moments(self) -> tuple[float, float]:
        a, b = self.hits + 1.0, max(self.rows_reference - self.hits, 0.5)
        p = min(a / (a + b) + self.expected, 1.0)
        mean = self.rows * p
        return mean, mean * (1 - p) * (a + b + self.rows) / (a + b + 1)

    def p(self, value: float) -> float:
        mean, variance = self._moments
        if variance <= 0:
            return float(value * self.rows <= mean)
        return float(gammaincc(mean * mean / variance, value * self.rows * mean / variance))

    def quantile(self, alpha: float) -> float:
        mean, variance = self._moments
        if variance <= 0:
            return mean / max(self.rows, 1)
        return float(gammainccinv(mean * mean / variance, alpha) * variance / mean / self.rows)


@dataclass(frozen=True)
class EitherLaw:
    """A change that counts in both directions, from the law of the one that was seen."""

    one: Law

    def p(self, value: float) -> float:
        return min(1.0, 2 * self.one.p(value))

    def quantile(self, alpha: float) -> float:
        return self.one.quantile(alpha / 2)


@dataclass(frozen=True)
class ChanceLaw:
    """A value that is all or nothing: at or above `at` with probability `chance`."""

    at: float
    chance: float

    def p(self, value: float) -> float:
        return self.chance if value >= self.at else 1.0

    def quantile(self, alpha: float) -> float:
        """Just below `at` where such a value would be a surprise, `at` itself where it would not."""
        return math.nextafter(self.at, -math.inf) if self.chance <= alpha else self.at


def law_of_moments(mean: float, variance: float, third: float, *, power: float = 1.0) -> PearsonLaw:
    """The law of a distance >= 0 whose `power` has these central moments."""
    std = math.sqrt(max(variance, 0.0))
    if std <= 1e-12 * max(mean, 1.0):
        return PearsonLaw(mean, 0.0, 0.0, power)
    # A gamma law with this mean and variance has skewness 2 std / mean; rare cells may bring more, never less.
    return PearsonLaw(mean, std, max(third / std**3, 2 * std / mean), power)


def fit_law(draws: Numbers, *, power: float = 1.0, moments: tuple[float, float] | None = None) -> PearsonLaw:
    """The law of drawn values (draws,) >= 0, fitted to draws ** power.

    power     2 for a distance whose square is close to a sum of squares
    moments   mean and variance of value ** power where they are known exactly
    """
    x = draws**power
    mean, variance = moments or (float(x.mean()), float(x.var(ddof=1)))
    std = math.sqrt(max(variance, 0.0))
    if std <= 1e-12 * max(mean, 1.0):
        return PearsonLaw(mean, 0.0, 0.0, power)
    drawn_std = float(x.std())
    skew = float(((x - x.mean()) ** 3).mean()) / drawn_std**3 if drawn_std > 0 else 0.0
    return law_of_moments(mean, variance, skew * std**3, power=power)


def upper_tail(z: float, skew: float) -> float:
    """P(Z >= z) of Pearson's type III with mean 0, variance 1 and this skewness."""
    if abs(skew) < STRAIGHT:
        return float(ndtr(-z))
    shape = 4 / skew**2
    at = shape + math.copysign(1.0, skew) * z * math.sqrt(shape)
    if skew > 0:
        return float(gammaincc(shape, max(at, 0.0)))
    return 0.0 if at <= 0 else float(1 - gammaincc(shape, at))


def upper_quantile(alpha: float, skew: float) -> float:
    """The z with `upper_tail(z, skew) == alpha`."""
    if abs(skew) < STRAIGHT:
        return float(-ndtri(alpha))
    shape = 4 / skew**2
    tail = alpha if skew > 0 else 1 - alpha
    return float(math.copysign(1.0, skew) * (gammainccinv(shape, tail) - shape) / math.sqrt(shape))


def bridge_moments(share: Numbers, weight: Numbers) -> tuple[float, float]:
    """Mean and variance of Σ weight · |B(share)| for a Brownian bridge B; share and weight (n,).

    E|x| and Cov(|x|, |y|) of a bivariate normal law in closed form (Nabeya 1951).
    """
    std = np.sqrt(np.clip(share * (1 - share), 0.0, None))
    covariance = np.minimum.outer(share, share) - np.outer(share, share)
    both = np.outer(std, std)
    r = np.clip(np.divide(covariance, both, out=np.zeros_like(both), where=both > 0), -1.0, 1.0)
    of_sizes = 2 / np.pi * (r * np.arcsin(r) + np.sqrt(1 - r * r) - 1) * both
    return float(math.sqrt(2 / np.pi) * (weight @ std)), float(weight @ of_sizes @ weight)


def chi_squared_moments(
    pooled: npt.NDArray[Any], rows_reference: int, rows_current: int
) -> tuple[float, float]:
    """Exact mean and variance of the 2 x k table's χ² over all splits (Dawson 1954, Biometrics 10:337).

    pooled   rows of both sides in each cell, (k,); empty cells are left out
    """
    cells = pooled[pooled > 0].astype(np.float64)
    n, k = float(rows_reference + rows_current), float(cells.size)
    mean = n / (n - 1) * (k - 1)
    if n < 4:
        return mean, 2 * (k - 1)
    v_rows, v_cells = (n - 2) / (n - 1), (k - 1) * (n - k) / (n - 1)
    w_rows = (n / rows_reference + n / rows_current - 4) / (n - 2)
    w_cells = (float((n / cells).sum()) - k * k) / (n - 2)
    variance = 2 * n / (n - 3) * (v_rows - w_rows) * (v_cells - w_cells) + n * n / (n - 1) * w_rows * w_cells
    return mean, variance
