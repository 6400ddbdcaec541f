"""An objective as recording and alerting rules of Prometheus.

Windows, factors and thresholds are those of Sloth for the same objective (slok/sloth, rules of `prometheus/v1`).
Otherwise:

- The error of the whole period is bad events over all events. Sloth's is the mean of the 5-minute ratios, in which an
  hour of ten requests weighs as much as one of a million, and in which one 0/0 makes all of it NaN.
- A window without events has no ratio, and failures that never happened are 0 rather than absent.
- An objective may ask for a minimum of events in the long window, and an indicator that disappears is its own alert.
- The objective is the decimal that was written, not 0.9990000000000001.

A period of the calendar is not known to PromQL: its rules look at its nominal length (a month: 30 days).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any, Final

import yaml

from backend.slo.alert_row_text import percent, plain
from backend.slo.durations import write_duration
from backend.slo.objectives import Budgeting, BurnRow, Objective, Severity, alert_rows
from backend.slo.promql import Events, NotExportable, events_of, quote
from backend.slo.windows import Calendar

SHORTEST_S: Final = 300
ABSENT_FOR: Final = "15m"
_LABEL: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*")
_OURS: Final = frozenset({"slo", "model", "environment", "window", "severity", "alertname"})
Rule = dict[str, Any]


def rules_of(objective: Objective) -> list[dict[str, Any]]:
    """The rule groups of one objective. Raises `NotExportable` where Prometheus cannot answer it."""
    events, rows = events_of(objective), alert_rows(objective)
    name = f"{objective.environment}-{objective.model}-{objective.name}"  # a file names each group once
    groups: list[dict[str, Any]] = []
    if objective.slice_s is not None:
        every = write_duration(objective.slice_s)
        rule = _slice_rule(objective, events, every)
        groups.append({"name": f"warrant-slo-slices-{name}", "interval": every, "rules": [rule]})
    return [
        *groups,
        {"name": f"warrant-slo-indicator-{name}", "rules": [*_indicator_rules(objective, events, rows)]},
        {"name": f"warrant-slo-budget-{name}", "rules": [*_budget_rules(objective)]},
        {"name": f"warrant-slo-alerts-{name}", "rules": [*_alerts(objective, events, rows)]},
    ]


def exportable(objectives: Iterable[Objective]) -> tuple[list[Objective], list[tuple[Objective, str]]]:
    """Those that Prometheus can answer; the others, and why not."""
    kept, left_out = [], []
    for one in objectives:
        try:
            rules_of(one)
        except NotExportable as error:
            left_out.append((one, error.message))
        else:
            kept.append(one)
    return kept, left_out


def write_rules(objectives: Iterable[Objective]) -> str:
    """A file of rules, as Prometheus loads it. Raises `NotExportable`."""
    groups = [group for objective in objectives for group in rules_of(objective)]
    text = yaml.dump(
        {"groups": groups}, Dumper=_Writer, sort_keys=False, allow_unicode=True, width=10_000,
        default_flow_style=False,
    )  # fmt: skip
    return f"# Made by `warrant slo export`: edit the objectives and export again.\n{text}"


class _Writer(yaml.SafeDumper):
    """Writes texts of several lines as blocks."""


def _block(writer: yaml.SafeDumper, value: str) -> yaml.Node:
    return writer.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Writer.add_representer(str, _block)


def error_series(window: str) -> str:
    """The recorded error ratio of a window."""
    return f"warrant:slo_error:ratio_rate{window}"


def _labels(objective: Objective) -> dict[str, str]:
    return {"slo": objective.name, "model": objective.model, "environment": objective.environment}


def _selector(objective: Objective) -> str:
    return "{" + ", ".join(f"{name}={quote(value)}" for name, value in _labels(objective).items()) + "}"


def _record(objective: Objective, name: str, expr: str, **labels: str) -> Rule:
    return {"record": name, "expr": expr, "labels": _labels(objective) | labels}


def _windows(objective: Objective, rows: Sequence[BurnRow]) -> list[int]:
    """Every window of the rows, in seconds, and the shortest, from which the period is added up."""
    lengths = {SHORTEST_S} | {row.long_s for row in rows} | {row.short_s for row in rows}
    return sorted(lengths)


def _slice_rule(objective: Objective, events: Events, window: str) -> Rule:
    """One slice: good or bad (Timeslices), or its own error ratio (RatioTimeslices)."""
    if objective.budgeting is Budgeting.RATIO_TIMESLICES:
        return _record(objective, "warrant:slo_slice_error:ratio", events.ratio(window))
    allowed = 1 - (objective.slice_target or Decimal(1))
    return _record(
        objective, "warrant:slo_slice_error:ratio", f"({events.ratio(window)})\n> bool {_number(allowed)}"
    )


def _indicator_rules(objective: Objective, events: Events, rows: Sequence[BurnRow]) -> Iterator[Rule]:
    chosen = _selector(objective)
    for seconds in _windows(objective, rows):
        window = write_duration(seconds)
        if objective.slice_s is None:
            expr = events.ratio(window)
        else:  # every slice weighs the same; a window shorter than a slice sees the last one
            look = write_duration(max(seconds, objective.slice_s))
            expr = f"avg_over_time(warrant:slo_slice_error:ratio{chosen}[{look}])"
        yield _record(objective, error_series(window), expr, window=window)
    if events.bad is not None and events.total is not None and objective.slice_s is None:
        yield _record(objective, "warrant:slo_bad:rate5m", events.bad("5m"))
        yield _record(objective, "warrant:slo_total:rate5m", events.total("5m"))
    for seconds in _guarded(objective, events, rows):
        window = write_duration(seconds)
        counted = events.counted(window, seconds) or ""
        yield _record(objective, f"warrant:slo_events:count{window}", counted, window=window)
    yield _period_rule(objective, events)


def _period_rule(objective: Objective, events: Events) -> Rule:
    chosen, period = _selector(objective), write_duration(objective.window.length_s())
    name = "warrant:slo_period_error:ratio"
    if objective.slice_s is not None:
        return _record(
            objective, name, f"avg_over_time(warrant:slo_slice_error:ratio{chosen}[{period}])", window=period
        )
    if events.bad is None:  # a ratio says not of how many: each 5 minutes weigh the same
        return _record(
            objective, name, f"avg_over_time({error_series('5m')}{chosen}[{period}])", window=period
        )
    return _record(
        objective, name,
        f"sum_over_time(warrant:slo_bad:rate5m{chosen}[{period}])\n/\n"
        f"(sum_over_time(warrant:slo_total:rate5m{chosen}[{period}]) > 0)", window=period,
    )  # fmt: skip


def _guarded(objective: Objective, events: Events, rows: Sequence[BurnRow]) -> list[int]:
    """The long windows whose events are counted; none where no minimum is asked or the unit is unknown."""
    if objective.minimum_events <= 1 or events.counted("5m", SHORTEST_S) is None:
        return []
    return sorted({row.long_s for row in rows})


def _budget_rules(objective: Objective) -> Iterator[Rule]:
    chosen, days = _selector(objective), Decimal(objective.window.length_s()) / 86_400
    budget = "warrant:slo_error_budget:ratio"
    yield _record(objective, "warrant:slo_objective:ratio", f"vector({_number(objective.target)})")
    yield _record(objective, budget, f"vector({_number(objective.budget)})")
    yield _record(objective, "warrant:slo_time_period:days", f"vector({_number(days)})")
    on = "/ on(slo, model, environment)\n"
    yield _record(
        objective,
        "warrant:slo_current_burn_rate:ratio",
        f"{error_series('5m')}{chosen}\n{on}{budget}{chosen}",
    )
    yield _record(
        objective, "warrant:slo_period_burn_rate:ratio",
        f"warrant:slo_period_error:ratio{chosen}\n{on}{budget}{chosen}",
    )  # fmt: skip
    yield _record(
        objective, "warrant:slo_period_error_budget_remaining:ratio",
        f"1 - warrant:slo_period_burn_rate:ratio{chosen}",
    )  # fmt: skip
    yield _record(objective, "warrant:slo_info", "vector(1)", target_percent=plain(objective.target * 100))


def _alerts(objective: Objective, events: Events, rows: Sequence[BurnRow]) -> Iterator[Rule]:
    severities: tuple[Severity, ...] = ("page", "ticket")
    for severity in severities:
        chosen = [row for row in rows if row.severity == severity]
        if chosen:
            yield _burn_alert(objective, events, severity, chosen)
    if events.total is None:
        return
    yield _alert(
        objective, "IndicatorAbsent", f"absent({events.presence or events.total('5m')})", "ticket", ABSENT_FOR,
        f"{_title(objective)}: the indicator is gone",
        "No series has been there for 15 minutes, so nobody knows whether it holds. Is the target "
        "scraped? Was a metric or a label renamed?",
    )  # fmt: skip
    # Two counters that are scraped at one moment agree; a twentieth allows for a restart between two scrapes.
    short = f"{error_series('5m')}{_selector(objective)}"
    yield _alert(
        objective, "IndicatorImpossible", f"{short} < -0.05 or {short} > 1.05", "ticket", ABSENT_FOR,
        f"{_title(objective)}: more good (or bad) events than events",
        "The queries do not fit together: the share of bad events is {{ $value }}.",
    )  # fmt: skip


def _burn_alert(objective: Objective, events: Events, severity: Severity, rows: Sequence[BurnRow]) -> Rule:
    chosen, guarded = _selector(objective), bool(_guarded(objective, events, rows))
    parts, told = [], []
    for row in rows:
        long, short = write_duration(row.long_s), write_duration(row.short_s)
        limit = f"({_number(row.factor)} * {_number(objective.budget)})"
        both = [f"max({error_series(window)}{chosen} > {limit}) without (window)" for window in (short, long)]
        if guarded:
            enough = f"warrant:slo_events:count{long}{chosen} >= {objective.minimum_events}"
            both.append(f"max({enough}) without (window)")
        parts.append("(\n    " + "\n    and\n    ".join(both) + "\n)")
        share = percent(row.budget_share.normalize())
        told.append(f"{_number(row.factor)}x over {long} and {short} ({share} of the budget)")
    remaining = _template_text(f"warrant:slo_period_error_budget_remaining:ratio{chosen}")
    period = _period(objective)
    left = (
        "{{ with query " + remaining + " }}{{ $left := . | first | value }}{{ if gt $left 0.0 }}"
        " {{ $left | humanizePercentage }} of the budget of " + period + " is left."
        "{{ else }} The budget of " + period + " is spent.{{ end }}{{ end }}"
    )
    return _alert(
        objective, "ErrorBudgetBurn", "\nor\n".join(parts), severity, "",
        f"{_title(objective)}: the error budget burns too fast",
        "{{ $value | humanizePercentage }} of the events in the short window were bad, "
        f"{percent(objective.budget)} may be. It fires at {' or '.join(told)}.{left}",
    )  # fmt: skip


def _alert(
    objective: Objective, name: str, expr: str, severity: str, hold: str, summary: str, description: str
) -> Rule:
    held = {"for": hold} if hold else {}
    return {
        "alert": f"Warrant{name}", "expr": expr, **held,
        "labels": _own_labels(objective) | _labels(objective) | {"severity": severity},
        "annotations": {"summary": summary, "description": description},
    }  # fmt: skip


def _title(objective: Objective) -> str:
    return _plain(f"{objective.model}, {objective.title or objective.name}")


def _plain(text: str) -> str:
    """What people wrote, in a place where braces would be taken for a template."""
    return re.sub(r"\{(?=\{)", "{ ", text)


def _template_text(text: str) -> str:
    """A text inside a template, as Go writes it."""
    return json.dumps(text) if "`" in text else f"`{text}`"


def _own_labels(objective: Objective) -> dict[str, str]:
    """People's labels, for the routes of an Alertmanager; several values of one are joined."""
    return {
        name: _plain(",".join(values))  # a label of an alert is a template
        for name, values in objective.labels
        if _LABEL.fullmatch(name) and name not in _OURS
    }


def _period(objective: Objective) -> str:
    window = objective.window
    if isinstance(window, Calendar):
        return f"the last {write_duration(window.length_s())}"
    return write_duration(window.hours * 3600)


def _number(value: Decimal) -> str:
    """As it was written where it ends, else with the digits that a float has: 14.4, 0.9333333333333333."""
    text = plain(value)
    return text if len(text) <= 17 else repr(float(value))
