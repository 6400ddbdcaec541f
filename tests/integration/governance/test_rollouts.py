"""A rollout stage by stage, as its run moves it: the record, the verdicts, and what people tell it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from backend import clock
from backend.audit.tables import AuditEntry
from backend.database.session import reading, writing
from backend.deployment.service import champion, shares_at
from backend.deployment.tables import Deployment, ServingTally
from backend.errors import BadInput, NotAllowed
from backend.governance import execution, rollouts
from backend.governance.ci_gate import gate_answer
from backend.governance.delegations import delegate
from backend.governance.errors import ApprovalVoid, DecidedAlready, RolloutNotRunning
from backend.governance.kinds import Asked
from backend.governance.rollout_commands import rollout_view, tell_rollout
from backend.governance.standing import what_differs_since_switch
from backend.governance.tables import Change, RolloutCommand, RolloutStep
from backend.identity.actor import Actor
from backend.identity.roles import Role
from backend.identity.tables import Person, PersonRole
from tests.integration.governance.conftest import ask, carry_out, now, put_in_force, say
from tests.worlds import SYSTEM, World, add_model

CANARY = """
rules:
  - name: forth
    rule:
      rollout: {strategy: canary, steps: [0.2, 0.5, 1], bake_s: 600, analysis: {minimum_requests: 100}}
"""


@pytest.fixture
def begun(world: World) -> Change:
    """A promotion of version 1 over version 3, taken into execution."""
    with writing() as session:
        put_in_force(session, world, CANARY)
    change = ask(world.engineer, Asked("promote", "production", "toy", 1))
    assert say(world.lead, change, "approve").state == "approved"
    with writing() as session:
        plan = execution.begin(session, SYSTEM, change.id, f"change-{change.id}")
        assert plan is not None
    assert [(one["role"], one["share"]) for one in plan.stages] == [
        ("canary", 0.2), ("canary", 0.5), ("champion", 1.0),
    ]  # fmt: skip
    return change


def open_stage(change: Change, number: int) -> int:
    with writing() as session:
        deployment_id = execution.open_stage(session, SYSTEM, change.id, number)
        rollouts.begin_watch(session, SYSTEM, change.id, number)
        return deployment_id


def counted(deployment_id: int, tried: int, *, rows: int = 1000, failed: int = 0, score: float = 0.4) -> None:
    with writing() as session:
        session.merge(
            ServingTally(
                deployment_id=deployment_id, tried=tried, gateway_id="g", process="p", rows=rows, failed=failed,
                scored=rows - failed, score_sum=score * (rows - failed), buckets={"20": rows - failed},
                updated_at=clock.now(),
            )
        )  # fmt: skip


def baked(change: Change, number: int) -> None:
    with writing() as session:
        session.execute(
            update(RolloutStep)
            .where(RolloutStep.change_id == change.id, RolloutStep.number == number)
            .values(bake_until=clock.now() - timedelta(seconds=1))
        )


def look(change: Change, number: int) -> dict[str, str] | None:
    """What the run does every half second."""
    with reading() as session:
        seen = rollouts.analyse(session, change.id, number)
    with writing() as session:
        return rollouts.settle(session, SYSTEM, change.id, number, seen)


def tell(
    world: World, change: Change, command: str, reason: str = "because", *, by: Actor | None = None
) -> RolloutCommand:
    """As on-call, or as a lead, who skips."""
    actor = by or (world.lead if command == "skip" else world.on_call)
    with writing() as session:
        return tell_rollout(session, actor, change.id, command=command, reason=reason)


def step(change: Change, number: int) -> RolloutStep:
    with reading() as session:
        return session.get_one(RolloutStep, (change.id, number))


def serving_id() -> int:
    with reading() as session:
        found = champion(session, "toy", "production")
        assert found is not None
        return found.id


def pass_stage(change: Change, number: int) -> int:
    deployment_id, before = open_stage(change, number), serving_id()
    counted(deployment_id, deployment_id)
    if before != deployment_id:
        counted(before, deployment_id)
    baked(change, number)
    return deployment_id


def test_the_record_says_what_served_which_share_at_every_moment(world: World, begun: Change) -> None:
    before = serving_id()
    moments = []
    for number in (1, 2):
        pass_stage(begun, number)
        moments.append(clock.now())
        assert look(begun, number) == {"verdict": "success", "why": "1,000 requests within all bounds"}
    last = open_stage(begun, 3)
    moments.append(clock.now())
    with reading() as session:
        kept = session.scalars(select(Deployment).where(Deployment.version == 3, Deployment.share == 0)).one()
    counted(last, kept.id)
    baked(begun, 3)
    assert (look(begun, 3) or {})["verdict"] == "success"
    with writing() as session:
        execution.finish(session, SYSTEM, begun.id, last, outcome="it serves")
    moments.append(clock.now())

    def shares(at: Any) -> list[tuple[int, str, float]]:
        with reading() as session:
            found = shares_at(session, world.viewer, "toy", "production", at)
        return [(one.deployment.version, one.deployment.role, one.share) for one in found]

    assert [shares(at) for at in moments] == [
        [(3, "champion", 0.8), (1, "canary", 0.2)],
        [(3, "champion", 0.5), (1, "canary", 0.5)],
        [(1, "champion", 1.0), (3, "canary", 0.0)],
        [(1, "champion", 1.0)],
    ]
    with reading() as session:
        assert session.get_one(Deployment, before).ended_at is not None
        assert session.get_one(Change, begun.id).state == "executed"
        noted = session.scalars(
            select(AuditEntry.seq).where(AuditEntry.action == "governance:rollout:step")
        ).all()
    assert len(noted) == 3


def test_opening_a_stage_twice_is_once(begun: Change) -> None:
    assert open_stage(begun, 1) == open_stage(begun, 1)
    until = step(begun, 1).bake_until
    open_stage(begun, 1)
    assert step(begun, 1).bake_until == until


def test_a_stage_that_goes_wrong_at_once_does_not_wait_for_its_end(begun: Change) -> None:
    before = serving_id()
    canary = open_stage(begun, 1)
    counted(canary, canary, rows=200, failed=60)
    over = look(begun, 1)
    assert over is not None and over["verdict"] == "failure" and "60 of 200" in over["why"]
    for _ in range(2):  # a worker that was killed does it again
        with writing() as session:
            assert execution.restore(session, SYSTEM, begun.id, why=over["why"]) is None
    with reading() as session:
        change = session.get_one(Change, begun.id)
        assert execution.champion_after(session, begun.id) == before
        assert session.get_one(Deployment, canary).state == "failed"
    assert (change.state, "version 3 goes on serving all requests" in change.outcome) == ("failed", True)
    assert serving_id() == before


def test_a_failure_at_full_share_brings_back_what_served(begun: Change) -> None:
    for number in (1, 2):
        pass_stage(begun, number)
        look(begun, number)
    last = open_stage(begun, 3)
    with reading() as session:
        kept = session.scalars(select(Deployment).where(Deployment.version == 3, Deployment.share == 0)).one()
    counted(last, kept.id, rows=500, failed=250)
    over = look(begun, 3)
    assert over is not None and over["verdict"] == "failure"
    with writing() as session:
        restored = execution.restore(session, SYSTEM, begun.id, why=over["why"])
    with reading() as session:
        states = {
            one.id: (one.version, one.role, one.state)
            for one in session.scalars(select(Deployment).where(Deployment.change_id == begun.id))
        }
    assert states[last] == (1, "champion", "failed")
    assert states[kept.id] == (3, "canary", "ended")
    assert restored is not None and states[restored] == (3, "champion", "starting")
    assert restored == serving_id()


def test_too_little_traffic_waits_for_a_person_and_resuming_bakes_again(world: World, begun: Change) -> None:
    canary = open_stage(begun, 1)
    counted(canary, canary, rows=99)
    baked(begun, 1)
    assert look(begun, 1) is None
    with reading() as session:
        assert session.get_one(Change, begun.id).step.startswith("inconclusive at 20 %: it saw 99 requests")
        view = rollout_view(session, world.on_call, begun.id)
    assert (view["paused"], view["can_tell"]) == (True, ["resume", "abort"])
    assert look(begun, 1) is None
    tell(world, begun, "resume")
    assert look(begun, 1) is None
    until = step(begun, 1).bake_until
    assert until is not None and until > clock.now() + timedelta(seconds=500)
    counted(canary, canary, rows=150)
    counted(serving_id(), canary)
    baked(begun, 1)
    assert (look(begun, 1) or {})["verdict"] == "success"


def test_a_pause_stops_the_clock_and_not_the_watch(world: World, begun: Change) -> None:
    canary = pass_stage(begun, 1)
    tell(world, begun, "pause")
    assert look(begun, 1) is None
    assert look(begun, 1) is None
    with pytest.raises(RolloutNotRunning, match="waits for a person already"):
        tell(world, begun, "pause")
    counted(canary, canary, rows=1000, failed=500)
    assert (look(begun, 1) or {})["verdict"] == "failure"


def test_skip_goes_on_and_abort_ends_it(world: World, begun: Change) -> None:
    open_stage(begun, 1)
    tell(world, begun, "skip", "we know it well")
    assert look(begun, 1) == {"verdict": "skipped", "why": "skipped: we know it well"}
    assert look(begun, 1) == {"verdict": "skipped", "why": "skipped: we know it well"}
    open_stage(begun, 2)
    tell(world, begun, "abort", "the wrong day")
    assert look(begun, 2) == {"verdict": "failure", "why": "aborted: the wrong day"}


def test_who_may_tell_what_and_when(world: World, begun: Change) -> None:
    with pytest.raises(RolloutNotRunning, match="no stage that is watched"):
        tell(world, begun, "pause")
    open_stage(begun, 1)
    for actor in (world.viewer, world.compliance):
        with pytest.raises(NotAllowed):
            tell(world, begun, "abort", by=actor)
    asker = replace(world.lead, person_id=world.engineer.person_id)
    for actor in (world.on_call, world.engineer, asker, replace(world.lead, acting_for=asker.person_id)):
        with pytest.raises(NotAllowed):
            tell(world, begun, "skip", by=actor)
    with pytest.raises(BadInput, match="say why you abort it"):
        tell(world, begun, "abort", "  ")
    with pytest.raises(BadInput, match="pause, resume, skip, abort"):
        tell(world, begun, "stop")
    with pytest.raises(RolloutNotRunning, match="is not paused"):
        tell(world, begun, "resume")
    assert tell(world, begun, "pause").id == tell(world, begun, "pause").id
    with reading() as session:
        told = session.scalars(
            select(AuditEntry.object_id).where(AuditEntry.action == "governance:rollout:tell")
        ).all()
    assert told == [str(begun.id)]


def test_a_change_that_is_over_is_told_nothing(world: World, begun: Change) -> None:
    open_stage(begun, 1)
    with writing() as session:
        execution.restore(session, SYSTEM, begun.id, why="it broke")
    with pytest.raises(RolloutNotRunning, match="is failed"):
        tell(world, begun, "resume")


def test_a_first_version_comes_all_at_once(world: World) -> None:
    with writing() as session:
        put_in_force(session, world, CANARY)
    add_model(world, "new")
    with writing() as session:
        session.execute(
            update(Deployment).where(Deployment.model == "new").values(ended_at=clock.now(), state="ended")
        )
    change = ask(world.engineer, Asked("promote", "production", "new", 1))
    assert [one.role for one in rollouts.stages(change)] == ["champion"]


def account(name: str, owner: Actor, *roles: Role) -> Actor:
    with writing() as session:
        row = Person(
            username=name, display_name=name, kind="service", owner_id=owner.person_id, created_at=clock.now(),
            roles=[PersonRole(role=role.value) for role in roles],
        )  # fmt: skip
        session.add(row)
        session.flush()
        return Actor(row.id, "service", frozenset(roles), acting_for=owner.person_id, display_name=name)


def test_who_is_excluded_from_deciding_neither_skips_nor_resumes(world: World) -> None:
    with writing() as session:
        put_in_force(session, world, CANARY)
    asked_by = account("pipeline", world.lead, Role.ML_ENGINEER)
    change = ask(asked_by, Asked("promote", "production", "toy", 1))
    say(world.other_lead, change)
    with writing() as session:
        execution.begin(session, SYSTEM, change.id, f"change-{change.id}")
    open_stage(change, 1)
    trainer = replace(world.lead, person_id=world.engineer.person_id)
    robot = account("robot", world.other_lead, Role.ML_LEAD)
    for by, why in (
        (world.lead, "asked for"),
        (trainer, "trained version 1"),
        (robot, "a person has to skip"),
    ):
        with pytest.raises(NotAllowed, match=why):
            tell(world, change, "skip", by=by)
    tell(world, change, "pause", by=world.other_lead)
    for by, why in (
        (world.lead, "asked for"),
        (trainer, "trained version 1"),
        (robot, "a person has to resume"),
    ):
        with pytest.raises(NotAllowed, match=why):
            tell(world, change, "resume", by=by)
        with reading() as session:
            assert not {"skip", "resume"} & set(rollout_view(session, by, change.id)["can_tell"])
    tell(world, change, "resume", by=world.on_call)
    assert look(change, 1) is None
    tell(world, change, "pause", by=trainer)
    assert tell(world, change, "resume", by=trainer).command == "resume", "their own pause"
    assert tell(world, change, "skip", by=world.other_lead).command == "skip"


def test_a_stage_is_skipped_by_the_roles_that_the_rule_names(world: World) -> None:
    with writing() as session:
        put_in_force(session, world, CANARY.replace("rule:\n", "rule:\n      roles: {compliance: 1}\n"))
    change = ask(world.engineer, Asked("promote", "production", "toy", 1))
    say(world.compliance, change)
    with writing() as session:
        execution.begin(session, SYSTEM, change.id, f"change-{change.id}")
    open_stage(change, 1)
    with pytest.raises(NotAllowed, match="is decided by: compliance"):
        tell(world, change, "skip", by=world.lead)
    assert tell(world, change, "skip", by=world.compliance).command == "skip"


def skipping(world: World, rollout: str = "") -> Change:
    """A canary under a rule of two leads, at its first stage."""
    rule = "rule:\n      roles: {ml_lead: 2}\n"
    with writing() as session:
        put_in_force(
            session,
            world,
            CANARY.replace("rule:\n", rule).replace("strategy: canary", f"strategy: canary{rollout}"),
        )
    change = ask(world.engineer, Asked("promote", "production", "toy", 1))
    say(world.lead, change)
    say(world.other_lead, change)
    with writing() as session:
        execution.begin(session, SYSTEM, change.id, f"change-{change.id}")
    open_stage(change, 1)
    return change


def test_what_two_people_signed_one_of_them_does_not_skip(world: World) -> None:
    change = skipping(world)
    tell(world, change, "skip", "I know it")
    tell(world, change, "skip", "I know it")  # twice is once
    with writing() as session:
        delegate(
            session, world.lead, to_person=world.viewer.person_id, starts_at=clock.now(),
            ends_at=clock.now() + timedelta(days=1), reason="x",
        )  # fmt: skip
    with pytest.raises(DecidedAlready, match="said for you already"):
        tell(world, change, "skip", by=world.viewer)
    assert look(change, 1) is None
    with reading() as session:
        assert not rollouts.waiting_commands(session, change.id)
        seen = rollout_view(session, world.other_lead, change.id)
        assert (seen["skip"], "skip" in seen["can_tell"]) == (
            {"said_by": ["Lead"], "enough": True, "mine": False}, True,
        )  # fmt: skip
        assert "skip" not in rollout_view(session, world.lead, change.id)["can_tell"]
    tell(world, change, "skip", "so do I", by=world.other_lead)
    assert look(change, 1) == {"verdict": "skipped", "why": "skipped: I know it; so do I"}


def test_what_was_said_of_one_stage_does_not_skip_the_next(world: World) -> None:
    change = skipping(world)
    tell(world, change, "skip", "I know it")
    pass_stage(change, 1)
    assert (look(change, 1) or {})["verdict"] == "success"
    open_stage(change, 2)
    tell(world, change, "skip", by=world.other_lead)
    assert look(change, 2) is None


def test_a_rule_names_who_skips_alone(world: World) -> None:
    change = skipping(world, ", skip: [ml_lead]")
    tell(world, change, "skip", "I know it")
    assert (look(change, 1) or {})["verdict"] == "skipped"


def move_tier(world: World, tier: str) -> None:
    change = ask(world.engineer, Asked("tier", "production", "toy", subject={"tier": tier}))
    say(world.lead, change)
    assert carry_out(change).state == "executed"


def fail_at(change: Change, why: str) -> Change:
    """What the run does with a step that failed."""
    with writing() as session:
        execution.restore(session, SYSTEM, change.id, why=why)
    return now(change)


PROHIBITED = CANARY.replace(
    "rules:\n",
    "rules:\n  - name: prohibited\n    for: {tiers: [prohibited], kinds: [promote]}\n"
    "    rule: {allowed: false, because: never}\n",
)


@pytest.mark.parametrize("part", ["card", "artefact", "tier", "policy"])
@pytest.mark.parametrize("stage", [2, 3])
def test_what_was_signed_is_asked_again_before_every_later_stage(
    world: World, begun: Change, part: str, stage: int
) -> None:
    for number in range(1, stage):
        pass_stage(begun, number)
        assert (look(begun, number) or {})["verdict"] == "success"
    if part == "card":
        world.card(1).write_text("# Another card\n")
    elif part == "artefact":
        (world.artefact(1) / "model.bin").write_bytes(b"another model")
    elif part == "tier":
        move_tier(world, "low")
    else:
        with writing() as session:
            put_in_force(session, world, CANARY.replace("rule:\n", "rule:\n      roles: {ml_lead: 2}\n"))
    with writing() as session, pytest.raises(ApprovalVoid, match=f"before stage {stage}") as caught:
        execution.open_stage(session, SYSTEM, begun.id, stage)
    failed = fail_at(begun, caught.value.message)
    assert failed.state == "failed"
    words = {
        "card": "the model card",
        "artefact": "the model's files",
        "tier": "the tier",
        "policy": "the policy",
    }
    assert words[part] in failed.outcome
    assert "version 3 goes on serving all requests" in failed.outcome
    with reading() as session:
        assert [
            one.deployment.version for one in shares_at(session, SYSTEM, "toy", "production", clock.now())
        ] == [3]


def test_the_gate_for_pipelines_asks_of_a_rollout_what_its_next_stage_asks(
    world: World, begun: Change
) -> None:
    def asked() -> tuple[str, str]:
        with reading() as session:
            answer = gate_answer(session, world.viewer, "toy", 1, "production")
        return answer["answer"], answer["reasons"][0]

    signed = world.card(1).read_text()
    for number in (1, 2):
        pass_stage(begun, number)
        look(begun, number)
        assert asked()[0] == "allowed"
        world.card(1).write_text("# Another card\n")
        assert asked()[0] == "refused"
        assert "no longer covers what would run: the model card changed" in asked()[1]
        world.card(1).write_text(signed)
    open_stage(begun, 3)
    assert asked()[0] == "allowed"
    world.card(1).write_text("# Another card\n")
    assert asked()[0] == "refused"


def test_a_stage_that_was_opened_is_not_asked_about_again(world: World, begun: Change) -> None:
    opened = pass_stage(begun, 1)
    world.card(1).write_text("# Another card\n")
    with writing() as session:
        assert execution.open_stage(session, SYSTEM, begun.id, 1) == opened, (
            "a worker that was killed repeats it"
        )


def test_a_model_that_became_prohibited_stops_its_rollout(world: World) -> None:
    with writing() as session:
        put_in_force(session, world, PROHIBITED)
    change = ask(world.engineer, Asked("promote", "production", "toy", 1))
    say(world.lead, change)
    with writing() as session:
        execution.begin(session, SYSTEM, change.id, f"change-{change.id}")
    open_stage(change, 1)
    move_tier(world, "prohibited")
    with reading() as session:
        assert gate_answer(session, world.viewer, "toy", 1, "production")["answer"] == "refused"
        seen = rollouts.analyse(session, change.id, 1)
    with writing() as session:
        over = execution.settle_stage(session, SYSTEM, change.id, 1, seen)
    assert over == {"verdict": "failure", "why": "never (rule 'prohibited')"}
    assert "never (rule 'prohibited')" in fail_at(change, over["why"]).outcome
    with reading() as session:
        answer = gate_answer(session, world.viewer, "toy", 3, "production")
        assert (answer["answer"], answer["reasons"][0]) == ("refused", "never (rule 'prohibited'); retire it")


def test_what_changed_while_the_new_champion_was_watched_brings_back_the_one_before(
    world: World, begun: Change
) -> None:
    for number in (1, 2):
        pass_stage(begun, number)
        look(begun, number)
    opened = open_stage(begun, 3)
    with reading() as session:
        assert what_differs_since_switch(session, session.get_one(Change, begun.id)) == []
    world.card(1).write_text("# Another card\n")
    with writing() as session, pytest.raises(ApprovalVoid, match="the model card changed") as caught:
        execution.finish(session, SYSTEM, begun.id, opened, outcome="served")
    assert "version 3 was restored" in fail_at(begun, caught.value.message).outcome


def test_a_freeze_does_not_stop_a_rollout_under_way(world: World, begun: Change) -> None:
    pass_stage(begun, 1)
    look(begun, 1)
    at = clock.now()
    dates = f"[{at - timedelta(days=2):%Y-%m-%dT%H:%M:%S}, {at + timedelta(days=2):%Y-%m-%dT%H:%M:%S}]"
    with writing() as session:
        put_in_force(session, world, f"freezes: [{{name: quiet, dates: {dates}}}]\n" + CANARY)
    with writing() as session:
        assert execution.open_stage(session, SYSTEM, begun.id, 2)
