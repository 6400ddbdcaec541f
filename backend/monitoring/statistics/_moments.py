"""Where the mass of a numeric profile lies, without its wild values: cells at their middles, the rest at the ends."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from backend.monitoring.grids import Grid

Numbers = npt.NDArray[np.float64]


def places(grid: Grid) -> Numbers:
    """A point for each cell of `Profile.counts`, (cells,). What lies outside the grid counts as at its end."""
    if grid.edges:
        middles = (grid.borders[1:] + grid.borders[:-1]) / 2
        return np.concatenate([[grid.edges[0]], middles, [grid.edges[-1]]])
    values = np.asarray(grid.values, dtype=np.float64)
    found = np.empty(grid.cells)
    found[1::2] = values
    found[2:-1:2] = (values[:-1] + values[1:]) / 2
    found[0], found[-1] = values[0], values[-1]
    return found


def widths(grid: Grid) -> Numbers:
    """The width of each cell, (cells,); 0 for exact values and outside the grid."""
    if grid.edges:
        return np.concatenate([[0.0], np.diff(grid.borders), [0.0]])
    return np.zeros(grid.cells)


def central_moments(grid: Grid, counts: npt.NDArray[np.int64]) -> tuple[float, float, float]:
    """Mean, standard deviation (ddof 0) and skewness of the counted values, pulled in to the grid."""
    at, rows = places(grid), max(int(counts.sum()), 1)
    share = counts / rows
    mean = float(share @ at)
    away = at - mean
    variance = float(share @ (away**2 + widths(grid) ** 2 / 12))
    if variance <= 0:
        return mean, 0.0, 0.0
    std = variance**0.5
    with np.errstate(under="ignore"):
        return mean, std, float(share @ (away / std) ** 3)
