"""On-call against a rollout that is being executed: it is aborted, and one change alone decides what serves."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from backend import clock
from backend.audit.tables import AuditEntry
from backend.database.session import reading, writing
from backend.deployment.service import champion
from backend.deployment.tables import Deployment
from backend.governance import errors, execution, rollouts
from backend.governance.asking import preview_change
from backend.governance.kinds import Asked
from backend.governance.overtaking import still_running
from backend.governance.tables import Change, RolloutStep
from backend.governance.urgent import return_on_breach
from backend.queue import JobRun, WorkerBeat
from tests.integration.governance.conftest import ask, carry_out, now, put_in_force, say
from tests.integration.governance.test_rollouts import baked, counted, look, open_stage, pass_stage
from tests.integration.governance.test_without_decision import go_back, promoted, smash
from tests.worlds import SYSTEM, World

POLICY = """
rules:
  - name: back
    for: {kinds: [rollback, retire]}
    rule: {break_glass: {roles: [on_call], kinds: [rollback, retire], review_within_h: 24}}
  - name: forth
    rule:
      rollout: {strategy: canary, steps: [0.2, 1], bake_s: 600, analysis: {minimum_requests: 100}}
      way_back_days: 14
"""


def begin(world: World, version: int) -> Change:
    """A canary of this version, taken into execution."""
    with writing() as session:
        put_in_force(session, world, POLICY)
    change = ask(world.engineer, Asked("promote", "production", "toy", version))
    assert say(world.lead, change).state == "approved"
    with writing() as session:
        assert execution.begin(session, SYSTEM, change.id, f"change-{change.id}") is not None
    return change


def record_of() -> list[tuple[int, str, float]]:
    """What the record names now."""
    with reading() as session:
        found = session.scalars(
            select(Deployment)
            .where(Deployment.model == "toy", Deployment.ended_at.is_(None))
            .order_by(Deployment.role)
        )
        return [(one.version, one.role, one.share) for one in found]


def assert_powerless(change: Change, number: int) -> None:
    """Whatever its run does next moves nothing and is told why."""
    before = record_of()
    for act in (
        lambda session: execution.open_stage(session, SYSTEM, change.id, 2),
        lambda session: rollouts.begin_watch(session, SYSTEM, change.id, number),
        lambda session: rollouts.settle(
            session, SYSTEM, change.id, number, rollouts.analyse(session, change.id, number)
        ),
        lambda session: execution.note_step(session, change.id, "watching"),
        lambda session: execution.finish(session, SYSTEM, change.id, 1, outcome="it serves"),
    ):
        with writing() as session, pytest.raises(errors.ChangeOvertaken, match="aborted by CHG-"):
            act(session)
    with writing() as session:
        assert execution.restore(session, SYSTEM, change.id, why="it was aborted") is None
        assert execution.champion_after(session, change.id) is None
        assert execution.begin(session, SYSTEM, change.id, f"change-{change.id}") is None
    assert record_of() == before


def test_breaking_the_glass_aborts_a_canary_and_alone_moves_the_record(world: World) -> None:
    running = begin(world, 1)
    canary = open_stage(running, 1)
    counted(canary, canary)
    baked(running, 1)  # its next look would take it to all requests
    urgent = smash(world.on_call)
    aborted = now(running)
    assert (aborted.state, aborted.overtaken_by) == ("failed", urgent.id)
    assert aborted.outcome == (
        f"aborted by CHG-{urgent.id}, which broke the glass: it burns; version 3 serves until "
        f"CHG-{urgent.id} moves it"
    )
    assert record_of() == [(3, "champion", 1.0)]
    assert_powerless(running, 1)
    assert carry_out(urgent).state == "executed"
    assert record_of() == [(2, "champion", 1.0)]
    assert_powerless(running, 1)
    with reading() as session:
        stage = session.get_one(RolloutStep, (running.id, 1))
        assert session.get_one(Deployment, canary).state == "failed"
        entry = session.scalars(
            select(AuditEntry).where(AuditEntry.action == "governance:execution:overtake")
        ).one()
    assert (stage.verdict, stage.analysis["why"].startswith(f"aborted by CHG-{urgent.id}")) == (
        "failure",
        True,
    )
    assert entry.object_id == str(running.id)


def test_at_full_share_the_new_champion_stays_until_the_change_that_aborts_it_moves_it(world: World) -> None:
    running = begin(world, 1)
    pass_stage(running, 1)
    assert (look(running, 1) or {})["verdict"] == "success"
    brought = open_stage(running, 2)
    urgent = smash(world.on_call, Asked("rollback", "production", "toy", 3))
    assert record_of() == [(1, "champion", 1.0)]
    assert_powerless(running, 2)
    assert carry_out(urgent).state == "executed"
    assert record_of() == [(3, "champion", 1.0)]
    with reading() as session:
        assert session.get_one(Deployment, brought).state == "failed", "it is not proposed as healthy"


def test_the_agreed_return_aborts_the_next_rollout(world: World) -> None:
    way = promoted(world)
    running = begin(world, 2)
    open_stage(running, 1)
    back = go_back(world.on_call, way)
    assert now(running).outcome.startswith(
        f"aborted by CHG-{back.id}, which took the agreed return: it degraded"
    )
    assert_powerless(running, 1)
    assert carry_out(back).state == "executed"
    assert record_of() == [(3, "champion", 1.0)]


def test_a_return_that_nobody_takes_in_person_aborts_nothing(world: World) -> None:
    way = promoted(world)
    running = begin(world, 2)
    with writing() as session, pytest.raises(errors.ChangeAlreadyOpen, match="abort its rollout first"):
        return_on_breach(session, SYSTEM, way.id, reason="a condition broke")
    assert now(running).state == "executing"


def test_an_ordinary_change_waits_for_the_rollout(world: World) -> None:
    running = begin(world, 1)
    with pytest.raises(errors.ChangeAlreadyOpen, match="abort its rollout first"):
        ask(world.on_call, Asked("rollback", "production", "toy", 2))
    assert now(running).state == "executing"


def test_a_rollout_that_ended_meanwhile_is_looked_at_again(world: World) -> None:
    """What on-call saw was that version 3 serves; when they act, the rollout has just brought version 1."""
    running = begin(world, 1)
    asked = Asked("rollback", "production", "toy", 2)
    with reading() as session:
        seen = preview_change(session, world.on_call, asked).digest
    pass_stage(running, 1)
    look(running, 1)
    open_stage(running, 2)
    from backend.errors import ChangedSinceSeen
    from backend.governance.urgent import break_glass

    with writing() as session, pytest.raises(ChangedSinceSeen):
        break_glass(session, world.on_call, asked, reason="it burns", seen_digest=seen)
    assert now(running).state == "executing"


def test_a_double_click_breaks_the_glass_once(world: World) -> None:
    begin(world, 1)
    first = smash(world.on_call)
    assert smash(world.on_call).id == first.id
    with writing() as session:
        execution.begin(session, SYSTEM, first.id, f"change-{first.id}")
    assert smash(world.on_call).id == first.id
    assert now(first).state == "executing"


def test_the_run_of_the_one_that_overtakes_waits_until_the_other_has_left(world: World) -> None:
    running = begin(world, 1)
    open_stage(running, 1)
    urgent = smash(world.on_call)
    with writing() as session:
        session.get_one(JobRun, f"change-{running.id}").state = "running"
        session.get_one(JobRun, f"change-{running.id}").worker_id = "w"
        session.add(
            WorkerBeat(
                worker_id="w", queues="changes", host="h", pid=1, started_at=clock.now(), seen_at=clock.now()
            )
        )
    with writing() as session:
        plan = execution.begin(session, SYSTEM, urgent.id, f"change-{urgent.id}")
        assert plan is not None and plan.after == [f"change-{running.id}"]
        assert still_running(session, plan.after) == plan.after
        session.get_one(WorkerBeat, "w").seen_at -= timedelta(minutes=5)
        session.flush()
        assert still_running(session, plan.after) == [], "a dead worker is not waited for"
        session.get_one(WorkerBeat, "w").seen_at = clock.now()
        session.get_one(JobRun, f"change-{running.id}").state = "failed"
        session.flush()
        assert still_running(session, plan.after) == []
        serving = champion(session, "toy", "production")
        assert serving is not None and serving.version == 3
