"""Planned work is declared once: it mutes alerts, and objectives leave it out unless they say that they count it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from backend import clock
from backend.alerting.silences import Matchers, end_silence, silence
from backend.alerting.tables import Silence
from backend.database.session import reading, writing
from backend.errors import BadInput
from backend.slo.maintenance import declare_maintenance, end_maintenance
from backend.slo.objectives_service import get_objective, revise_objective
from backend.slo.openslo import parse_openslo
from backend.slo.openslo_writing import write_openslo
from backend.slo.reading import read_detail
from tests.integration.governance.conftest import put_in_force
from tests.integration.slo.test_objectives import (
    AVAILABLE,
    MINUTE,
    define,
    log_requests,
    look,
    minutes_until,
    noon,
    state_of,
    world,
)
from tests.worlds import World

__all__ = ["noon", "world"]

COUNTED = replace(AVAILABLE, name="strict", counts_maintenance=True)


def planned(world: World, *, hours: float = 1, **how: Any) -> Silence:
    told: dict[str, Any] = {
        "matchers": Matchers(model="toy", environment="production"),
        "comment": "new disks",
    }
    with writing() as session:
        return silence(
            session,
            world.on_call,
            purpose="maintenance",
            until=clock.now() + timedelta(hours=hours),
            **told | how,
        )


def period_of(key: str) -> tuple[float, float]:
    """Events of the period, and seconds left out."""
    figures = state_of(key).figures["period"]
    return figures["total"], figures["excluded_s"]


def test_planned_work_is_left_out_where_the_objective_does_not_count_it(world: World, noon: datetime) -> None:
    log_requests(minutes_until(noon, 5), good=10)
    excluded, counted = define(world), define(world, COUNTED)
    planned(world)
    log_requests([noon + MINUTE * one for one in range(1, 4)], good=1, failed=9)
    look(noon + MINUTE * 4)
    assert period_of(excluded) == (50, 240), "four minutes, of which the first began before it was declared"
    assert period_of(counted) == (80, 0)
    with reading() as session:
        (left,) = read_detail(session, world.viewer, excluded).left_out
        assert (left.reason, left.about) == ("new disks", "planned work")
        assert read_detail(session, world.viewer, counted).left_out == ()


def test_it_counts_again_from_when_the_work_was_ended(world: World, noon: datetime) -> None:
    key, row = define(world), planned(world)
    with writing() as session:
        end_silence(session, world.on_call, row.id)
    log_requests([noon + MINUTE * one for one in range(2, 5)], good=10)
    look(noon + MINUTE * 5)
    assert period_of(key)[0] == 30


def test_what_was_declared_afterwards_undoes_no_failure(world: World, noon: datetime) -> None:
    log_requests(minutes_until(noon, 5), good=1, failed=9)
    key = define(world)
    planned(world, starts_at=noon - timedelta(hours=1))
    look(noon)
    assert period_of(key)[0] == 50


@pytest.mark.parametrize(
    "matchers",
    [Matchers(model="toy", kind="drift"), Matchers(model="toy", environment="staging"), Matchers(kind="slo")],
)
def test_work_on_a_part_or_elsewhere_leaves_nothing_out(
    world: World, noon: datetime, matchers: Matchers
) -> None:
    key = define(world)
    planned(world, matchers=matchers)
    log_requests([noon + MINUTE * one for one in range(1, 4)], good=10)
    look(noon + MINUTE * 4)
    assert period_of(key)[0] == 30


def test_where_objectives_change_only_by_a_change_planned_work_takes_nothing_out(
    world: World, noon: datetime
) -> None:
    key = define(world)
    with writing() as session:
        rules = (
            "[{name: guarded, for: {kinds: [monitor]}, rule: {only_by_change: true}}, {name: all, rule: {}}]"
        )
        put_in_force(session, world, f"rules: {rules}")
    planned(world)
    log_requests([noon + MINUTE * one for one in range(1, 4)], good=10)
    look(noon + MINUTE * 4)
    assert period_of(key)[0] == 30


def test_declaring_another_time_leaves_planned_work_out_as_before(world: World, noon: datetime) -> None:
    key = define(world)
    planned(world)
    log_requests([noon + MINUTE * one for one in range(1, 4)], good=10)
    look(noon + MINUTE * 4)
    before = period_of(key)
    with writing() as session:
        made = declare_maintenance(
            session, world.on_call, model="toy", environment="production", starts_at=noon,
            ends_at=noon + timedelta(hours=2), reason="the same work, again",
        )  # fmt: skip
        end_maintenance(session, world.on_call, made.id)
    assert period_of(key) == before
    look(noon + MINUTE * 5)
    assert period_of(key)[0] == 0


def test_a_revision_that_counts_planned_work_counts_what_is_stored_anew(world: World, noon: datetime) -> None:
    key = define(world)
    planned(world)
    log_requests([noon + MINUTE * one for one in range(1, 4)], good=10)
    look(noon + MINUTE * 4)
    assert period_of(key)[0] == 0
    with writing() as session:
        seen = get_objective(session, world.on_call, key).number
        wanted = replace(AVAILABLE, counts_maintenance=True)
        revise_objective(session, world.on_call, key, objective=wanted, seen=seen)
    look(noon + MINUTE * 5)
    assert period_of(key) == (30, 0)


def test_what_an_objective_says_of_maintenance_is_kept_in_its_openslo_text() -> None:
    text = write_openslo([COUNTED])
    assert "warrant/maintenance: counted" in text
    assert parse_openslo(text) == (COUNTED,)
    assert "warrant/maintenance" not in write_openslo([AVAILABLE])
    with pytest.raises(BadInput, match="excluded or counted, not 'ignored'"):
        parse_openslo(text.replace("counted", "ignored"))
