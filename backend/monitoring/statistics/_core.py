"""What a statistic is, and the registry that docs, monitors and tests enumerate.

A statistic is one file beside this one that calls `register`. Importing the package fills the registry.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from backend.errors import NotFound
from backend.monitoring.columns import Kind
from backend.monitoring.grids import Grid
from backend.monitoring.laws import Law, fit_law, law_of_moments
from backend.monitoring.nulls import Exchange
from backend.monitoring.profiles import Profile
from backend.monitoring.splits import Terms, moments_of_sum

MOST_NEW = 0.2
"""Where more than this share of rows brings a new value anyway, the kept values are chance's choice, not a shape."""

VALUED = "rows with a value"

Numbers = npt.NDArray[np.float64]

Measure = Callable[[Grid, npt.NDArray[Any], npt.NDArray[Any]], Numbers]
"""(grid, reference counts (..., cells), current counts (..., cells)) -> values (...)."""


@dataclass(frozen=True)
class Result:
    """One value, or the reason why there is none. A missing value is *inconclusive*, never 0."""

    value: float | None
    rows_reference: int
    rows_current: int
    reason: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Statistic:
    """A number from two profiles of one column.

    name        as stored, in the API and in `warrant compare`
    family      drift: a distribution moved; quality: values are missing, new, out of range or stuck
    applies_to  kinds of column
    unit        of the value, for axes and texts
    floor       a value below it does not matter in practice, however certain; in the value's unit
    formula     the definition, with its source
    largest     the largest value that it can reach; None where there is none
    compute     (reference, current) -> Result
    measure     drift only: the same number from counts alone, vectorised, to resample it under "no change"
    fine        whether `measure` takes `Profile.counts` (True) or `Profile.compared` (False)
    both_ways   quality only: a rate that falls is a change too, told at most as a ticket
    folded      drift only: the size of a change that has a sign, so near zero where it is by chance
    floor_at    drift only: the floor for (rows_reference, rows_current) where it depends on them
    law         (exchange, result) -> the law of the value when nothing changed, of two samples that could be
                exchanged
    weight      its part of the error that a column may make, beside the other statistics of the column
    default     computed unless others are asked for by name; False for near copies of a statistic that is
    """

    name: str
    title: str
    family: Literal["drift", "quality"]
    applies_to: tuple[Kind, ...]
    unit: str
    floor: float
    formula: str
    compute: Callable[[Profile, Profile], Result]
    measure: Measure | None = None
    fine: bool = False
    both_ways: bool = False
    folded: bool = False
    floor_at: Callable[[int, int], float] | None = None
    law: Callable[[Exchange, Result], Law] | None = None
    weight: float = 1.0
    default: bool = True
    largest: float | None = None

    @property
    def counted(self) -> str:
        """What a rate is a share of, in words: a row without a value is neither in nor out of range."""
        return "rows" if self.unit == "share of rows" else VALUED

    def practical_floor(self, rows_reference: int, rows_current: int) -> float:
        return self.floor if self.floor_at is None else self.floor_at(rows_reference, rows_current)


REGISTRY: dict[str, Statistic] = {}


def register(statistic: Statistic) -> Statistic:
    """Add to the registry. A name taken twice is a programming error."""
    if statistic.name in REGISTRY:
        raise ValueError(f"two statistics are named {statistic.name!r}")
    REGISTRY[statistic.name] = statistic
    return statistic


def find_statistic(name: str) -> Statistic:
    """Raises `NotFound` with the names there are."""
    try:
        return REGISTRY[name]
    except KeyError:
        raise NotFound(f"no statistic is named {name!r}; there are {', '.join(sorted(REGISTRY))}") from None


def statistics_for(kind: Kind, *, every: bool = False) -> tuple[Statistic, ...]:
    """The default statistics for a kind of column; with `every`, those that are computed only by name too."""
    return tuple(s for s in REGISTRY.values() if kind in s.applies_to and (every or s.default))


def refuse(reference: Profile, current: Profile) -> Result | None:
    """An inconclusive result when a drift statistic has nothing to stand on, else None."""
    reason = None
    if reference.known == 0:
        reason = "the reference has no usable value in this column"
    elif reference.grid.expected_new > MOST_NEW:
        share = f"{reference.grid.expected_new:.0%}"
        reason = (
            f"{share} of unchanged rows would hold values never seen before: there are no shares to compare"
        )
    elif current.rows == 0:
        reason = "the window has no rows"
    elif current.absent == current.rows:
        reason = "the window's data do not have this column"
    elif current.known == 0:
        reason = f"none of the window's {current.rows:,} values is usable"
        if current.invalid:
            what = "a number" if current.grid.kind == "numeric" else "a category"
            reason += f": {current.invalid:,} are there but cannot be read as {what}"
    return None if reason is None else Result(None, reference.known, current.known, reason)


def compute(statistic: Statistic, reference: Profile, current: Profile) -> Result:
    """The statistic's value; none, with the reason, where its arithmetic fails, so that the others are told."""
    try:
        with np.errstate(over="raise", invalid="raise"):
            result = statistic.compute(reference, current)
    except ArithmeticError as failed:
        return Result(None, reference.known, current.known, tell_failure(failed))
    if result.value is not None and not math.isfinite(result.value):
        return replace(result, value=None, reason=tell_failure(OverflowError("the value is not finite")))
    return result


def tell_failure(failed: ArithmeticError) -> str:
    said = failed.args[-1] if failed.args else type(failed).__name__
    return f"the column's numbers are too large or too far apart to compute this ({said})"


def compare_counts(measure: Measure, fine: bool, reference: Profile, current: Profile) -> Result:
    """Apply a count-based measure to two profiles of one grid."""
    refused = refuse(reference, current)
    if refused is not None:
        return refused
    r, c = (reference.counts, current.counts) if fine else (reference.compared, current.compared)
    value = float(measure(reference.grid, r, c))
    return Result(value, reference.known, current.known)


def law_of_counts(measure: Measure, power: float, exchange: Exchange, result: Result) -> Law:
    """The law of a measure on coarse counts, from splits of the pooled counts (`laws.fit_law`)."""
    drawn_reference, drawn_current = exchange.coarse
    return fit_law(measure(exchange.reference.grid, drawn_reference, drawn_current), power=power)


def law_of_sum(terms: Terms, power: float, exchange: Exchange, result: Result) -> Law:
    """The law of a measure whose `power` is a sum over coarse cells, from exact probabilities of their counts.

    Drawn where other values would be kept in another split.
    """
    if exchange.ranked is not None:
        drawn = terms(*(shares(side) for side in exchange.coarse)).sum(axis=-1)
        return fit_law(np.maximum(drawn, 0.0) ** (1 / power), power=power)
    return law_of_moments(*moments_of_sum(terms, exchange.cells), power=power)


def shares(counts: npt.NDArray[Any]) -> Numbers:
    """Counts (..., cells) -> shares that sum to 1 along the last axis; all zero where there are no rows."""
    total = counts.sum(axis=-1, keepdims=True)
    return np.asarray(counts / np.maximum(total, 1), dtype=np.float64)
