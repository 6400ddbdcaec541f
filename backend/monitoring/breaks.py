"""Rows whose values broke: missing, unreadable, far out of range or unseen, more than the reference explains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from backend.monitoring.cells import Floats, Mask, PlacedColumn

FLOOR = 0.01  # of the rows, above the reference
CHANCE = 0.01
IMPORTANT = 0.01  # share of importance below which a broken column cannot have cost much

PROBLEMS = {
    "missing": "missing or unreadable",
    "range": "far out of range",
    "unseen": "a value that the reference never had",
}


@dataclass(frozen=True)
class Break:
    """One problem of one column. Rates are shares of the rows with output and label."""

    column: str
    problem: str
    reference_rate: float
    window_rate: float
    affected: Mask
    normal: Mask

    @property
    def text(self) -> str:
        return (
            f"{self.column}: {self.window_rate:.1%} of rows {PROBLEMS[self.problem]}, "
            f"against {self.reference_rate:.1%} in the reference"
        )


def find_breaks(
    reference: Mapping[str, PlacedColumn],
    window: Mapping[str, PlacedColumn],
    usable: tuple[Mask, Mask],
) -> list[Break]:
    """Problems that affect significantly more of the window's usable rows than of the reference's.

    A number outside the frozen grid counts only where it is infinite or further out than half the grid's span:
    nearer ones are the tail of a distribution that moved, which is a change of mix.
    A column that the reference lacks cannot break.
    """
    from scipy.stats import binom

    found: list[Break] = []
    chance = CHANCE / max(len(window) * len(PROBLEMS), 1)
    for name, column in window.items():
        before = reference[name]
        if before.missing.all():
            continue
        for problem in PROBLEMS:
            affected, normal = _rows(column, problem)[usable[1]], _rows(before, problem)[usable[0]]
            if not affected.size or not normal.size:
                continue
            usual = max(float(normal.mean()), column.grid.expected_new if problem == "unseen" else 0.0)
            usual = min(max(usual, 1 / normal.size), 1.0)
            rate = float(affected.mean())
            if rate - usual < FLOOR or binom.sf(affected.sum() - 1, affected.size, usual) > chance:
                continue
            found.append(Break(name, problem, float(normal.mean()), rate, affected, normal))
    return sorted(found, key=lambda one: one.reference_rate - one.window_rate)


def even_out(affected: Mask, normal: Mask) -> Floats:
    """Weights (window rows,), mean 1, under which as many rows are affected as in the reference."""
    rate, usual = float(affected.mean()), float(normal.mean())
    if rate in (0.0, 1.0):
        return np.ones(affected.size)
    return np.where(affected, usual / rate, (1 - usual) / (1 - rate))


def _rows(column: PlacedColumn, problem: str) -> Mask:
    if problem == "missing":
        return column.missing
    if problem == "range":
        return column.far
    return column.strange if column.grid.kind == "categorical" else np.zeros(column.codes.size, dtype=bool)
