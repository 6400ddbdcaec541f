"""Service-level objectives as data: what is counted, how much of it must be good, over which time, and when to alert.

Pure; no database and no network. A target is kept as a `Decimal` because 1 - 0.999 in floats is not 0.001.
An alert row is kept by the share of the budget that is spent when it fires, so that one row holds for any period:
factor = share · period_h / long_h (Site Reliability Workbook, chapter 5).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final, Literal

from backend.errors import BadInput
from backend.slo.windows import Window

Severity = Literal["page", "ticket"]
NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
HOUR_S: Final = 3600
LONGEST_S: Final = 366 * 86_400
LEAST_SHARE: Final = Decimal("0.000001")
MOST_FACTOR: Final = 100_000


class BadObjective(BadInput):
    """An objective that cannot be kept: its target, windows or rows contradict themselves."""

    title = "Bad objective"


class Kind(StrEnum):
    """What an objective is about."""

    AVAILABILITY = "availability"
    LATENCY = "latency"
    FRESHNESS = "freshness"
    COMPLETENESS = "completeness"
    QUALITY = "quality"
    QUERIES = "queries"
    THRESHOLD = "threshold"


class Budgeting(StrEnum):
    """How the budget is counted, with OpenSLO's names.

    Occurrences: 1 - bad/total over all events. Timeslices: the share of slices in which enough was good.
    RatioTimeslices: the mean of the slices' own shares. A slice without events is no data in both.
    """

    OCCURRENCES = "Occurrences"
    TIMESLICES = "Timeslices"
    RATIO_TIMESLICES = "RatioTimeslices"


@dataclass(frozen=True)
class Availability:
    """Prediction requests that were answered, or refused for what the client got wrong (4xx). Bad are those that were
    ours to answer: 5xx, and 429, which the gateway says when its queue is full."""

    kind: Literal[Kind.AVAILABILITY] = Kind.AVAILABILITY


@dataclass(frozen=True)
class Latency:
    """Prediction requests answered within `threshold_ms`, which is an edge of the gateway's latency histogram."""

    threshold_ms: Decimal
    kind: Literal[Kind.LATENCY] = Kind.LATENCY


@dataclass(frozen=True)
class Freshness:
    """Looks at which the newest label (or the newest computed metric) was at most `limit_s` seconds old."""

    of: Literal["labels", "metrics"]
    limit_s: int
    kind: Literal[Kind.FRESHNESS] = Kind.FRESHNESS


@dataclass(frozen=True)
class Completeness:
    """Windows in which at least the share `at_least` of the expected labels is known once the window is judged."""

    at_least: Decimal
    size: str = ""  # of the windows, as the model's spec names it; "": its main one
    kind: Literal[Kind.COMPLETENESS] = Kind.COMPLETENESS


@dataclass(frozen=True)
class Quality:
    """Windows whose metric is inside the bounds: AUC, drift, fairness, whatever a metric point holds.

    Without bounds a window is good while the metric keeps to its own limit (the verdict of its monitor).
    Bounds include their ends. `points` tells realised from estimated figures where both exist.
    """

    metric: str
    at_least: Decimal | None = None
    at_most: Decimal | None = None
    column: str = ""
    segment: str = ""  # "" all rows, else "column=value"
    points: str = ""  # the kind of metric points; "": whichever has the metric
    size: str = ""
    kind: Literal[Kind.QUALITY] = Kind.QUALITY


@dataclass(frozen=True)
class Queries:
    """Somebody's own PromQL: bad (or good) and total events, or one ratio that is computed elsewhere.

    `{{.window}}` in a query stands for the time it is asked about. With `counter`, a query without it names a counter.
    `source` is the name of a DataSource document, kept and not followed: Warrant knows one Prometheus.
    """

    good: str = ""
    bad: str = ""
    total: str = ""
    raw: str = ""
    raw_type: Literal["success", "failure", ""] = ""
    counter: bool = False
    source: str = ""
    kind: Literal[Kind.QUERIES] = Kind.QUERIES

    def __post_init__(self) -> None:
        given = [name for name in ("good", "bad", "raw") if getattr(self, name)]
        if len(given) != 1 or bool(self.total) == bool(self.raw):
            raise BadObjective("queries are good and total, or bad and total, or raw alone")
        if bool(self.raw) != bool(self.raw_type):
            raise BadObjective("a raw ratio says whether it is the share of successes or of failures")


@dataclass(frozen=True)
class Threshold:
    """Looks at which the value of somebody's own PromQL is `op` `value`."""

    query: str
    op: Literal["lte", "gte", "lt", "gt"]
    value: Decimal
    source: str = ""
    kind: Literal[Kind.THRESHOLD] = Kind.THRESHOLD


Sli = Availability | Latency | Freshness | Completeness | Quality | Queries | Threshold
WINDOWED: Final = frozenset({Kind.COMPLETENESS, Kind.QUALITY})
"""Kinds whose events are windows of the model: few, and none for hours"""


@dataclass(frozen=True)
class AlertRow:
    """One pair of windows. Fires while both have burnt the budget faster than the factor, strictly."""

    severity: Severity
    long_s: int
    short_s: int
    budget_share: Decimal | None = (
        None  # of the whole period's budget, spent in the long window when it fires
    )
    factor: Decimal | None = None  # instead of the share, when it shall hold whatever the period

    def __post_init__(self) -> None:
        if (self.budget_share is None) == (self.factor is None):
            raise BadObjective("an alert row has either a share of the budget or a factor")
        number = self.budget_share if self.budget_share is not None else self.factor
        highest = 1 if self.budget_share is not None else MOST_FACTOR
        if number is None or not number.is_finite() or not LEAST_SHARE <= number <= highest:
            raise BadObjective(
                "the share of the budget of an alert row is above 0 and at most 1, a factor above 0 and at most "
                f"{MOST_FACTOR}; not {number}"
            )
        if self.long_s > LONGEST_S:
            raise BadObjective(f"the long window of an alert row lasts at most a year, not {self.long_s} s")
        if not 0 < self.short_s < self.long_s:
            raise BadObjective(
                f"the short window of an alert row is shorter than the long one; {self.short_s} s and {self.long_s} s"
            )
        if self.severity not in ("page", "ticket"):
            raise BadObjective(f"an alert row is a page or a ticket, not {self.severity!r}")


STANDARD_ROWS: Final = (
    AlertRow("page", HOUR_S, 300, Decimal("0.02")),
    AlertRow("page", 6 * HOUR_S, 1800, Decimal("0.05")),
    AlertRow("ticket", 24 * HOUR_S, 2 * HOUR_S, Decimal("0.10")),
    AlertRow("ticket", 72 * HOUR_S, 6 * HOUR_S, Decimal("0.10")),
)
"""Site Reliability Workbook, chapter 5, table 5-8; Sloth ships the same four."""

WINDOW_ROWS: Final = (AlertRow("ticket", 7 * 24 * HOUR_S, 24 * HOUR_S, Decimal("0.25")),)
"""For objectives whose events are windows: 5 minutes hold none, and nobody is woken by the verdict of a window."""


@dataclass(frozen=True)
class BurnRow:
    """An alert row for a period of known length: `threshold` is the error ratio that both windows must exceed."""

    severity: Severity
    long_s: int
    short_s: int
    factor: Decimal
    budget_share: Decimal
    threshold: Decimal  # factor · (1 - target)

    @property
    def single_failure_trips_below(self) -> int:
        """With this many events in a window or fewer, one bad event alone exceeds the threshold: 1/n > threshold."""
        if self.threshold >= 1:
            return 0
        count = int(1 / self.threshold)
        return count - 1 if count * self.threshold == 1 else count


@dataclass(frozen=True)
class Objective:
    """What has to hold of one model in one environment. Of equal content means equal."""

    name: str
    model: str  # OpenSLO's service
    sli: Sli
    target: Decimal  # the share that must be good, in [0, 1)
    window: Window
    environment: str = "production"
    title: str = ""
    description: str = ""
    budgeting: Budgeting = Budgeting.OCCURRENCES
    slice_s: int | None = None
    slice_target: Decimal | None = None  # Timeslices: a slice is good when at least this share of it is
    rows: tuple[AlertRow, ...] = field(default=STANDARD_ROWS)
    minimum_events: int = 0  # in the long window; a row with fewer neither fires nor resolves
    labels: tuple[tuple[str, tuple[str, ...]], ...] = ()  # sorted by name
    counts_maintenance: bool = False  # planned work on the model counts like any other time

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise BadObjective(
                f"the name of an objective is made of a-z, 0-9 and -, at most 63 characters; not {self.name!r}"
            )
        if not self.model.strip() or "{{" in self.model or not self.model.isprintable():
            raise BadObjective(f"{self.name}: say which model it is about; {self.model!r} is no name")
        if not self.target.is_finite() or not 0 <= self.target < 1:
            raise BadObjective(
                f"{self.name}: a target lies from 0 to below 1, not {self.target}; "
                "a target of 1 leaves no budget, so every failure would break it"
            )
        if self.minimum_events < 0:
            raise BadObjective(f"{self.name}: the minimum of events is 0 or more, not {self.minimum_events}")
        self._check_slices()

    def _check_slices(self) -> None:
        sliced = self.budgeting is not Budgeting.OCCURRENCES
        if sliced != (self.slice_s is not None):
            raise BadObjective(
                f"{self.name}: {self.budgeting} "
                + ("needs the length of a slice" if sliced else "has no slices")
            )
        if sliced and self.sli.kind in WINDOWED | {Kind.FRESHNESS}:
            raise BadObjective(
                f"{self.name}: {self.budgeting} is for requests; this counts windows or looks, which are slices already"
            )
        if self.slice_s is not None and self.slice_s <= 0:
            raise BadObjective(f"{self.name}: a slice is longer than nothing")
        if (self.budgeting is Budgeting.TIMESLICES) != (self.slice_target is not None):
            raise BadObjective(f"{self.name}: Timeslices, and they alone, say what share makes a slice good")
        if self.slice_target is not None and not 0 < self.slice_target <= 1:
            raise BadObjective(
                f"{self.name}: the share that makes a slice good is above 0 and at most 1, not {self.slice_target}"
            )

    @property
    def budget(self) -> Decimal:
        """The share that may be bad: 1 - target, exactly."""
        return 1 - self.target


def default_rows(kind: Kind) -> tuple[AlertRow, ...]:
    """The rows an objective of this kind has when it names none."""
    return WINDOW_ROWS if kind in WINDOWED else STANDARD_ROWS


def default_minimum_events(kind: Kind) -> int:
    """The events below which no row is judged when an objective names no number: 20 requests, one window or look."""
    return 20 if kind in (Kind.AVAILABILITY, Kind.LATENCY) else 1


def alert_rows(objective: Objective, at: datetime | None = None) -> tuple[BurnRow, ...]:
    """The objective's rows for its period: factor = share · period_h / long_h, threshold = factor · (1 - target).

    A calendar period is as long as the one that holds `at` (a February is shorter than a March, a day of the clock
    change has 23 hours); without `at`, its nominal length (a month: 30 days), for rules that cannot change.
    """
    period_s = objective.window.length_s(at)
    return tuple(_burn_rows(objective.rows, period_s, objective.budget))


def _burn_rows(rows: Iterable[AlertRow], period_s: int, budget: Decimal) -> Iterable[BurnRow]:
    # One division each, the last thing done: an error ratio that equals the threshold then rounds to the same number.
    for row in rows:
        if row.budget_share is not None:
            spent = row.budget_share * period_s
            share, factor, threshold = row.budget_share, spent / row.long_s, spent * budget / row.long_s
        else:
            factor = row.factor or Decimal(0)
            share, threshold = factor * row.long_s / period_s, factor * budget
        yield BurnRow(row.severity, row.long_s, row.short_s, factor, share, threshold)


def row_can_fire(row: BurnRow) -> bool:
    """Whether any error ratio exceeds the threshold: at factor · (1 - target) >= 1 not even total failure does."""
    return row.threshold < 1
