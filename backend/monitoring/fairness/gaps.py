"""Gaps between groups, with intervals that hold for all pairs of groups at once (Bonferroni).

The two groups that are furthest apart were picked for being furthest: an interval made for that pair alone would tell
their gap with more certainty than there is. Differences of rates have Newcombe's hybrid score interval (1998, method
10), ratios Walter's adjusted logarithm (1975), differences of means the same hybrid of their own intervals (MOVER, Zou
and Donner 2008). All pairs are computed together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri, stdtrit

Floats: TypeAlias = npt.NDArray[np.float64]

LEVEL: Final = 0.95


@dataclass(frozen=True)
class Gap:
    """The gap between the groups furthest apart. least, most: their places among those that were given."""

    value: float
    low: float
    high: float
    least: int
    most: int


def difference(hits: Floats, of: Floats, *, at_once: int = 1) -> Gap:
    """The largest of the rates hits / of (g,), g ≥ 2 and of > 0, less the smallest.

    at_once  how many such gaps are read together
    """
    rates = hits / of
    low, high = wilson_bounds(hits, of, _z(len(rates), at_once))
    return _furthest(rates, low, high, most=1.0)


def difference_of_means(mean: Floats, variance: Floats, n: Floats) -> Gap:
    """The largest of the means (g,) of n values each, less the smallest."""
    low, high = mean_bounds(mean, variance, n, alpha=_alpha(len(mean)))
    return _furthest(mean, low, high, most=math.inf)


def ratio(hits: Floats, of: Floats) -> Gap | None:
    """The smallest of the rates hits / of (g,) divided by the largest; None where all are 0."""
    if not hits.any():
        return None
    rates = hits / of
    one, other = np.triu_indices(len(rates), 1)
    adjusted = np.log((hits + 0.5) / (of + 0.5))
    variance = 1 / (hits + 0.5) - 1 / (of + 0.5)
    centre = adjusted[one] - adjusted[other]
    reach = _z(len(rates)) * np.sqrt(variance[one] + variance[other])
    low, high = np.exp(centre - reach), np.exp(centre + reach)
    value = float(rates.min() / rates.max())
    alike = (low <= 1) & (high >= 1)
    return Gap(
        value,
        min(value, float(np.minimum(low, 1 / high).min())),
        max(value, float(np.where(alike, 1.0, np.minimum(high, 1 / low)).min())),
        int(rates.argmin()),
        int(rates.argmax()),
    )


def larger(one: Gap, other: Gap) -> Gap:
    """Of two gaps the larger, with an interval of the larger: fairlearn's `worst_case` of equalised odds."""
    first = one if one.value >= other.value else other
    return Gap(first.value, max(one.low, other.low), max(one.high, other.high), first.least, first.most)


def wilson_bounds(hits: Floats, of: Floats, z: float) -> tuple[Floats, Floats]:
    """Wilson's score interval of each rate (g,), of > 0."""
    rates, z2 = hits / of, z * z
    centre = (rates + z2 / (2 * of)) / (1 + z2 / of)
    half = z / (1 + z2 / of) * np.sqrt(rates * (1 - rates) / of + z2 / (4 * of * of))
    return np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)


def mean_bounds(mean: Floats, variance: Floats, n: Floats, *, alpha: float) -> tuple[Floats, Floats]:
    """Student's interval of each mean of label less score (g,), n > 1.

    Where nothing varied, nothing is certain: the variance is at least that of a rate with two events more.
    """
    least = 2 / (n + 4) * (1 - 2 / (n + 4))
    half = stdtrit(n - 1, 1 - alpha / 2) * np.sqrt(np.maximum(variance, least) / n)
    return mean - half, mean + half


def _furthest(values: Floats, low: Floats, high: Floats, *, most: float) -> Gap:
    one, other = np.triu_indices(len(values), 1)
    apart = values[one] - values[other]
    below = apart - np.hypot(values[one] - low[one], high[other] - values[other])
    above = apart + np.hypot(values[other] - low[other], high[one] - values[one])
    return Gap(
        float(values.max() - values.min()),
        max(0.0, float(np.maximum(below, -above).max())),
        min(most, float(np.maximum(above, -below).max())),
        int(values.argmin()),
        int(values.argmax()),
    )


def _alpha(groups: int, at_once: int = 1) -> float:
    return (1 - LEVEL) / (groups * (groups - 1) / 2 * at_once)


def _z(groups: int, at_once: int = 1) -> float:
    return float(ndtri(1 - _alpha(groups, at_once) / 2))
