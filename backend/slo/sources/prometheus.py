"""Events from a Prometheus that scrapes the gateways, or that answers somebody's own queries.

The gateways' counters are read at the edges of slots and subtracted, series by series: their differences add up to
exactly what was counted, which `increase()` only estimates, at whatever interval the server scrapes. A counter that
fell began again at zero; a series that appears beside others of its gateway began at zero; one that appears with its
gateway only has its later increases counted.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from backend.errors import WarrantError
from backend.serving.outcomes import is_failure
from backend.slo.burn_rates import Counts
from backend.slo.objectives import Latency, Objective, Queries, Threshold
from backend.slo.prometheus import Prometheus, PrometheusAway, QueryRefused, RangeAnswer, Series, quote
from backend.slo.promql import WINDOW, query_parts, ratio_query, served_by
from backend.slo.slots import FIVE, MINUTE, Slot, floor_to
from backend.slo.sources import OF_REQUESTS, PROMETHEUS, Asked, Reading, as_budgeted, steps_of

REQUESTS: Final = "warrant_requests_total"
BUCKETS: Final = "warrant_request_seconds_bucket"
OWN_QUERIES_S: Final = 30.0  # after so long a round begins no further query of somebody's own
TOO_SLOW: Final = (
    f"it was not asked this minute: others took more than {OWN_QUERIES_S:g} s; it comes first in a later one"
)
_COMPARE: Final = {
    "lte": lambda value, limit: value <= limit, "gte": lambda value, limit: value >= limit,
    "lt": lambda value, limit: value < limit, "gt": lambda value, limit: value > limit,
}  # fmt: skip


def count_in_prometheus(url: str, asked: Sequence[Asked]) -> dict[str, Reading]:
    """{objective: what a server counted for it}. Talks to the network; call it outside a transaction.

    Never raises for a server that is away or a query that it refuses: that is the problem of the reading. A server that
    is away is waited for once. A query of somebody's own that it cannot answer is that objective's problem alone.
    """
    found: dict[str, Reading] = {}
    away, ends = "", time.monotonic() + OWN_QUERIES_S
    with Prometheus(url) as server:
        for one in _in_order(asked):
            if time.monotonic() > ends and one.objective.sli.kind not in OF_REQUESTS:
                found[one.key] = Reading((), PROMETHEUS, TOO_SLOW)
                continue
            try:
                found[one.key] = Reading((), PROMETHEUS, away) if away else _count(server, one)
            except WarrantError as error:
                found[one.key] = Reading((), PROMETHEUS, error.message)
                if isinstance(error, PrometheusAway) and not _answers(server):
                    away = error.message
    return found


def _in_order(asked: Sequence[Asked]) -> list[Asked]:
    """What is asked for requests first, then people's own queries: with another first each minute, so that where there
    is no time for all of them none is left out for good."""
    ours = [one for one in asked if one.objective.sli.kind in OF_REQUESTS]
    own = [one for one in asked if one.objective.sli.kind not in OF_REQUESTS]
    first = own[0].until_s // MINUTE % len(own) if own else 0
    return [*ours, *own[first:], *own[:first]]


def _answers(server: Prometheus) -> bool:
    """Whether the server is there, so that a query which it did not answer is at fault itself."""
    try:
        server.query("vector(1)")
    except WarrantError:
        return False
    return True


def _count(server: Prometheus, asked: Asked) -> Reading:
    if asked.objective.sli.kind in OF_REQUESTS:
        return _requests(server, asked)
    if isinstance(asked.objective.sli, Queries):
        return _own_queries(server, asked, asked.objective.sli)
    if isinstance(asked.objective.sli, Threshold):
        return _looks(server, asked, asked.objective.sli)
    return Reading((), PROMETHEUS, f"Prometheus does not count objectives of {asked.objective.sli.kind}")


def _requests(server: Prometheus, asked: Asked) -> Reading:
    objective = asked.objective
    slots: list[Slot] = []
    notes: list[str] = []
    for start, end, length in steps_of(asked):
        answer = server.query_range(selector_of(objective), start_s=start, end_s=end, step_s=length)
        notes += answer.notes
        slots += [
            Slot(at, length, _difference(answer.series, objective, at, at + length))
            for at in range(start, end, length)
        ]
    problem = "; ".join(dict.fromkeys(notes))
    if not any(one.counts.observed_s for one in slots):
        problem = (
            problem
            or f"Prometheus has no series {selector_of(objective)}: it does not scrape its gateway, "
            "or nobody has asked the model yet"
        )
    return Reading(as_budgeted(objective, slots), PROMETHEUS, problem)


def selector_of(objective: Objective) -> str:
    """The series that an objective about requests reads."""
    of = served_by(objective)
    if not isinstance(objective.sli, Latency):
        return f"{REQUESTS}{{{of}}}"
    edge = float(objective.sli.threshold_ms) / 1000
    written = "|".join(re.escape(text) for text in dict.fromkeys((str(edge), f"{edge:g}", "+Inf")))
    return f"{BUCKETS}{{{of},le=~{quote(written)}}}"


def _difference(series: Iterable[Series], objective: Objective, start: int, end: int) -> Counts:
    """What the series counted between two moments; not observed where none has a value at both."""
    there = [one for one in series if end in one.points]
    before = {_process(one) for one in there if start in one.points}
    good = total = 0.0
    for one in there:
        at_end, at_start = one.points[end], one.points.get(start)
        if at_start is None:
            counted = at_end if _process(one) in before else 0.0
        else:
            counted = at_end - at_start if at_end >= at_start else at_end
        if isinstance(objective.sli, Latency):
            if one.labels.get("le") == "+Inf":
                total += counted
            else:
                good += counted
        else:
            total += counted
            good += 0.0 if is_failure(one.labels.get("code", "")) else counted
    return Counts(min(good, total), total, float(end - start) if before else 0.0)


def _process(series: Series) -> tuple[str, str]:
    return series.labels.get("job", ""), series.labels.get("instance", "")


def _own_queries(server: Prometheus, asked: Asked, sli: Queries) -> Reading:
    """Somebody's own queries over five minutes, at the end of each."""
    start, end = floor_to(asked.since_s, FIVE), floor_to(asked.until_s, FIVE)
    queries, scale = _filled_for_five(asked.objective.name, sli)
    values: dict[str, Mapping[int, float]] = {}
    notes: list[str] = []
    for name, query in queries.items():
        answer = server.query_range(query, start_s=start + FIVE, end_s=end, step_s=FIVE)
        notes += answer.notes
        values[name] = _single(answer, query)
    slots = []
    for at in range(start + FIVE, end + 1, FIVE):
        counts, note = _of_values(sli, {name: found.get(at) for name, found in values.items()}, scale)
        slots.append(Slot(at - FIVE, FIVE, counts))
        notes += [note] if note else []
    return Reading(as_budgeted(asked.objective, slots), PROMETHEUS, "; ".join(dict.fromkeys(notes)))


def _filled_for_five(name: str, sli: Queries) -> tuple[dict[str, str], int]:
    """The queries by what they give, and what one of their values counts in five minutes."""
    if sli.raw:
        return {"raw": ratio_query(sli)("5m")}, 1
    part, total, unit = query_parts(name, sli)
    return {"part": part("5m"), "total": total("5m")}, FIVE if unit == "rate" else 1


def _of_values(sli: Queries, at: Mapping[str, float | None], scale: int) -> tuple[Counts, str]:
    """Counts of five minutes, and what was wrong with them. A query without a value at all was not observed."""
    if "raw" in at:
        share = at["raw"]
        if share is None:
            return Counts(), ""
        if not 0 <= share <= 1:
            return Counts(), f"the ratio is {share:g}, which is no share: these five minutes are left out"
        return Counts(share if sli.raw_type == "success" else 1 - share, 1.0, FIVE), ""
    total = at["total"]
    if total is None:
        return Counts(), ""
    part = at["part"] or 0.0  # while nothing ever failed (or went well) there is no such series yet
    if not 0 <= part <= total * (1 + 1e-9):
        name = "good" if sli.good else "bad"
        return Counts(), f"{part:g} {name} events of {total:g}: these five minutes are left out"
    part = min(part, total)
    return Counts((part if sli.good else total - part) * scale, total * scale, FIVE), ""


def _looks(server: Prometheus, asked: Asked, sli: Threshold) -> Reading:
    start, end = floor_to(asked.since_s, MINUTE), floor_to(asked.until_s, MINUTE)
    step = MINUTE if end - start <= 86_400 else FIVE
    start, end = floor_to(start, step), floor_to(end, step)
    answer = server.query_range(WINDOW.sub("5m", sli.query), start_s=start + step, end_s=end, step_s=step)
    values, limit, slots = _single(answer, sli.query), float(sli.value), []
    for at in range(start + step, end + 1, step):
        value = values.get(at)
        counts = Counts() if value is None else Counts(float(_COMPARE[sli.op](value, limit)), 1.0, step)
        slots.append(Slot(at - step, step, counts))
    return Reading(as_budgeted(asked.objective, slots), PROMETHEUS, "; ".join(answer.notes))


def _single(answer: RangeAnswer, query: str) -> Mapping[int, float]:
    if len(answer.series) > 1:
        raise QueryRefused(
            f"{query!r} gives {len(answer.series)} series; one is needed, so put sum() around it"
        )
    return answer.series[0].points if answer.series else {}
