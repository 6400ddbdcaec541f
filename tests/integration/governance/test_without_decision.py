"""What does not wait for a decision: the return agreed with a promotion, and breaking the glass."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from backend import clock
from backend.audit.change_checks import unrecorded_changes
from backend.database.session import reading, writing
from backend.deployment.service import champion
from backend.errors import NotAllowed
from backend.governance import errors, execution
from backend.governance.asking import preview_change
from backend.governance.kinds import Asked
from backend.governance.policies import BUILT_IN
from backend.governance.reviews import review_change
from backend.governance.tables import Change, WayBack
from backend.governance.urgent import (
    break_glass,
    open_way_back,
    take_way_back,
    way_back_digest,
    way_back_view,
)
from backend.identity.actor import Actor
from backend.registry.tables import Model
from tests.integration.governance.conftest import ask, carry_out, now, put_in_force, say
from tests.worlds import SYSTEM, World, add_model, set_tier

PROMOTE = Asked("promote", "production", "toy", 1)
ROLLBACK = Asked("rollback", "production", "toy", 2)


def promoted(world: World) -> WayBack:
    """Version 1 in service instead of version 3, with the return to 3 agreed."""
    change = ask(world.engineer, PROMOTE)
    say(world.lead, change)
    carry_out(change)
    with reading() as session:
        way = open_way_back(session, world.on_call, "toy", "production")
    assert way is not None
    return way


def go_back(actor: Actor, way: WayBack) -> Change:
    with writing() as session:
        return take_way_back(session, actor, way.id, reason="it degraded", seen_digest=way_back_digest(way))


def test_one_person_takes_the_agreed_return_and_the_old_cut_off_comes_back(world: World) -> None:
    way = promoted(world)
    assert (way.to_version, way.to_cutoff) == (3, 0.5)
    change = go_back(world.on_call, way)
    assert change.state == "approved"
    assert now(change).decisions == []
    assert carry_out(change).state == "executed"
    with reading() as session:
        serving = champion(session, "toy", "production")
        assert serving is not None
        assert (serving.version, serving.cutoff) == (3, 0.5)
        assert open_way_back(session, world.on_call, "toy", "production") is None, "a return is taken once"


@pytest.mark.parametrize("moved", [False, True])
def test_a_return_that_failed_leaves_the_way_back_open(world: World, moved: bool) -> None:
    """Such as where a gateway did not follow, or the store was away: on-call takes it again, without an approval."""
    way = promoted(world)
    tried = go_back(world.on_call, way)
    with pytest.raises(errors.WayBackClosed, match=f"it was taken with CHG-{tried.id}"):
        go_back(world.on_call, way)
    with writing() as session:
        assert execution.begin(session, SYSTEM, tried.id, f"change-{tried.id}") is not None
        if moved:
            execution.write_deployment(session, SYSTEM, tried.id)
    with writing() as session:
        execution.restore(session, SYSTEM, tried.id, why="no gateway followed")
    assert now(tried).state == "failed"
    with reading() as session:
        again = open_way_back(session, world.on_call, "toy", "production")
        assert again is not None and again.id == way.id
    back = go_back(world.on_call, again)
    assert carry_out(back).state == "executed"
    with reading() as session:
        serving = champion(session, "toy", "production")
        assert serving is not None and serving.version == 3
        assert open_way_back(session, world.on_call, "toy", "production") is None
        assert session.get_one(WayBack, way.id).used_by == back.id


def test_an_agreed_return_is_refused_after_its_time(world: World) -> None:
    way = promoted(world)
    with writing() as session:
        session.execute(update(WayBack).values(expires_at=clock.now() - timedelta(seconds=1)))
    with pytest.raises(errors.WayBackClosed, match="it was agreed until"):
        go_back(world.on_call, way)


def test_an_agreed_return_is_refused_when_the_old_version_is_not_what_it_was(world: World) -> None:
    way = promoted(world)
    world.card(3).write_text("# Another card\n")
    with pytest.raises(errors.WayBackClosed, match="its card changed"):
        go_back(world.on_call, way)


@pytest.mark.parametrize(
    ("forged", "differs"),
    [
        ({"to_version": 2}, "another version than"),
        ({"to_cutoff": 0.9}, "another cut-off than"),
        ({"bound": {}}, "another set of digests than"),
        ({"expires_at": datetime(2090, 1, 1, tzinfo=UTC)}, "its end is later"),
    ],
    ids=lambda one: str(*one) if isinstance(one, dict) else "",
)
def test_a_return_that_nobody_agreed_on_is_refused_and_is_a_finding(
    world: World, forged: dict[str, object], differs: str
) -> None:
    way = promoted(world)
    with reading() as session:
        assert not [one for one in unrecorded_changes(session) if one.change == way.change_id]
    with writing() as session:
        session.execute(update(WayBack).values(**forged))
    with reading() as session:
        way = session.get_one(WayBack, way.id)
        found = [one.title for one in unrecorded_changes(session) if one.change == way.change_id]
    assert [differs in one for one in found] == [True]
    with pytest.raises(errors.WayBackClosed, match=differs):
        go_back(world.on_call, way)


def test_a_return_is_refused_where_what_was_signed_was_rewritten_to_fit_it(world: World) -> None:
    way = promoted(world)
    with writing() as session:
        row = session.get_one(Change, way.change_id)
        agreed = {**row.evidence["way_back"], "to_version": 2}
        row.evidence = {**row.evidence, "way_back": agreed}
        session.execute(update(WayBack).values(to_version=2))
    with reading() as session:
        way = session.get_one(WayBack, way.id)
    with pytest.raises(errors.WayBackClosed, match="is not what was signed"):
        go_back(world.on_call, way)


def test_an_agreed_return_whose_target_changed_after_it_was_taken_is_void(world: World) -> None:
    change = go_back(world.on_call, promoted(world))
    (world.artefact(3) / "model.bin").write_bytes(b"another model")
    with writing() as session:
        assert execution.begin(session, SYSTEM, change.id, f"change-{change.id}") is None
    assert now(change).state == "void"
    assert "files changed" in now(change).outcome


def test_nothing_of_a_prohibited_model_comes_into_service(world: World) -> None:
    way = promoted(world)
    with writing() as session:
        put_in_force(session, world, BUILT_IN.read_text(encoding="utf-8"))
        set_tier(session, "toy", "prohibited")
    with pytest.raises(errors.NotAllowedByPolicy, match="may not serve"):
        go_back(world.on_call, way)
    with pytest.raises(errors.NotAllowedByPolicy, match="may not serve"):
        ask(world.engineer, ROLLBACK)
    with pytest.raises(NotAllowed, match="does not allow breaking the glass"):
        smash(world.on_call)
    with reading() as session:
        seen = way_back_view(session, world.on_call, "toy", "production")
    assert seen is not None
    assert "may not serve" in seen["differs"][0]
    ended = ask(world.engineer, Asked("retire", "production", "toy"))
    say(world.lead, ended)
    say(world.compliance, ended)
    assert carry_out(ended).state == "executed"


@pytest.mark.parametrize("days", [14, 0])
def test_a_promotion_is_void_when_the_version_of_its_agreed_return_changed(world: World, days: int) -> None:
    with writing() as session:
        put_in_force(session, world, f"rules: [{{name: all, rule: {{way_back_days: {days}}}}}]")
    change = ask(world.engineer, PROMOTE)
    say(world.lead, change)
    world.card(3).write_text("# What serves has another card\n")
    with writing() as session:
        plan = execution.begin(session, SYSTEM, change.id, f"change-{change.id}")
    if days:
        assert plan is None
        assert now(change).state == "void"
        assert "the model card of v3 changed: the way back to it was agreed" in (now(change).outcome or "")
    else:
        assert plan is not None, "no return was agreed, so its card is nobody's business"


def test_no_return_is_agreed_where_the_rule_has_none(world: World) -> None:
    with writing() as session:
        put_in_force(session, world, "rules: [{name: all, rule: {way_back_days: 0}}]")
    change = ask(world.engineer, PROMOTE)
    say(world.lead, change)
    carry_out(change)
    with reading() as session:
        assert open_way_back(session, world.on_call, "toy", "production") is None


def smash(actor: Actor, asked: Asked = ROLLBACK) -> Change:
    with reading() as session:
        seen = preview_change(session, actor, asked).digest
    with writing() as session:
        return break_glass(session, actor, asked, reason="it burns", seen_digest=seen)


def test_breaking_the_glass_acts_at_once_and_voids_what_waits(world: World) -> None:
    waiting = ask(world.engineer, PROMOTE)
    change = smash(world.on_call)
    assert change.state == "approved"
    assert now(waiting).state == "void"
    assert carry_out(change).state == "executed"


def test_only_roles_and_kinds_that_the_rule_names_break_the_glass(world: World) -> None:
    with pytest.raises(NotAllowed, match="is allowed to: on_call"):
        smash(world.lead)
    with pytest.raises(NotAllowed, match="does not allow breaking the glass for a promote"):
        smash(world.on_call, PROMOTE)
    with pytest.raises(NotAllowed, match="a person breaks the glass"):
        smash(replace(world.on_call, kind="service"))


def test_the_team_gets_no_release_approved_until_somebody_else_reviewed(world: World) -> None:
    with writing() as session:
        session.execute(update(Model).values(owner_id=world.lead.person_id))
    add_model(world, "other", versions=2)
    with writing() as session:
        session.execute(update(Model).where(Model.name == "other").values(owner_id=world.lead.person_id))
    broken = smash(world.on_call)
    carry_out(broken)
    release = ask(world.engineer, Asked("promote", "production", "other", 1))
    with pytest.raises(errors.ReviewOutstanding, match=f"CHG-{broken.id}"):
        say(world.lead, release)
    with writing() as session, pytest.raises(NotAllowed):
        review_change(session, world.on_call, broken.id, verdict="justified", comment="I say so")
    with writing() as session:
        review_change(
            session, world.other_lead, broken.id, verdict="not_justified", comment="it did not burn"
        )
    assert say(world.lead, release).state == "approved"
    with writing() as session, pytest.raises(errors.DecidedAlready):
        review_change(session, world.lead, broken.id, verdict="justified", comment="twice")
