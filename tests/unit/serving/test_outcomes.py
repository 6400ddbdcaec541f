"""Counts of requests: on the edges of the buckets, taken and given back, and the kinds that there are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from backend.errors import BadInput
from backend.serving.accounting import KIND_OF
from backend.serving.metrics import GatewayMetrics
from backend.serving.outcomes import EDGES_S, KINDS, PENDING_MINUTES, OutcomeCounts

NOW = datetime(2026, 3, 1, 9, 5, 30, tzinfo=UTC)


def count(counts: OutcomeCounts, *, code: str = "200", kind: str | None = None, seconds: float = 0.01,
          at: datetime = NOW) -> None:  # fmt: skip
    counts.count("toy", "1", "champion", code=code, kind=kind, seconds=seconds, at=at)


def test_a_request_on_an_edge_is_within_it_as_prometheus_has_it() -> None:
    counts, metrics = OutcomeCounts(), GatewayMetrics("production")
    durations = [factor * edge for edge in EDGES_S for factor in (0.999, 1.0, 1.001)]
    for seconds in durations:
        count(counts, seconds=seconds)
        metrics.seconds.labels("toy", "1", "champion").observe(seconds)
    (minute,) = counts.take(NOW).values()
    (family,) = metrics.seconds.collect()
    theirs = [int(one.value) for one in family.samples if one.name.endswith("_bucket")]
    assert list(minute.outcomes.latency) == theirs
    assert minute.outcomes.within(0.25) == sum(seconds <= 0.25 for seconds in durations)


def test_between_edges_nothing_is_known() -> None:
    counts = OutcomeCounts()
    count(counts)
    (minute,) = counts.take(NOW).values()
    with pytest.raises(BadInput, match=r"0\.3 s is not among them"):
        minute.outcomes.within(0.3)


def test_each_request_is_of_one_sort() -> None:
    counts = OutcomeCounts()
    for code in ("200", "422", "404", "429", "499", "500", "503", "504"):
        count(counts, code=code)
    (minute,) = counts.take(NOW).values()
    found = minute.outcomes
    assert (found.requests, found.answered, found.rejected, found.too_many, found.failed, found.timed_out) == (
        8, 1, 3, 1, 4, 1,
    )  # fmt: skip


def test_what_could_not_be_written_is_taken_again_with_what_came_since() -> None:
    counts = OutcomeCounts()
    count(counts)
    taken = counts.take(NOW)
    count(counts)
    counts.give_back(taken)
    (again,) = counts.take(NOW).values()
    assert again.outcomes.requests == 2
    assert counts.take(NOW) == {}


def test_a_minute_that_is_over_and_written_is_forgotten() -> None:
    counts = OutcomeCounts()
    count(counts)
    taken = counts.take(NOW)
    counts.take(NOW + timedelta(minutes=1))
    counts.give_back(taken)
    assert counts.take(NOW + timedelta(minutes=1)) == {}


def test_without_a_database_only_so_much_is_kept() -> None:
    counts = OutcomeCounts()
    for number in range(PENDING_MINUTES + 5):
        count(counts, at=NOW + timedelta(minutes=number))
    counts.give_back(counts.take(NOW))
    assert len(counts.take(NOW)) == PENDING_MINUTES


def test_every_error_of_the_gateway_has_a_kind_that_is_explained() -> None:
    assert {*KIND_OF.values(), "client_left", "internal"} == KINDS.keys()
