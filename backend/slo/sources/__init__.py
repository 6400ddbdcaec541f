"""Where the events of an objective are counted: the observation store with the gateway's own log, or a Prometheus.

Each source turns a span of time into slots. A slot in which the source was not seen has `observed_s` 0: that is no
data, not an absence of events.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from backend.slo.burn_rates import Counts
from backend.slo.objectives import Budgeting, Kind, Objective
from backend.slo.slots import FIVE, HOUR, MINUTE, Slot, floor_to

GATEWAY, STORE, PROMETHEUS = "gateway", "store", "prometheus"
OF_REQUESTS: Final = frozenset({Kind.AVAILABILITY, Kind.LATENCY})
OF_QUERIES: Final = frozenset({Kind.QUERIES, Kind.THRESHOLD})
FINE_S: Final = 27 * HOUR  # how far back slots shorter than an hour are read


@dataclass(frozen=True)
class Asked:
    """Count the events of one objective in [since_s, until_s), seconds since 1970 on the edges of minutes."""

    key: str
    objective: Objective
    since_s: int
    until_s: int


@dataclass(frozen=True)
class Reading:
    """What a source counted. `problem`: why nothing could be counted, or what the source warned of."""

    slots: tuple[Slot, ...]
    source: str
    problem: str = ""


def source_of(kind: Kind, *, prometheus: bool) -> str:
    """Which source counts objectives of a kind. Requests come from Prometheus where one is configured."""
    if kind in OF_QUERIES or (kind in OF_REQUESTS and prometheus):
        return PROMETHEUS
    return GATEWAY if kind in OF_REQUESTS else STORE


def steps_of(asked: Asked) -> Iterator[tuple[int, int, int]]:
    """(start, end, length of a slot) of the parts in which a span is read: the older, the coarser.

    Objectives that count slices are read in slices.
    """
    if asked.objective.slice_s is not None:
        length = asked.objective.slice_s
        yield floor_to(asked.since_s, length), floor_to(asked.until_s, length), length
        return
    hours_end = floor_to(asked.until_s - FINE_S, HOUR)
    fives_end = floor_to(asked.until_s - 3 * HOUR, HOUR)
    start = asked.since_s
    for end, length in ((hours_end, HOUR), (fives_end, FIVE), (asked.until_s, MINUTE)):
        first = floor_to(start, length)
        if first < end:
            yield first, end, length
            start = end


def as_budgeted(objective: Objective, slots: Sequence[Slot]) -> tuple[Slot, ...]:
    """Slots of events as the objective's budget counts them: events, good slices, or shares of slices."""
    if objective.budgeting is Budgeting.OCCURRENCES:
        return tuple(slots)
    return tuple(Slot(one.start_s, one.length_s, _as_slice(objective, one.counts)) for one in slots)


def _as_slice(objective: Objective, counts: Counts) -> Counts:
    if counts.total <= 0:
        return Counts(0.0, 0.0, counts.observed_s)
    share = Fraction(counts.good) / Fraction(counts.total)
    if objective.budgeting is Budgeting.TIMESLICES:
        return Counts(float(share >= Fraction(objective.slice_target or 1)), 1.0, counts.observed_s)
    return Counts(float(share), 1.0, counts.observed_s)
