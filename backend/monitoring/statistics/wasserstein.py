"""Wasserstein-1 distance ∫ |F_c − F_r| dx, divided by the reference's standard deviation (ddof 0, at least 0.001).

The normalisation is Evidently's; details.distance is the plain distance in the column's own unit, which NannyML
reports. Inside the grid F is linear within a fine cell (a step for exact values); outside it the integral is
exact from the sums of the values there, so one far outlier counts with its full distance.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from backend.monitoring.grids import Grid
from backend.monitoring.nulls import DRAWS, FEW_ROWS, Exchange, PearsonLaw, bridge_moments, fit_law
from backend.monitoring.profiles import Profile
from backend.monitoring.statistics._core import Numbers, Result, Statistic, refuse, register, shares

SMALLEST_STD = 0.001
NODES = 129
BRIDGE_SKEW = 1.25
"""Skewness of ∫ |bridge|: 1.30 for a uniform law, 1.19 for a normal one (40,000 draws), 1.15 for a lognormal one."""


def inside(grid: Grid, reference: npt.NDArray[Any], current: npt.NDArray[Any]) -> Numbers:
    """∫ |F_c − F_r| from the grid's first to its last point; counts (..., cells), the column's unit."""
    gap = np.cumsum(shares(current) - shares(reference), axis=-1)
    if grid.edges:
        width = np.diff(grid.borders)
        left, right = gap[..., :-2], gap[..., 1:-1]
        # |linear| over a cell: a trapezoid, or two triangles where it crosses zero.
        height = np.abs(left) + np.abs(right)
        crossing = (left**2 + right**2) / np.maximum(height, 1e-300)
        mean = np.where(left * right < 0, crossing, height) / 2
        return np.asarray(np.sum(mean * width, axis=-1))
    return np.asarray(np.abs(gap[..., 1:-2]) @ np.diff(_points(grid)))


def _points(grid: Grid) -> Numbers:
    """Exact values and the middles between them, (2 values − 1,)."""
    values = np.asarray(grid.values, dtype=np.float64)
    points = np.empty(2 * values.size - 1)
    points[0::2] = values
    points[1::2] = (values[:-1] + values[1:]) / 2  # values between two known ones count as halfway
    return points


def _weights(grid: Grid) -> tuple[npt.NDArray[np.int64], Numbers]:
    """Some cells (n,), and weights (n,) with which |gap| after them adds up to the integral inside the grid."""
    if not grid.edges:
        return np.arange(1, grid.cells - 2), np.diff(_points(grid))
    kept = np.unique(np.linspace(0, grid.borders.size - 1, min(grid.borders.size, NODES)).astype(np.int64))
    width = np.diff(grid.borders[kept])
    return kept, (np.append(width, 0.0) + np.append(0.0, width)) / 2


def ends(grid: Grid) -> tuple[float, float]:
    points = grid.edges or grid.values
    return float(points[0]), float(points[-1])


def excess(profile: Profile) -> tuple[float, float]:
    """Mean distance below and above the grid, over all known rows: ∫ F dx below it, ∫ (1 − F) dx above it."""
    low, high = ends(profile.grid)
    under, over = int(profile.counts[0]), int(profile.counts[-1])
    return (low * under - profile.under_sum) / profile.known, (profile.over_sum - high * over) / profile.known


def resample_ends(
    reference: Profile, random: np.random.Generator, drawn_r: npt.NDArray[Any], drawn_c: npt.NDArray[Any]
) -> Numbers:
    """The part outside the grid under "no change", (draws,): a heavy tail makes most of the distance's noise.

    The excess of k values beyond an end is drawn from a gamma law with k times the mean and variance that the
    reference's sums give for it, with at least an exponential's variance.
    """
    grid = reference.grid
    low, high = ends(grid)
    counts = reference.counts[[0, -1]].astype(np.float64)
    sums = np.array([low * counts[0] - reference.under_sum, reference.over_sum - high * counts[1]])
    spacing = (
        (grid.borders[-1] - grid.edges[-2]) / 4 if grid.edges else (high - low) / max(len(grid.values), 1)
    )
    mean = np.where(counts > 0, sums / np.maximum(counts, 1), max(spacing, 1e-300))
    mean = np.maximum(mean, 1e-300)
    # A few rows say little about their own tail, and a sample without the rare huge value says it too low.
    variance = np.maximum(_variance_outside(reference, counts), mean**2) * (1 + 10 / np.maximum(counts, 1))
    total = np.zeros(drawn_r.shape[0])
    for side, cell in enumerate((0, -1)):
        shape, size = mean[side] ** 2 / variance[side], variance[side] / mean[side]
        parts = [
            random.gamma(np.maximum(drawn[:, cell] * shape, 1e-12)) * size / drawn.sum(axis=-1)
            for drawn in (drawn_r, drawn_c)
        ]
        total += np.abs(parts[1] - parts[0])
    return np.asarray(total)


def _variance_outside(reference: Profile, counts: Numbers) -> Numbers:
    """Variance of the values below and above the grid, (2,), from Σx² less the part inside the grid."""
    grid = reference.grid
    if grid.edges:
        middle, width = (grid.borders[1:] + grid.borders[:-1]) / 2, np.diff(grid.borders)
        inner = float(np.sum(reference.counts[1:-1] * (middle**2 + width**2 / 12)))
    else:
        inner = float(np.sum(reference.counts[1::2] * np.asarray(grid.values) ** 2))
    means = np.array([reference.under_sum, reference.over_sum]) / np.maximum(counts, 1)
    least = counts * means**2
    residual = max(reference.squares - inner - float(least.sum()), 0.0)
    part = least / least.sum() if least.sum() > 0 else np.zeros(2)
    return np.asarray(residual * part / np.maximum(counts, 1))


def scale(reference: Profile) -> float:
    """What the plain distance is divided by."""
    return max(reference.std or 0.0, SMALLEST_STD)


def law(exchange: Exchange, result: Result) -> PearsonLaw:
    """Inside the grid a Brownian bridge at the pooled shares (few rows: drawn), outside it the pool's own tail."""
    cells, weight = _weights(exchange.reference.grid)
    pool, divisor = exchange.pool, float(result.details["divisor"])
    outside = bool(pool.counts[0] or pool.counts[-1])
    if min(exchange.rows) <= FEW_ROWS:
        drawn = np.abs(exchange.few_gaps(cells)) @ weight
        if outside:
            drawn = drawn + resample_ends(pool, exchange.random, *exchange.ends(drawn.size))
        return fit_law(drawn / divisor)
    mean, variance = bridge_moments((np.cumsum(pool.counts) / pool.known)[cells], weight)
    mean, variance = mean * math.sqrt(exchange.spread), variance * exchange.spread
    third = BRIDGE_SKEW * variance**1.5
    if outside:
        tail = resample_ends(pool, exchange.random, *exchange.ends(DRAWS))
        mean, variance = mean + float(tail.mean()), variance + float(tail.var())
        third += max(float(((tail - tail.mean()) ** 3).mean()), 0.0)
    std = math.sqrt(variance)
    return PearsonLaw(mean / divisor, std / divisor, third / std**3 if std > 0 else 0.0)


def compute(reference: Profile, current: Profile) -> Result:
    refused = refuse(reference, current)
    if refused is not None:
        return refused
    if not (reference.grid.edges or reference.grid.values):
        return Result(None, reference.known, current.known, "the frozen grid has no values in this column")
    below_r, above_r = excess(reference)
    below_c, above_c = excess(current)
    body = float(inside(reference.grid, reference.counts, current.counts))
    distance = body + abs(below_c - below_r) + abs(above_c - above_r)
    std = scale(reference)
    moved = (current.mean or 0.0) - (reference.mean or 0.0)
    details = {"distance": distance, "reference_std": std, "divisor": std, "mean_change": moved}
    return Result(distance / std, reference.known, current.known, None, details)


WASSERSTEIN = register(
    Statistic(
        name="wasserstein",
        title="Wasserstein distance in reference standard deviations",
        family="drift",
        applies_to=("numeric",),
        unit="standard deviations",
        floor=0.1,
        formula=__doc__,
        compute=compute,
        measure=inside,
        law=law,
        weight=0.15,
        scale=scale,
        resample_rest=resample_ends,
        fine=True,
    )
)
