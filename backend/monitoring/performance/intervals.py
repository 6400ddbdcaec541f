"""95 % intervals and standard errors of the kinds of numbers that metrics are.

a rate                  Wilson's score interval; se √(r(1−r)/n)
a mean of losses        ± 1.96 standard errors of the mean
an area under the curve DeLong (DeLong et al. 1988), from one sort (placements, as in Sun and Xu 2014)
a smooth function of counts or of row weights
                        infinitesimal jackknife (Efron 1982): variance Σ (∂T/∂w)², on the logit or log scale
                        where the number is bounded
"""

from __future__ import annotations

import math

import numpy as np

from backend.monitoring.performance._core import Codes, Floats, Metric, undefined

Z = 1.959963984540054


def wilson(hits: float, rows: float) -> tuple[float, float]:
    """Wilson's 95 % score interval of a rate."""
    rate, z2 = hits / rows, Z * Z
    centre = (rate + z2 / (2 * rows)) / (1 + z2 / rows)
    half = Z / (1 + z2 / rows) * math.sqrt(rate * (1 - rate) / rows + z2 / (4 * rows * rows))
    return max(centre - half, 0.0), min(centre + half, 1.0)


def rate(hits: float, of: float, rows: int, reason: str) -> Metric:
    """hits / of, of a window of `rows` rows; undefined with the reason when `of` is 0."""
    if not of:
        return undefined(rows, reason)
    share = hits / of
    # Agresti and Coull's centre keeps the error above 0 at a rate of exactly 0 or 1.
    shrunk = (hits + 2) / (of + 4)
    return Metric(share, *wilson(hits, of), rows, se=math.sqrt(shrunk * (1 - shrunk) / (of + 4)))


def mean_of(losses: Floats, *, floor: float | None = 0.0, reason: str | None = None) -> Metric:
    """The mean of losses (n,), n > 0. `floor`: what no loss can be below; None when there is nothing."""
    value, rows = float(losses.mean()), int(losses.size)
    if rows < 2:
        return Metric(value, None, None, rows, reason or "one row has no interval")
    error = float(losses.std(ddof=1)) / math.sqrt(rows)
    low = value - Z * error
    return Metric(value, low if floor is None else max(low, floor), value + Z * error, rows, reason, error)


def bounded(value: float, se: float, rows: int, reason: str | None = None) -> Metric:
    """A number within [0, 1] and its standard error: the interval on the logit scale, so that it stays inside."""
    if se <= 0 or value <= 0 or value >= 1:
        # The jackknife knows nothing at the edge; a rate of as many rows does.
        low, high = wilson(value * rows, rows) if rows else (None, None)
        return Metric(value, low, high, rows, reason, se if se > 0 else None)
    centre, half = math.log(value / (1 - value)), Z * se / (value * (1 - value))
    low, high = (1 / (1 + math.exp(-min(max(x, -700.0), 700.0))) for x in (centre - half, centre + half))
    return Metric(value, low, high, rows, reason, se)


class Ranking:
    """Scores (n,) sorted once against labels 0/1 (n,): counts by distinct score, ascending."""

    def __init__(self, score: Floats, label: Floats) -> None:
        self.order = np.argsort(score)  # order among equals does not matter: they are counted together
        ordered, ones = score[self.order], label[self.order]
        new = np.ones(score.size, dtype=bool)
        new[1:] = ordered[1:] != ordered[:-1]
        starts = np.flatnonzero(new)
        self.group: Codes = np.cumsum(new) - 1
        self.ones = np.add.reduceat(ones, starts) if score.size else np.zeros(0)
        self.zeros = np.add.reduceat(1 - ones, starts) if score.size else np.zeros(0)
        self.positives, self.negatives = float(self.ones.sum()), float(self.zeros.sum())
        self.rows = int(score.size)

    def placements(self) -> tuple[Floats, Floats]:
        """By distinct score: the share of negatives below (ties half), and of positives above."""
        below = (np.cumsum(self.zeros) - self.zeros / 2) / self.negatives
        above = 1 - (np.cumsum(self.ones) - self.ones / 2) / self.positives
        return below, above

    def area(self) -> tuple[float, float]:
        """Area under the ROC curve and DeLong's variance of it; both classes must be there."""
        below, above = self.placements()
        m, n = self.positives, self.negatives
        value = float((self.ones * below).sum() / m)
        variance = 0.0
        if m > 1:
            variance += float((self.ones * (below - value) ** 2).sum()) / (m - 1) / m
        if n > 1:
            variance += float((self.zeros * (above - value) ** 2).sum()) / (n - 1) / n
        return value, variance

    def influence(self, label: Floats, value: float) -> Floats:
        """∂ area / ∂ weight of each row (n,), in the rows' own order: what DeLong's variance sums up."""
        below, above = self.placements()
        found = np.empty(self.rows)
        found[self.order] = self.group
        group = found.astype(np.int64)
        return np.where(
            label == 1, (below[group] - value) / self.positives, (above[group] - value) / self.negatives
        )

    def average_precision(self) -> tuple[float, float]:
        """Σ (recall step × precision) from the highest score down, and its standard error by the jackknife.

        With A, B the positives and negatives at or above a score and m all positives:
        ∂/∂w of a positive  = (A/(A+B) − AP)/m + Σ over positives at or below it B/(A+B)²/m
        ∂/∂w of a negative  = − Σ over positives at or below it A/(A+B)²/m
        """
        m = self.positives
        a, b = (np.cumsum(counts[::-1])[::-1] for counts in (self.ones, self.zeros))
        precision = a / (a + b)
        value = float((self.ones * precision).sum() / m)
        gain = np.cumsum(self.ones * b / (a + b) ** 2) / m
        loss = np.cumsum(self.ones * a / (a + b) ** 2) / m
        variance = (self.ones * ((precision - value) / m + gain) ** 2).sum() + (self.zeros * loss**2).sum()
        return value, math.sqrt(float(variance))
