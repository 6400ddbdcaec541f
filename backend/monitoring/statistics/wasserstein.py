"""Wasserstein-1 distance ∫ |F_c − F_r| dx, divided by the reference's standard deviation (ddof 0, at least 0.001).

The normalisation is Evidently's; details.distance is the plain distance in the column's own unit, which NannyML
reports. In each fine cell the integral of F_c − F_r follows exactly from the rows and their sums (`Profile.offsets`,
and Σx in the tails), so one far outlier counts with its full distance; where F_c and F_r cross within a cell, it is at
least what straight lines would give. Few exact values are steps.

A row far outside may be nearly all of the distance, and its law, which has that row on either side by chance, is then
as wide: no shift of the others shows in this statistic. It stays the distance that it is named after and says so
(details.outside: that part's share); the winsorised mean shift, KS and the cells, which no such row moves, tell it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from backend.monitoring.grids import Grid
from backend.monitoring.laws import PearsonLaw, bridge_moments, fit_law
from backend.monitoring.nulls import DRAWS, FEW_ROWS, Exchange
from backend.monitoring.profiles import STEPS, Profile
from backend.monitoring.statistics._core import Numbers, Result, Statistic, refuse, register, shares

SMALLEST_STD = 0.001
NODES = 129
SMALL_PART = 0.3
"""Where the part outside the grid adds no more noise than this times that of the inside, few draws tell it: of 125
the mean errs by a 37th of all noise."""
BRIDGE_SKEW = 1.25
"""Skewness of ∫ |bridge|: 1.30 for a uniform law, 1.19 for a normal one (40,000 draws), 1.15 for a lognormal one."""


def inside(
    grid: Grid,
    reference: npt.NDArray[Any],
    current: npt.NDArray[Any],
    offsets: tuple[npt.NDArray[Any], npt.NDArray[Any]] | None = None,
) -> Numbers:
    """∫ |F_c − F_r| from the grid's first to its last point; counts (..., cells), the column's unit.

    offsets   of both sides, as `Profile.offsets`; without them rows lie evenly within their cell
    """
    then, now = shares(reference), shares(current)
    gap = np.cumsum(now - then, axis=-1)
    if grid.edges:
        left, right = gap[..., :-2], gap[..., 1:-1]
        # |linear| over a cell: a trapezoid, or two triangles where it crosses zero.
        height = np.abs(left) + np.abs(right)
        crossing = (left**2 + right**2) / np.maximum(height, 1e-300) / 2
        area = height / 2
        if offsets is not None:
            sides = [
                side - where / (STEPS * np.maximum(counts.sum(axis=-1, keepdims=True), 1))
                for side, counts, where in zip((then, now), (reference, current), offsets, strict=True)
            ]
            area = np.abs(left + (sides[1] - sides[0])[..., 1:-1])
        mean = np.where(left * right < 0, np.maximum(crossing, area) if offsets else crossing, area)
        return np.asarray(np.sum(mean * np.diff(grid.borders), axis=-1))
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
    """Where the outermost cells begin: below the first, above the second, only rows and sums are known."""
    points = grid.edges or grid.values
    low = grid.lows[0] if grid.lows else points[0]
    return float(low), float(grid.highs[-1] if grid.highs else points[-1])


def _sides(profile: Profile) -> tuple[tuple[Numbers, npt.NDArray[Any], Numbers], ...]:
    """(borders, rows, sums) of the cells above the grid and, mirrored, below it; from near to far, (n,) each."""
    grid, points = profile.grid, profile.grid.edges or profile.grid.values
    lows: tuple[Any, ...] = (*grid.lows, points[0])
    highs: tuple[Any, ...] = (points[-1], *grid.highs)
    rows, sums = profile.tail_rows, profile.tail_sums
    if rows is None or sums is None:
        rows, sums = profile.counts[[0, -1]], np.array([profile.under_sum, profile.over_sum])
        lows, highs = (points[0],), (points[-1],)
    cut = len(lows)
    mirrored = -np.asarray(lows[::-1], dtype=np.float64), rows[:cut][::-1], -sums[:cut][::-1]
    return (np.asarray(highs, dtype=np.float64), rows[cut:], sums[cut:]), mirrored


def outside(reference: Profile, current: Profile) -> float:
    """∫ |F_c − F_r| beyond the grid's ends.

    In each cell the integral of F_c − F_r follows from its sums; it is that of |F_c − F_r| unless they cross within.
    """
    if (reference.tail_rows is None) != (current.tail_rows is None):
        reference, current = (replace(p, tail_rows=None, tail_sums=None) for p in (reference, current))
    total = 0.0
    for then, now in zip(_sides(reference), _sides(current), strict=True):
        shares_at, areas = [], []
        width = np.diff(then[0])
        for (border, rows, sums), known in ((then, reference.known), (now, current.known)):
            beyond = np.cumsum(rows[::-1])[::-1] / known
            area = (sums - border * rows) / known
            area[:-1] += width * beyond[1:]
            shares_at.append(beyond)
            areas.append(area)
        gap, area = shares_at[1] - shares_at[0], np.abs(areas[1] - areas[0])
        near, far = gap[:-1], gap[1:]
        crossing = (near**2 + far**2) / np.maximum(np.abs(near) + np.abs(far), 1e-300) * width / 2
        area[:-1] = np.where(near * far < 0, np.maximum(crossing, area[:-1]), area[:-1])
        total += float(area.sum())
    return total


@dataclass(frozen=True)
class _Beyond:
    """One side of the grid under "no change".

    columns         of what `Exchange.ends` draws, from near to far
    rows            of the pool in these cells (n,)
    weight          of each border (n,), by the trapezoid rule
    mean, variance  of what a value beyond the last border exceeds it by
    """

    columns: slice
    rows: npt.NDArray[Any]
    weight: Numbers
    mean: float
    variance: float


def _beyond(pool: Profile) -> tuple[_Beyond, _Beyond]:
    grid = pool.grid
    upper, lower = _sides(pool)
    middle = lower[1].size
    spacing = (
        (grid.borders[-1] - grid.edges[-2]) / 4
        if grid.edges
        else (ends(grid)[1] - ends(grid)[0]) / max(len(grid.values), 1)
    )
    # A row or two at the end say little about what may lie beyond it.
    variances = _variance_outside(pool)

    def side(part: tuple[Numbers, npt.NDArray[Any], Numbers], columns: slice, spread: float) -> _Beyond:
        border, rows, sums = part
        width = np.diff(border)
        weight = (np.append(width, 0.0) + np.append(0.0, width)) / 2
        count = float(rows[-1])
        # The last border of a tail is the reference's last value: what may lie beyond it is as far as the one before.
        least = float(width[-1]) if width.size else 0.0 if count else spacing
        mean = max((float(sums[-1]) - float(border[-1]) * count) / max(count, 1), least, 1e-300)
        # A few rows say little about their own tail, and a sample without the rare huge value says it too low.
        variance = max(spread, mean**2, 1e-300) * (1 + 10 / max(count, 1))
        return _Beyond(columns, rows, weight, mean, variance)

    return (
        side(upper, slice(middle + 1, None), float(variances[1])),
        side(lower, slice(middle - 1, None, -1), float(variances[0])),
    )


def resample_ends(
    pool: Profile, random: np.random.Generator, drawn_r: npt.NDArray[Any], drawn_c: npt.NDArray[Any]
) -> Numbers:
    """The part outside the grid under "no change", (draws,): a heavy tail makes most of the distance's noise.

    drawn_r, drawn_c   rows of both sides as `Exchange.ends` draws them

    Between borders the gap of drawn rows, by the trapezoid rule. Beyond the last, the excess of k values is drawn from
    a gamma law with k times the mean and variance that the pool's sums give, with at least an exponential's.
    """
    totals = drawn_r.sum(axis=-1), drawn_c.sum(axis=-1)
    total = np.zeros(drawn_r.shape[0])
    for side in _beyond(pool):
        beyond = [
            np.cumsum(drawn[:, side.columns][:, ::-1], axis=1)[:, ::-1] / n[:, None]
            for drawn, n in zip((drawn_r, drawn_c), totals, strict=True)
        ]
        total += np.abs(beyond[1] - beyond[0]) @ side.weight
        shape, size = side.mean**2 / side.variance, side.variance / side.mean
        parts = [
            random.gamma(np.maximum(drawn[:, side.columns][:, -1] * shape, 1e-12)) * size / n
            for drawn, n in zip((drawn_r, drawn_c), totals, strict=True)
        ]
        total += np.abs(parts[1] - parts[0])
    return np.asarray(total)


def _most_noise(pool: Profile) -> float:
    """About the most that the standard deviation can be of what `resample_ends` draws, over that of one row's mean.

    That of the size of each border's gap, and of what lies beyond the last, as if all were normal and moved together;
    for 1 / n_reference + 1 / n_current = 1.
    """
    most = 0.0
    for side in _beyond(pool):
        share = np.cumsum(side.rows[::-1])[::-1] / max(pool.known, 1)
        most += float(np.sqrt(share * (1 - share)) @ side.weight)
        most += math.sqrt(float(share[-1]) * (side.variance + side.mean**2))
    return most * math.sqrt(1 - 2 / math.pi)


def _variance_outside(reference: Profile) -> Numbers:
    """Variance of the values in the outermost cells below and above, (2,), from Σx² less the part inside them."""
    grid = reference.grid
    if grid.edges:
        middle, width = (grid.borders[1:] + grid.borders[:-1]) / 2, np.diff(grid.borders)
        inner = float(np.sum(reference.counts[1:-1] * (middle**2 + width**2 / 12)))
    else:
        inner = float(np.sum(reference.counts[1::2] * np.asarray(grid.values) ** 2))
    upper, lower = _sides(reference)
    for _, rows, sums in (upper, lower):
        inner += float(np.sum(sums[:-1] ** 2 / np.maximum(rows[:-1], 1)))
    counts = np.array([lower[1][-1], upper[1][-1]])
    means = np.array([lower[2][-1], upper[2][-1]]) / np.maximum(counts, 1)
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
    weight = weight / divisor  # moments of the plain distance of huge numbers have no representation
    beyond = bool(pool.counts[0] or pool.counts[-1])
    if min(exchange.rows) <= FEW_ROWS:
        drawn = np.abs(exchange.few_gaps(cells)) @ weight
        if beyond:
            drawn = drawn + resample_ends(pool, exchange.random, *exchange.ends(drawn.size)) / divisor
        return fit_law(drawn)
    mean, variance = bridge_moments((np.cumsum(pool.counts) / pool.known)[cells], weight)
    mean, variance = mean * math.sqrt(exchange.spread), variance * exchange.spread
    third = BRIDGE_SKEW * variance**1.5
    if beyond:
        draws = DRAWS if pool.tail_rows is None else DRAWS // 2
        if _most_noise(pool) * math.sqrt(exchange.spread) / divisor < SMALL_PART * math.sqrt(variance):
            draws = DRAWS // 8
        tail = resample_ends(pool, exchange.random, *exchange.ends(draws)) / divisor
        mean, variance = mean + float(tail.mean()), variance + float(tail.var())
        third += max(float(((tail - tail.mean()) ** 3).mean()), 0.0)
    std = math.sqrt(variance)
    return PearsonLaw(mean, std, third / std**3 if std > 0 else 0.0)


def compute(reference: Profile, current: Profile) -> Result:
    refused = refuse(reference, current)
    if refused is not None:
        return refused
    if not (reference.grid.edges or reference.grid.values):
        return Result(None, reference.known, current.known, "the frozen grid has no values in this column")
    known = reference.offsets is not None and current.offsets is not None
    offsets: Any = (reference.offsets, current.offsets) if known else None
    distance = float(inside(reference.grid, reference.counts, current.counts, offsets))
    beyond = outside(reference, current)
    distance += beyond
    std = scale(reference)
    moved = (current.mean or 0.0) - (reference.mean or 0.0)
    details = {"distance": distance, "reference_std": std, "divisor": std, "mean_change": moved,
               "outside": beyond / distance if distance > 0 else 0.0}  # fmt: skip
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
        fine=True,
    )
)
