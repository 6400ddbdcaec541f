"""Largest shift of the 10th, 50th and 90th percentile, in the reference's standard deviations (pulled in to the grid).

Percentiles are read from the fine cells, linear within a cell; details.percentile says which moved most.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from backend.monitoring.grids import Grid
from backend.monitoring.laws import PearsonLaw, fit_law
from backend.monitoring.nulls import Exchange
from backend.monitoring.profiles import Profile
from backend.monitoring.statistics._core import Numbers, Result, Statistic, refuse, register

LEVELS = np.array([0.1, 0.5, 0.9])


def percentiles(grid: Grid, counts: npt.NDArray[Any]) -> Numbers:
    """The three percentiles of counts (..., cells), shape (..., 3)."""
    at = (
        np.concatenate([grid.borders[:1], grid.borders[1:], grid.borders[-1:]]) if grid.edges else grid.places
    )
    share = np.cumsum(counts, axis=-1) / np.maximum(counts.sum(axis=-1, keepdims=True), 1)
    rows = share.reshape(-1, share.shape[-1])
    found = np.empty((rows.shape[0], LEVELS.size))
    for column, level in enumerate(LEVELS):
        right = (rows < level - 1e-12).sum(axis=-1)  # the first cell that reaches the level
        found[:, column] = at[np.minimum(right, at.size - 1)]
        if grid.edges:
            left = np.maximum(right - 1, 0)
            below, above = (np.take_along_axis(rows, side[:, None], -1)[:, 0] for side in (left, right))
            part = np.where(above > below, (level - below) / np.where(above > below, above - below, 1), 1.0)
            found[:, column] = at[left] + part * (at[right] - at[left])
    return found.reshape(*share.shape[:-1], LEVELS.size)


def compute(reference: Profile, current: Profile) -> Result:
    refused = refuse(reference, current)
    if refused is not None:
        return refused
    grid = reference.grid
    if not (grid.edges or grid.values):
        return Result(None, reference.known, current.known, "the frozen grid has no values in this column")
    std = reference.moments[1]
    if std <= 0:
        return Result(None, reference.known, current.known, "the reference does not vary in this column")
    moved = percentiles(grid, current.counts) - percentiles(grid, reference.counts)
    at = int(np.abs(moved).argmax())
    details = {"percentile": round(float(LEVELS[at]) * 100), "change": float(moved[at]), "divisor": std}
    return Result(abs(float(moved[at])) / std, reference.known, current.known, None, details)


def measure(grid: Grid, reference: npt.NDArray[Any], current: npt.NDArray[Any]) -> Numbers:
    return np.asarray(np.abs(percentiles(grid, current) - percentiles(grid, reference)).max(axis=-1))


def law(exchange: Exchange, result: Result) -> PearsonLaw:
    drawn = measure(exchange.reference.grid, *exchange.fine)
    return fit_law(drawn / float(result.details["divisor"]))


QUANTILE_SHIFT = register(
    Statistic(
        name="quantile_shift",
        title="Shift of percentiles",
        family="drift",
        applies_to=("numeric",),
        unit="standard deviations",
        floor=0.1,
        formula=__doc__,
        compute=compute,
        measure=measure,
        fine=True,
        law=law,
        weight=0.1,
        default=False,
    )
)
