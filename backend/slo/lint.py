"""What is most likely not meant in an objective that can be read: rows that never fire, guards that are too low,
thresholds nobody can measure, periods nobody keeps.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

from backend.slo.durations import write_duration
from backend.slo.findings import Finding, Level, Place
from backend.slo.objectives import (
    WINDOWED,
    BurnRow,
    Kind,
    Latency,
    Objective,
    Queries,
    alert_rows,
    row_can_fire,
)
from backend.slo.openslo import Reading, key_of
from backend.slo.promql import NotExportable, edge_of, events_of
from backend.slo.windows import Calendar
from backend.slo.wording import factor_words, span_words

RETENTION_S: Final = 15 * 86_400
"""What a Prometheus keeps where nobody set --storage.tsdb.retention.time"""
LEAST_BUDGET: Final = Decimal("0.000001")
_FROM_PROMETHEUS: Final = frozenset({Kind.AVAILABILITY, Kind.LATENCY, Kind.QUERIES, Kind.THRESHOLD})
_SELECTED: Final = re.compile(r'([a-zA-Z_:][\w:]*)\s*\{((?:[^"{}]|"(?:\\.|[^"\\])*")*)\}')
_MATCHER: Final = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*("(?:\\.|[^"\\])*")')


Rule = Literal[
    "off-bucket-edge", "row-never-fires", "row-longer-than-period", "row-below-budget", "minimum-events", "target-0",
    "target-extreme", "row-without-windows", "slice-longer-than-row", "same-queries", "good-above-total",
    "bad-above-total", "ratio-without-counts", "no-rows", "not-exportable", "calendar-in-prometheus",
    "minimum-not-exported", "beyond-retention",
]  # fmt: skip


@dataclass(frozen=True)
class Remark:
    """One finding before it has a place."""

    level: Level
    rule: Rule
    text: str


def findings_of(reading: Reading, *, retention_s: int = RETENTION_S) -> tuple[Finding, ...]:
    """Everything about the files: what cannot be read, and what the objectives that can be read are warned of."""
    found = list(reading.findings)
    for objective in reading.objectives:
        place = reading.places.get(key_of(objective), Place())
        found += [
            Finding(place, one.level, one.rule, one.text, objective.name)
            for one in lint(objective, retention_s=retention_s)
        ]
    return tuple(sorted(found))


def lint(objective: Objective, *, retention_s: int = RETENTION_S) -> list[Remark]:
    """What an objective is warned of, the worst first."""
    rows = alert_rows(objective)
    found = [one for look in _LOOKS for one in look(objective, rows)]
    found += _retention(objective, retention_s)
    order = {"error": 0, "warning": 1, "note": 2}
    return sorted(found, key=lambda one: order[one.level])


def _named(row: BurnRow) -> str:
    return f"the row {row.severity} {write_duration(row.long_s)} {write_duration(row.short_s)}"


def _rows_that_cannot(objective: Objective, rows: tuple[BurnRow, ...]) -> Iterator[Remark]:
    period_s = objective.window.length_s()
    if not rows:
        yield Remark("note", "no-rows", "it has no alert rows: its budget is shown, and nobody is told")
    for row in rows:
        if not row_can_fire(row):
            highest = 1 - 1 / row.factor
            yield Remark(
                "warning", "row-never-fires",
                f"{_named(row)} can never fire: {factor_words(row.factor)} of a budget of "
                f"{float(objective.budget) * 100:g} % is more than all events; it needs a target above "
                f"{float(highest) * 100:.2f} %",
            )  # fmt: skip
        if row.long_s > period_s:
            yield Remark(
                "warning", "row-longer-than-period",
                f"{_named(row)} looks at more time than the period of {span_words(period_s)}",
            )  # fmt: skip
        elif row.factor < 1:
            yield Remark(
                "note", "row-below-budget",
                f"{_named(row)} fires at {factor_words(row.factor)}: also while the budget would last",
            )  # fmt: skip


def _single_failures(objective: Objective, rows: tuple[BurnRow, ...]) -> Iterator[Remark]:
    if objective.sli.kind in WINDOWED or objective.budgeting.value != "Occurrences":
        return
    if isinstance(objective.sli, Queries) and objective.sli.raw:
        return
    pages = [row for row in rows if row.severity == "page" and row_can_fire(row)]
    if not pages:
        return
    row = pages[0]
    trips, least = row.single_failure_trips_below, max(objective.minimum_events, 1)
    if trips >= least:
        between = f"from {least} to {trips}" if trips > least else f"with {trips}"
        yield Remark(
            "note" if objective.minimum_events > 1 else "warning", "minimum-events",
            f"{_named(row)} fires on a single bad event where the windows hold {between} events; "
            f"annotation warrant/minimum-events (now {objective.minimum_events}) of {trips + 1} or more prevents it",
        )  # fmt: skip


def _latency(objective: Objective, rows: tuple[BurnRow, ...]) -> Iterator[Remark]:
    if isinstance(objective.sli, Latency):
        try:
            edge_of(objective.sli.threshold_ms)
        except NotExportable as error:
            yield Remark("error", "off-bucket-edge", error.message)


def _targets(objective: Objective, rows: tuple[BurnRow, ...]) -> Iterator[Remark]:
    if objective.target == 0:
        yield Remark("warning", "target-0", "a target of 0 is always met, whatever happens")
    elif objective.budget < LEAST_BUDGET:
        per = round(1 / objective.budget)
        yield Remark("warning", "target-extreme", f"one bad event in {per:,} spends the whole budget")


def _windows_as_events(objective: Objective, rows: tuple[BurnRow, ...]) -> Iterator[Remark]:
    if objective.sli.kind not in WINDOWED:
        return
    short = [row for row in rows if row.short_s < 3600]
    if short:
        yield Remark(
            "warning", "row-without-windows",
            f"{_named(short[0])} looks at {span_words(short[0].short_s)}, in which no window of a model ends as a "
            "rule: it has no data then, and does not fire",
        )  # fmt: skip


def _slices(objective: Objective, rows: tuple[BurnRow, ...]) -> Iterator[Remark]:
    if objective.slice_s is None:
        return
    for row in rows:
        if row.short_s < objective.slice_s:
            yield Remark(
                "warning", "slice-longer-than-row",
                f"{_named(row)} looks at {span_words(row.short_s)}, a slice lasts {span_words(objective.slice_s)}: "
                "one slice alone decides",
            )  # fmt: skip


def _own_queries(objective: Objective, rows: tuple[BurnRow, ...]) -> Iterator[Remark]:
    sli = objective.sli
    if not isinstance(sli, Queries):
        return
    part, name = (sli.bad, "bad") if sli.bad else (sli.good, "good")
    if sli.raw:
        yield Remark(
            "note", "ratio-without-counts",
            "a stored ratio does not say of how many events: every 5 minutes weigh the same, and no minimum of "
            "events can be asked",
        )  # fmt: skip
    elif part == sli.total:
        yield Remark("warning", "same-queries", f"{name} and total are the same query")
    else:
        beyond = _beyond(part, sli.total)
        if beyond:
            yield Remark(
                "warning", "bad-above-total" if sli.bad else "good-above-total",
                f"{name} counts events that total leaves out by {beyond}: there can be more {name} events than events",
            )  # fmt: skip


def _beyond(part: str, total: str) -> str:
    """The matchers by which total is narrower than a part of it, where both select from one metric once."""
    ours, all_ = _SELECTED.findall(part), _SELECTED.findall(total)
    if len(all_) != 1 or len({name for name, _ in ours}) > 1 or (ours and ours[0][0] != all_[0][0]):
        return ""
    if not ours and not re.search(rf"\b{re.escape(all_[0][0])}\b", part):
        return ""
    narrower = set(_MATCHER.findall(all_[0][1]))
    for _, matchers in ours:
        narrower -= {one for one in narrower if one[0] in {name for name, _, _ in _MATCHER.findall(matchers)}}
    return ", ".join(f"{name}{sign}{value}" for name, sign, value in sorted(narrower))


def _export(objective: Objective, rows: tuple[BurnRow, ...]) -> Iterator[Remark]:
    if objective.sli.kind is Kind.LATENCY and any(_latency(objective, rows)):
        return  # said already
    try:
        events = events_of(objective)
    except NotExportable as error:
        yield Remark("note", "not-exportable", f"it has no rules of Prometheus: {error.message}")
        return
    if isinstance(objective.window, Calendar):
        yield Remark(
            "note", "calendar-in-prometheus",
            f"Prometheus knows no calendar: exported rules look at the last "
            f"{span_words(objective.window.length_s())}; Warrant itself keeps the calendar",
        )  # fmt: skip
    if objective.minimum_events > 1 and events.counted("5m", 300) is None and events.total is not None:
        yield Remark(
            "note", "minimum-not-exported",
            "the queries do not say whether they count or give a rate, so exported rules have no minimum of events; "
            "write rate(...) or increase(...) in both",
        )  # fmt: skip


def _retention(objective: Objective, retention_s: int) -> Iterator[Remark]:
    period_s = objective.window.length_s()
    if objective.sli.kind in _FROM_PROMETHEUS and period_s > retention_s:
        yield Remark(
            "note", "beyond-retention",
            f"the period lasts {span_words(period_s)}, a Prometheus keeps {span_words(retention_s)} unless it is told "
            "otherwise (--storage.tsdb.retention.time): exported rules then see a part of the budget; what Warrant "
            "counted it keeps",
        )  # fmt: skip


_Look = Callable[[Objective, tuple[BurnRow, ...]], Iterable[Remark]]
_LOOKS: Final[tuple[_Look, ...]] = (
    _latency, _rows_that_cannot, _targets, _single_failures, _windows_as_events, _slices, _own_queries, _export,
)  # fmt: skip
