"""A promotion that is tried on rows of some segments alone: who may name them, and what the record then says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from backend.audit.deployment_checks import unexplained_deployments
from backend.database.session import reading, writing
from backend.deployment.service import shares_at
from backend.deployment.tables import Deployment
from backend.deployment.targets import TargetRefused, wanted_of
from backend.deployment.timeline import read_moment
from backend.errors import BadInput
from backend.governance import execution, rollouts
from backend.governance.asking import preview_change
from backend.governance.kinds import Asked
from backend.governance.precedents import trials_of
from backend.governance.rollout_commands import rollout_view, tell_rollout
from backend.governance.tables import Change
from backend.registry.tables import Model
from backend.settings import settings
from tests.integration.governance.conftest import ask, now, put_in_force, say
from tests.integration.governance.test_rollouts import (
    baked,
    counted,
    look,
    open_stage,
    pass_stage,
    serving_id,
    step,
)
from tests.worlds import SYSTEM, World, make_world

NAMED = "rules: [{name: all, rule: {rollout: {strategy: canary, steps: [0.2, 1], bake_s: 600, %s}}}]"
AA = {"carrier": ["AA"]}
ASKED = Asked("promote", "production", "toy", 1, subject={"segments": AA})


@pytest.fixture
def world(migrated_home: Path, tmp_path: Path) -> World:
    found = make_world(tmp_path / "files", versions=3)
    with writing() as session:
        put_in_force(session, found, NAMED % "segments_on_request: true")
        toy = session.get_one(Model, "toy")
        toy.spec = {**toy.spec, "segments": ["carrier", "distance"]}
    return found


def begin(world: World, change: Change, segments: dict[str, list[str]] = AA) -> int:
    say(world.lead, change)
    with writing() as session:
        plan = execution.begin(session, SYSTEM, change.id, f"change-{change.id}")
        assert plan is not None
        assert [(one["role"], one["share"], dict(one["segments"])) for one in plan.stages] == [
            ("canary", 0.2, segments), ("canary", 1.0, segments), ("champion", 1.0, {}),
        ]  # fmt: skip
        deployment_id = execution.open_stage(session, SYSTEM, change.id, 1)
        rollouts.begin_watch(session, SYSTEM, change.id, 1)
    return deployment_id


def test_the_record_and_everybody_who_reads_it_name_the_segments(world: World) -> None:
    change = ask(world.engineer, ASKED)
    assert change.summary.endswith("tried on rows of carrier=AA first")
    opened = begin(world, change)
    with reading() as session:
        assert session.get_one(Deployment, opened).segments == AA
        view = rollout_view(session, world.lead, change.id)
        assert [one["segments"] for one in view["stages"]] == [AA, AA, {}]
        assert "at 20 % of carrier=AA" in now(change).step
        champion, canary = wanted_of(session, change.id, "toy", "production").parts
        assert (champion.segments, canary.segments) == ({}, AA)
        at = session.get_one(Deployment, opened).started_at
        assert [one.share for one in shares_at(session, world.lead, "toy", "production", at)] == [1.0, 0.2]
        why = read_moment(session, world.lead, "toy", "production", at)["why"]
        assert "answered the rest of the requests" in why[0]
        assert "20% of the requests of carrier=AA as a canary" in why[1]
        assert trials_of(session, "toy", "production", 1)[0]["segments"] == AA
        assert not [one for one in unexplained_deployments(session) if one.deployment.id == opened]
    with writing() as session:
        session.get_one(Deployment, opened).segments = {}
    with reading() as session:
        (found,) = [one for one in unexplained_deployments(session) if one.deployment.id == opened]
        assert found.subject.endswith("altered")


def test_segments_that_were_changed_after_the_approval_void_it(world: World) -> None:
    change = ask(world.engineer, ASKED)
    say(world.lead, change)
    with writing() as session:
        session.get_one(Change, change.id).subject = {"segments": {"carrier": ["AA", "UA"]}}
    with writing() as session:
        assert execution.begin(session, SYSTEM, change.id, f"change-{change.id}") is None
    assert now(change).state == "void"


@pytest.mark.parametrize(
    "subject, reason",
    [
        ({"segments": {"region": ["EU"]}}, "cannot be kept to region: it is no segment column"),
        ({"segments": {"distance": ["7"]}}, "cannot be kept to distance: it is a number"),
        ({"segments": {"carrier": []}}, "at least one value"),
        ({"segment": AA}, "names segments, not 'segment'"),
    ],
)
def test_segments_that_the_model_does_not_declare_are_refused(
    world: World, subject: dict[str, Any], reason: str
) -> None:
    with reading() as session, pytest.raises(BadInput, match=reason):
        preview_change(session, world.engineer, Asked("promote", "production", "toy", 1, subject=subject))


def test_a_target_that_cannot_tell_rows_apart_refuses_the_plan(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARRANT_TARGET", "kubernetes")
    settings.cache_clear()
    with reading() as session, pytest.raises(TargetRefused, match="parts requests by pods"):
        preview_change(session, world.engineer, ASKED)


def test_who_asks_names_segments_only_where_the_rule_says_so(world: World) -> None:
    with writing() as session:
        put_in_force(session, world, NAMED % "segments: {carrier: [UA]}")
    with reading() as session, pytest.raises(BadInput, match="has nobody name segments"):
        preview_change(session, world.engineer, ASKED)
    change = ask(world.engineer, Asked("promote", "production", "toy", 1))
    opened = begin(world, change, {"carrier": ["UA"]})
    with reading() as session:
        assert session.get_one(Deployment, opened).segments == {"carrier": ["UA"]}


def test_without_a_champion_there_is_no_rest(world: World) -> None:
    staging = "rules: [{name: there, for: {environments: [staging]}, rule: {rollout: {strategy: canary, steps: [1], "
    with writing() as session:
        put_in_force(session, world, f"{staging}segments_on_request: true}}}}}}, {{name: all}}]")
    with reading() as session, pytest.raises(BadInput, match="there is no champion for the rows"):
        preview_change(
            session, world.engineer, Asked("promote", "staging", "toy", 1, subject={"segments": AA})
        )


def test_a_champion_that_answered_too_little_beside_it_is_no_success_unless_nothing_is_left_to_it(
    world: World,
) -> None:
    change = ask(world.engineer, ASKED)
    begin(world, change)
    counted(serving_id(), pass_stage(change, 1), rows=50)
    assert look(change, 1) is None
    assert step(change, 1).verdict == "inconclusive"
    with writing() as session:
        tell_rollout(session, world.lead, change.id, command="skip", reason="there are few of them")
    assert (look(change, 1) or {})["verdict"] == "skipped"
    deployment_id = open_stage(change, 2)
    counted(deployment_id, deployment_id)
    baked(change, 2)
    said = look(change, 2)
    assert said is not None
    assert said["verdict"] == "success"
    assert "not judged: latency" in said["why"]
