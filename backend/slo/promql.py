"""An objective's events as PromQL over any window: what was bad, and of how many.

Whoever counts by somebody's own queries (`backend.slo.sources.prometheus`) and whoever writes rules from them ask here
for them. In these `{{.window}}` is replaced, as in Sloth's files. A query without it is taken for what the SLI says it
is: a counter, whose rate is taken, or a number that is looked at, whose values are added up.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from backend.errors import WarrantError
from backend.serving.outcomes import EDGES_S, FAILED_CODES
from backend.slo.objectives import Availability, Latency, Objective, Queries, Threshold

WINDOW: Final = re.compile(r"\{\{\s*\.window\s*\}\}")
LOOK_EVERY: Final = "1m"
_SELECTOR: Final = r'[a-zA-Z_:][a-zA-Z0-9_:]*\s*(?:\{(?:[^"{}]|"(?:\\.|[^"\\])*")*\})?'
_COUNTER: Final = re.compile(rf"(?:sum\s*\(\s*({_SELECTOR})\s*\)|({_SELECTOR}))")
_RATES: Final = re.compile(r"\b(?:rate|irate|deriv)\s*\(")
_COUNTS: Final = re.compile(r"\b(?:increase|sum_over_time|count_over_time)\s*\(")
BELOW: Final = {"lte": "<=", "gte": ">=", "lt": "<", "gt": ">"}


def quote(value: str) -> str:
    """A label value as a PromQL string literal: `a"b` becomes `"a\\"b"`."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def served_by(objective: Objective) -> str:
    """The labels of an objective's requests among all that a Prometheus may have scraped."""
    return f"model={quote(objective.model)},environment={quote(objective.environment)}"


class NotExportable(WarrantError):
    """Prometheus cannot answer this objective; the message says why."""

    title = "Not exportable"
    exit_code = 1
    status = 422


@dataclass(frozen=True)
class Events:
    """PromQL of a window such as `5m`. `bad` and `total` are in the same unit; None where only a ratio is known."""

    ratio: Callable[[str], str]
    bad: Callable[[str], str] | None = None
    total: Callable[[str], str] | None = None
    unit: str = ""  # rate (per second) | count | "" unknown
    presence: str = ""  # what is there while the source is, even without traffic; "": the total itself

    def counted(self, window: str, window_s: int) -> str | None:
        """How many events were in a window; None where the queries do not say in which unit they count."""
        if self.total is None or not self.unit:
            return None
        return f"({self.total(window)}) * {window_s}" if self.unit == "rate" else self.total(window)


def events_of(objective: Objective) -> Events:
    """The objective's events. Raises `NotExportable` for what only Warrant measures, and queries that fit no window."""
    sli = objective.sli
    match sli:
        case Availability():
            return _availability(served_by(objective))
        case Latency():
            return _latency(served_by(objective), sli.threshold_ms)
        case Queries():
            return _of_queries(objective.name, sli)
        case Threshold():
            return _threshold(sli)
        case _:
            raise NotExportable(
                f"{objective.name}: {sli.kind} is measured by Warrant from its own store, which Prometheus does not "
                "scrape; Warrant evaluates it and alerts"
            )


def edge_of(threshold_ms: Decimal) -> str:
    """The `le` label of the bucket that ends at a latency. Raises `NotExportable` where none does."""
    for edge in EDGES_S:
        if Decimal(str(edge)) * 1000 == threshold_ms:
            return str(edge)  # as the client library writes it: 1.0, 0.25
    edges = ", ".join(f"{edge * 1000:g}" for edge in EDGES_S)
    raise NotExportable(
        f"{threshold_ms} ms is no edge of the latency histogram, so nobody knows how many requests were within it; "
        f"edges are {edges} ms"
    )


def _availability(of: str) -> Events:
    def total(window: str) -> str:
        return f"sum(rate(warrant_requests_total{{{of}}}[{window}]))"

    def bad(window: str) -> str:
        return f'sum(rate(warrant_requests_total{{{of},code=~"{FAILED_CODES}"}}[{window}]))'

    return replace(_of_bad(bad, total, "rate"), presence=_served(of))


def _served(of: str) -> str:
    """Present while a gateway serves the model: its request counters begin with the first request after a start."""
    return f"warrant_version_info{{{of}}}"


def _latency(of: str, threshold_ms: Decimal) -> Events:
    edge = edge_of(threshold_ms)

    def total(window: str) -> str:
        return f"sum(rate(warrant_request_seconds_count{{{of}}}[{window}]))"

    def good(window: str) -> str:
        return f'sum(rate(warrant_request_seconds_bucket{{{of},le="{edge}"}}[{window}]))'

    return replace(_of_good(good, total, "rate"), presence=_served(of))


def _of_bad(bad: Callable[[str], str], total: Callable[[str], str], unit: str) -> Events:
    # A series of failures that is not there yet is none: without `or`, nothing would be known until the first one.
    def known(window: str) -> str:
        return f"({bad(window)}) or 0 * ({total(window)})"

    def ratio(window: str) -> str:
        return f"({known(window)})\n/\n(({total(window)}) > 0)"

    return Events(ratio, known, total, unit)


def _of_good(good: Callable[[str], str], total: Callable[[str], str], unit: str) -> Events:
    def bad(window: str) -> str:
        return f"({total(window)}) - (({good(window)}) or 0 * ({total(window)}))"

    def ratio(window: str) -> str:
        return f"({bad(window)})\n/\n(({total(window)}) > 0)"

    return Events(ratio, bad, total, unit)


def _of_queries(name: str, sli: Queries) -> Events:
    if sli.raw:
        sign = "" if sli.raw_type == "failure" else "1 - "
        raw = ratio_query(sli)
        return Events(lambda window: f"{sign}({raw(window)})")
    part, total, unit = query_parts(name, sli)
    return (_of_bad if sli.bad else _of_good)(part, total, unit)


def ratio_query(sli: Queries) -> Callable[[str], str]:
    """The stored ratio of somebody's own query, over a window."""
    if WINDOW.search(sli.raw):
        return lambda window: _filled(sli.raw, window)
    return lambda window: f"avg_over_time(({sli.raw})[{window}:{LOOK_EVERY}])"


def query_parts(name: str, sli: Queries) -> tuple[Callable[[str], str], Callable[[str], str], str]:
    """Somebody's own queries over a window: of the good or bad events, of all, and in which unit both count (`rate` per
    second, `count`, "" unknown). Raises `NotExportable` for queries that fit no window, or not each other."""
    part, total = sli.bad or sli.good, sli.total
    units = {_unit_of(query, sli) for query in (part, total)}
    if len(units) > 1:
        raise NotExportable(
            f"{name}: one query counts, the other gives a rate; write both the same way, "
            "such as sum(rate(x[{{.window}}]))"
        )
    return _over(name, part, sli), _over(name, total, sli), units.pop()


def _unit_of(query: str, sli: Queries) -> str:
    if not WINDOW.search(query):
        return "rate" if sli.counter else "count"
    rates, counts = bool(_RATES.search(query)), bool(_COUNTS.search(query))
    return "" if rates == counts else "rate" if rates else "count"


def _over(name: str, query: str, sli: Queries) -> Callable[[str], str]:
    if WINDOW.search(query):
        return lambda window: _filled(query, window)
    if "{{" in query:
        raise NotExportable(f"{name}: a query may hold {{{{.window}}}} and no other template")
    if not sli.counter:
        return lambda window: f"sum_over_time(({query})[{window}:{LOOK_EVERY}])"
    found = _COUNTER.fullmatch(query)
    if found is None:
        raise NotExportable(
            f"{name}: {query!r} reads a counter without a window, and is no plain sum of one; write its rate, such as "
            "sum(rate(x[{{.window}}]))"
        )
    selector = found[1] or found[2]
    return lambda window: f"sum(rate({selector}[{window}]))"


def _filled(query: str, window: str) -> str:
    return WINDOW.sub(window, query)


def _threshold(sli: Threshold) -> Events:
    # A value that is NaN is no look: comparing it with -Inf leaves it out.
    looked = f"(({sli.query}) >= -Inf)"
    missed = f"(1 - ({looked} {BELOW[sli.op]} bool {sli.value:f}))"

    def bad(window: str) -> str:
        return f"sum(sum_over_time({missed}[{window}:{LOOK_EVERY}]))"

    def total(window: str) -> str:
        return f"sum(count_over_time({looked}[{window}:{LOOK_EVERY}]))"

    return _of_bad(bad, total, "count")
