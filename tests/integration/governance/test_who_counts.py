"""Whose word counts: in which of their roles, for how long, and what waits for a review that is owed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import delete, select, update

from backend import clock
from backend.audit.tables import AuditPayload
from backend.database.session import reading, writing
from backend.errors import NotAllowed
from backend.governance import errors, execution
from backend.governance.asking import preview_change
from backend.governance.authority import who_can_decide
from backend.governance.deciding import start_thawed_changes
from backend.governance.delegations import delegate
from backend.governance.kinds import Asked
from backend.governance.reviews import review_change, why_not_review
from backend.governance.sending_again import resubmit_change
from backend.governance.tables import Change
from backend.governance.urgent import break_glass
from backend.identity.actor import Actor
from backend.identity.roles import Role
from backend.identity.tables import Person, PersonRole
from backend.queue import JobRun
from backend.registry.tables import Model
from tests.integration.governance.conftest import ask, carry_out, now, put_in_force, say
from tests.worlds import SYSTEM, World, add_model, person

PROMOTE = Asked("promote", "production", "toy", 1)
BOTH = "rules: [{name: both, rule: {roles: {compliance: 1, ml_lead: 1}}}]"
OWING = """
rules:
  - name: back
    for: {kinds: [rollback]}
    rule: {break_glass: {roles: [on_call]}}
  - name: forth
    rule: {}
"""


def smash(actor: Actor, asked: Asked) -> Change:
    with reading() as session:
        seen = preview_change(session, actor, asked).digest
    with writing() as session:
        return break_glass(session, actor, asked, reason="it burns", seen_digest=seen)


def begin(change: Change) -> Change:
    with writing() as session:
        execution.begin(session, SYSTEM, change.id, f"change-{change.id}")
    return now(change)


@pytest.fixture
def dual(world: World) -> Actor:
    with writing() as session:
        put_in_force(session, world, BOTH)
        return person(session, "dual", Role.COMPLIANCE, Role.ML_LEAD)


def test_a_person_with_two_roles_counts_where_one_is_still_needed(world: World, dual: Actor) -> None:
    change = ask(world.engineer, PROMOTE)
    assert say(world.compliance, change).state == "waiting"
    with reading() as session:
        could = who_can_decide(session, session.get_one(Change, change.id))
    assert {(one["name"], one["role"]) for one in could} == {
        ("Dual", "ml_lead"), ("Lead", "ml_lead"), ("Lead2", "ml_lead"),
    }  # fmt: skip
    decided = say(dual, change)
    assert (decided.state, [d.role for d in decided.counted]) == ("approved", ["compliance", "ml_lead"])
    again = ask_again(world, change)
    say(world.lead, again)
    assert [d.role for d in say(dual, again).counted] == ["ml_lead", "compliance"]


@pytest.mark.parametrize("then", ["compliance", "lead"])
def test_whoever_of_two_roles_decides_first_leaves_a_place_for_the_second(
    world: World, dual: Actor, then: str
) -> None:
    change = ask(world.engineer, PROMOTE)
    say(dual, change)
    second: Actor = getattr(world, then)
    with reading() as session:
        could = {one["name"] for one in who_can_decide(session, session.get_one(Change, change.id))}
    assert could == {"Compliance", "Lead", "Lead2"}, "whichever of the two roles is left open"
    decided = say(second, change)
    assert decided.state == "approved"
    assert sorted(one.role for one in decided.counted) == ["compliance", "ml_lead"]
    first = next(one for one in decided.counted if one.person_id == dual.person_id)
    if then == "compliance":  # the log says by which role the first one counts now
        with reading() as session:
            kept = [one for one in session.scalars(select(AuditPayload.payload)) if "recounted" in one]
        assert len(kept) == 1 and f'"recounted":{{"{first.id}":"ml_lead"}}' in kept[0]
    assert carry_out(now(decided)).state == "executed"


def test_a_role_that_was_taken_meanwhile_is_no_way_to_count(world: World, dual: Actor) -> None:
    change = ask(world.engineer, PROMOTE)
    role = say(dual, change).counted[0].role
    second = world.compliance if role == "compliance" else world.lead
    with writing() as session:
        session.execute(
            delete(PersonRole).where(PersonRole.person_id == dual.person_id, PersonRole.role != role)
        )
    assert say(second, change).state == "waiting"


def ask_again(world: World, first: Change) -> Change:
    carry_out(first)
    return ask(world.engineer, Asked("promote", "production", "toy", 2))


def test_a_lent_right_counts_where_the_own_role_is_full(world: World, dual: Actor) -> None:
    with writing() as session:
        delegate(
            session, world.compliance, to_person=world.other_lead.person_id, starts_at=clock.now(),
            ends_at=clock.now() + timedelta(days=1), reason="away",
        )  # fmt: skip
    change = ask(world.engineer, PROMOTE)
    say(world.lead, change)
    decided = say(world.other_lead, change)
    assert decided.state == "approved"
    assert decided.counted[-1].on_behalf_of == world.compliance.person_id


@pytest.mark.parametrize("lost", ["disabled", "role"])
def test_an_approval_by_somebody_who_no_longer_may_is_void(world: World, lost: str) -> None:
    change = ask(world.engineer, PROMOTE)
    say(world.lead, change)
    with writing() as session:
        if lost == "disabled":
            session.execute(
                update(Person).where(Person.id == world.lead.person_id).values(disabled_at=clock.now())
            )
        else:
            session.execute(delete(PersonRole).where(PersonRole.person_id == world.lead.person_id))
    found = begin(change)
    assert found.state == "void"
    assert (
        "has been disabled since" if lost == "disabled" else "no longer has the role ml lead"
    ) in found.outcome
    assert "Lead" not in found.outcome, "an erasure could not take the name out of the log again"


def test_only_people_review(world: World) -> None:
    change = smash(world.on_call, Asked("rollback", "production", "toy", 2))
    robot = replace(world.lead, kind="service", acting_for=None)
    with reading() as session:
        assert "a service account does not" in (
            why_not_review(robot, session.get_one(Change, change.id)) or ""
        )
    with writing() as session, pytest.raises(NotAllowed, match="a person reviews"):
        review_change(session, robot, change.id, verdict="justified", comment="fine")


@pytest.mark.parametrize(
    "asked",
    [
        Asked("policy", "*", subject={"document": OWING}),
        Asked("tier", "*", "toy", subject={"tier": "low"}),
        Asked("observe", "*", "toy"),
    ],
    ids=["policy", "tier", "observe"],
)
def test_people_alone_change_what_the_rules_are(world: World, asked: Asked) -> None:
    with writing() as session:
        session.execute(update(Model).values(enforcement="enforce"))
    robot = replace(world.lead, kind="service", acting_for=world.engineer.person_id)
    with pytest.raises(
        NotAllowed, match=f"people ask for a change of kind {asked.kind}, no service account does"
    ):
        ask(robot, asked)
    change = ask(world.engineer, asked)
    with pytest.raises(NotAllowed, match=f"people decide on a change of kind {asked.kind}"):
        say(replace(world.other_lead, kind="service", acting_for=None), change)
    say(world.lead, change, "ask", comment="say more")
    with (
        writing() as session,
        pytest.raises(NotAllowed, match=f"people send again a change of kind {asked.kind}"),
    ):
        resubmit_change(session, robot, change.id, reason="more", seen_digest=change.request_digest)
    with writing() as session:
        resubmit_change(session, world.engineer, change.id, reason="more", seen_digest=change.request_digest)
    say(world.lead, change)
    assert say(world.compliance, change).state == "approved"


def test_an_owed_review_holds_back_cut_offs_too_and_not_the_way_back(world: World) -> None:
    carry_out(smash(world.on_call, Asked("rollback", "production", "toy", 2)))
    cutoff = ask(world.engineer, Asked("cutoff", "production", "toy", to_cutoff=0.4))
    with pytest.raises(errors.ReviewOutstanding):
        say(world.lead, cutoff)
    say(world.lead, cutoff, "reject", comment="first the review")
    back = ask(world.on_call, Asked("rollback", "production", "toy", 1))
    assert say(world.lead, back).state == "approved"


def test_what_was_approved_before_the_glass_was_broken_waits_for_the_review(world: World) -> None:
    with writing() as session:
        put_in_force(session, world, OWING)
    add_model(world, "other", versions=2)
    with writing() as session:
        session.execute(update(Model).values(owner_id=world.lead.person_id))
    change = ask(world.engineer, Asked("promote", "production", "other", 1))
    say(world.lead, change)
    with writing() as session:  # as a freeze leaves it
        session.execute(update(Change).where(Change.id == change.id).values(run_id=None))
        session.execute(delete(JobRun).where(JobRun.id == f"change-{change.id}"))
    glass = smash(world.on_call, Asked("rollback", "production", "toy", 2))
    with writing() as session:
        assert start_thawed_changes(session) == 0
    assert f"CHG-{glass.id} broke the glass" in now(change).step
    with writing() as session:
        review_change(session, world.other_lead, glass.id, verdict="justified", comment="it burnt")
        assert start_thawed_changes(session) == 1


def test_a_run_does_not_begin_while_a_review_is_owed(world: World) -> None:
    with writing() as session:
        put_in_force(session, world, OWING)
    add_model(world, "other", versions=2)
    with writing() as session:
        session.execute(update(Model).values(owner_id=world.lead.person_id))
    change = ask(world.engineer, Asked("promote", "production", "other", 1))
    say(world.lead, change)
    smash(world.on_call, Asked("rollback", "production", "toy", 2))
    assert begin(change).state == "void"
    assert "nobody else has reviewed it" in now(change).outcome
