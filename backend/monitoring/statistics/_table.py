"""What a statistic of a whole table is: about its rows, times and columns, not about one column's values.

In the same spirit as `_core.Statistic`, with facts of two tables in the place of two profiles.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from backend.monitoring.laws import ChanceLaw, Law, RateLaw
from backend.monitoring.statistics._core import Result


@dataclass(frozen=True)
class TableFacts:
    """What is known of a table or window; None and empty where it was not looked at.

    rows        how many
    duplicates  rows whose id (or, without an id, whose whole content) came before
    newest_age_s  seconds from the newest row to now
    usual_gap_s   seconds that usually pass between one arrival and the next
    usual_rows    rows of windows of the same size that are known to be quiet
    types         {column: group of its type}, see `proposals.group_of`
    """

    rows: int
    duplicates: int | None = None
    newest_age_s: float | None = None
    usual_gap_s: float | None = None
    usual_rows: tuple[float, ...] = ()
    types: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TableStatistic:
    """A number from the facts of two tables.

    name, title, unit, formula   as for `Statistic`
    floor     a value at or below it does not matter in practice, however certain
    compute   (reference, current) -> Result
    law       result -> the law of its value when nothing changed
    """

    name: str
    title: str
    unit: str
    floor: float
    formula: str
    compute: Callable[[TableFacts, TableFacts], Result]
    law: Callable[[Result], Law]

    def limit(self, result: Result, alpha: float) -> float:
        """What the value is held against: it alarms above it."""
        usual = float(result.details.get("reference_rate", 0.0))
        return max(usual + self.floor, self.law(result).quantile(alpha))


TABLE_REGISTRY: dict[str, TableStatistic] = {}


def register_table(statistic: TableStatistic) -> TableStatistic:
    """Add to the registry. A name taken twice is a programming error."""
    if statistic.name in TABLE_REGISTRY:
        raise ValueError(f"two statistics are named {statistic.name!r}")
    TABLE_REGISTRY[statistic.name] = statistic
    return statistic


@dataclass(frozen=True)
class ExponentialLaw:
    """A waiting time in units of its mean."""

    def p(self, value: float) -> float:
        return math.exp(-max(value, 0.0))

    def quantile(self, alpha: float) -> float:
        return -math.log(alpha)


def certain(result: Result) -> ChanceLaw:
    """Nothing but a change makes the value positive."""
    return ChanceLaw(math.nextafter(0.0, 1.0), 0.0)


def rate_of(result: Result) -> RateLaw:
    facts = result.details
    return RateLaw(int(facts["reference_hits"]), result.rows_reference, result.rows_current)
