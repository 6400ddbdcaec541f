"""A change whose run was given up, or failed while it put things back, is ended: it would stay open for ever."""

from __future__ import annotations

import pytest

from backend import clock
from backend.audit.change_checks import unrecorded_changes
from backend.database.session import reading, writing
from backend.deployment.service import champion, shares_at
from backend.deployment.tables import Telling
from backend.governance import execution, rollouts
from backend.governance.abandoned import abandoned_changes, end_abandoned
from backend.governance.kinds import Asked
from backend.governance.reconciling import MLFLOW, alias_is_pending
from backend.governance.tables import Change
from backend.queue import JobRun
from jobs.runtime import record_failure
from jobs.schedules import changes_to_tend
from tests.integration.governance.conftest import ask, now, put_in_force, say
from tests.worlds import SYSTEM, World

CANARY = "rules: [{name: all, rule: {rollout: {strategy: canary, steps: [0.2, 1], bake_s: 600}}}]"


def approved(world: World, version: int) -> Change:
    change = ask(world.engineer, Asked("promote", "production", "toy", version))
    return say(world.lead, change)


def give_up(change: Change) -> None:
    """As the reaper does after twenty workers died."""
    with writing() as session:
        record_failure(
            session, f"change-{change.id}", job="execute_change", worker_id="w",
            reason="given up: the workers that ran it died again and again",
        )  # fmt: skip


def tend() -> list[bool]:
    """What the job does."""
    with reading() as session:
        left = abandoned_changes(session)
    ended = []
    for number in left:
        with writing() as session:
            ended.append(end_abandoned(session, SYSTEM, number))
    return ended


def test_a_canary_that_nobody_watches_any_more_is_taken_back(world: World) -> None:
    with writing() as session:
        put_in_force(session, world, CANARY)
    change = approved(world, 1)
    with writing() as session:
        execution.begin(session, SYSTEM, change.id, f"change-{change.id}")
        execution.open_stage(session, SYSTEM, change.id, 1)
        rollouts.begin_watch(session, SYSTEM, change.id, 1)
    assert tend() == []  # it goes on
    give_up(change)
    with reading() as session:
        assert changes_to_tend(session, clock.now())
    assert tend() == [True]
    ended = now(change)
    assert (ended.state, ended.step) == ("failed", "")
    assert "given up: the workers that ran it died" in ended.outcome
    assert "version 3 goes on serving all requests" in ended.outcome
    with reading() as session:
        beside = shares_at(session, world.viewer, "toy", "production", clock.now())
        assert [(one.deployment.version, one.share) for one in beside] == [(3, 1.0)]
        assert not changes_to_tend(session, clock.now())
        assert not list(unrecorded_changes(session, [change.id]))
    assert approved(world, 2).state == "approved"  # the model can be changed again


def test_what_it_had_brought_into_service_leaves_it_and_the_alias_is_told_later(world: World) -> None:
    change = approved(world, 1)
    with writing() as session:
        execution.begin(session, SYSTEM, change.id, f"change-{change.id}")
        execution.write_deployment(session, SYSTEM, change.id)
    give_up(change)
    assert tend() == [True]
    assert "version 3 was restored" in now(change).outcome
    with reading() as session:
        serving = champion(session, "toy", "production")
        assert serving is not None and (serving.version, serving.change_id) == (3, change.id)
        told = session.get(Telling, (change.id, MLFLOW))
        assert told is not None and told.settled_at is None
        assert alias_is_pending(session, serving, 1)  # it is late, and no move that somebody made elsewhere
    assert tend() == []


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_what_was_given_up_before_it_began_fails_and_one_whose_run_goes_on_is_left_alone(
    world: World,
) -> None:
    change = approved(world, 1)
    with writing() as session:
        assert not end_abandoned(session, SYSTEM, change.id)
        assert session.get_one(JobRun, f"change-{change.id}").state == "queued"
    give_up(change)
    assert tend() == [True]
    assert now(change).state == "failed"
    assert "nothing had been moved" in now(change).outcome
