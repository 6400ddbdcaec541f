"""The history of an objective over a range: its steps, its budget, its alerts, and the list cut by the database."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from backend import clock
from backend.alerting.service import Firing, fire, resolve
from backend.database.session import reading, writing
from backend.slo.objectives_service import count_objectives, count_states, worst_objectives
from backend.slo.reading import Detail, read_detail, step_of
from tests.integration.slo.test_objectives import (
    AVAILABLE,
    MINUTE,
    define,
    log_requests,
    look,
    minutes_until,
    noon,
    world,
)
from tests.worlds import SYSTEM, World

__all__ = ["noon", "world"]
HOUR = timedelta(hours=1)


def detail(world: World, key: str, since: datetime, until: datetime, step: timedelta) -> Detail:
    with reading() as session:
        return read_detail(
            session, world.viewer, key, since=since, until=until, step_s=round(step.total_seconds())
        )


def test_a_history_holds_the_steps_of_its_range_and_no_others(world: World, noon: datetime) -> None:
    log_requests(minutes_until(noon, 60), good=9, failed=1)
    log_requests(minutes_until(noon - MINUTE * 60, 60), good=10)
    key = define(world)
    look(noon)
    last = detail(world, key, noon - MINUTE * 30, noon, MINUTE).history
    assert [one.at for one in last] == [noon - MINUTE * back for back in range(29, -1, -1)]
    assert {(one.counts.good, one.counts.total) for one in last} == {(9, 10)}
    before = detail(world, key, noon - MINUTE * 90, noon - MINUTE * 60, MINUTE).history
    assert {(one.counts.good, one.counts.total) for one in before} == {(10, 10)}
    assert before[-1].at == noon - MINUTE * 60
    assert before[-1].remaining == 1.0, "what failed afterwards is not in it"
    assert last[-1].remaining == pytest.approx(1 - 60 / 1200 / 0.01)


def test_a_step_holds_all_that_was_counted_in_it(world: World, noon: datetime) -> None:
    log_requests(minutes_until(noon, 150), good=10)
    key = define(world)
    look(noon)
    with reading() as session:
        points = read_detail(session, world.viewer, key).history
    assert sum(one.counts.total for one in points) == 1500, "six hours, not only the first of them"


def test_a_minute_without_events_says_nothing(world: World, noon: datetime) -> None:
    log_requests([noon - MINUTE * 3, noon - MINUTE], good=10)
    key = define(world)
    look(noon)
    counted = [one.counts.total for one in detail(world, key, noon - MINUTE * 3, noon, MINUTE).history]
    assert counted == [10, 0, 10]


def test_steps_are_no_shorter_than_what_is_stored_and_not_too_many() -> None:
    now = clock.now()
    asked = [
        (timedelta(hours=1), timedelta(), 60), (timedelta(hours=1), timedelta(hours=3), 300),
        (timedelta(hours=1), timedelta(days=2), 3600), (timedelta(hours=20), timedelta(), 300),
        (timedelta(days=7), timedelta(), 3600), (timedelta(days=28), timedelta(), 6 * 3600),
        (timedelta(days=90), timedelta(), 86_400), (timedelta(days=3000), timedelta(), 86_400),
    ]  # fmt: skip
    for length, ago, step in asked:
        assert step_of(now - ago - length, now - ago, now) == step, (length, ago)


def test_alerts_are_those_that_fired_in_the_range(world: World, noon: datetime) -> None:
    key = define(world)
    with writing() as session:
        firing = Firing("toy", "production", 2, "slo", "page", "it burns", f"{key}/page", noon, {})
        alert = fire(session, SYSTEM, firing)
        alert.fired_at = noon - HOUR * 5
        resolve(session, SYSTEM, alert, why="it is over")
        alert.resolved_at = noon - HOUR * 4
    for since, until, known in ((6, 3, 1), (4.5, 0, 1), (8, 4.5, 1), (3, 0, 0), (9, 6, 0)):
        found = detail(world, key, noon - HOUR * since, noon - HOUR * until, MINUTE * 5).alerts
        assert len(found) == known, (since, until)


def test_a_list_of_a_state_is_cut_by_the_database(world: World, noon: datetime) -> None:
    log_requests(minutes_until(noon, 60), good=5, failed=5)
    burns = define(world)
    look(noon)
    others = [define(world, replace(AVAILABLE, name=f"new-{one}")) for one in range(3)]
    with reading() as session:
        viewer = world.viewer
        assert [one.key for one in worst_objectives(session, viewer, state="breach")] == [burns]
        unknown = worst_objectives(session, viewer, state="no_data")
        assert {one.key for one in unknown} == set(others)
        cut = worst_objectives(session, viewer, state="no_data", limit=2, offset=2)
        assert [one.key for one in cut] == [unknown[2].key]
        counts = count_states(session, viewer, environment="production")
        assert counts == {"breach": 1, "no_data": 3}
        assert sum(counts.values()) == count_objectives(session, viewer, environment="production")
        assert count_states(session, viewer, environment="staging") == {}
