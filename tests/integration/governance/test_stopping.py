"""What was approved can be stopped by those who decide, until a worker has begun it; and nobody rolls gates unseen."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from app.components.evidence import unresolved
from backend import clock
from backend.audit.actions import Action
from backend.audit.change_checks import _retractions_differ, unrecorded_changes
from backend.audit.change_entries import Told
from backend.audit.erasure import erase_payloads
from backend.audit.tables import AuditEntry
from backend.database.session import reading, writing
from backend.errors import NotAllowed
from backend.governance import errors, execution
from backend.governance.asking import cancel_change
from backend.governance.evaluations import tries_of
from backend.governance.kinds import Asked
from backend.governance.settling import recheck_gates, settle_gates
from backend.governance.tables import Change, Decision
from backend.governance.urgent import break_glass
from backend.governance.views import change_detail
from backend.identity.actor import Actor
from backend.queue import JobRun
from tests.integration.governance.conftest import ask, carry_out, now, put_in_force, say
from tests.worlds import SYSTEM, World

TWO = "rules: [{name: all, rule: {roles: {ml_lead: 2}}}]"
EITHER = """
rules:
  - {name: all, rule: {roles: {ml_lead: 1, compliance: 1}, break_glass: {roles: [on_call]}}}
"""
FROZEN = """
freezes: [{name: total, weekly: ["mon 00:00", "sun 23:59"], except_kinds: [policy]},
          {name: rest, weekly: ["sun 23:59", "mon 00:00"], except_kinds: [policy]}]
rules: [{name: all, rule: {roles: {ml_lead: 2}}}]
"""
GATED = "rules: [{name: all, rule: {roles: {ml_lead: 2}, gates: [{gate: inference_not_slower}]}}]"
PROMOTE = Asked("promote", "production", "toy", 1)


def approved(world: World, policy: str = TWO) -> Change:
    with writing() as session:
        put_in_force(session, world, policy)
    change = ask(world.engineer, PROMOTE)
    say(world.lead, change)
    found = say(world.compliance if policy == EITHER else world.other_lead, change)
    assert found.state == "approved"
    return found


def begin(change: Change) -> execution.Plan | None:
    with writing() as session:
        return execution.begin(session, SYSTEM, change.id, now(change).run_id or f"change-{change.id}")


def sees(change: Change, viewer: Actor) -> dict[str, object]:
    with reading() as session:
        return change_detail(session, viewer, now(change))


def unrecorded(change: Change) -> list[str]:
    with reading() as session:
        return [one.title for one in unrecorded_changes(session, [change.id])]


@pytest.mark.parametrize("policy", [TWO, FROZEN], ids=["at once", "in a freeze"])
def test_who_approved_takes_it_back_and_nothing_runs(world: World, policy: str) -> None:
    change = approved(world, policy)
    assert sees(change, world.lead)["can_retract"] and not sees(change, world.compliance)["can_retract"]
    with pytest.raises(errors.DecidedAlready, match="retract that first"):
        say(world.lead, change, "reject", comment="no")
    back = say(world.lead, change, "retract", comment="I saw the news")
    assert (back.state, [one.person_id for one in back.counted]) == ("waiting", [world.other_lead.person_id])
    assert say(world.lead, change, "retract", comment="I saw the news").state == "waiting", "a double click"
    with writing() as session:
        assert execution.begin(session, SYSTEM, change.id, f"change-{change.id}") is None
    assert now(change).state == "waiting"
    assert unrecorded(change) == []
    with pytest.raises(NotAllowed, match="no approval of yours"):
        say(world.compliance, change, "retract", comment="I")
    assert say(world.lead, change, "reject", comment="indeed").state == "rejected"
    assert unrecorded(change) == []


def test_what_is_approved_again_has_a_run_of_its_own(world: World) -> None:
    change = approved(world)
    say(world.lead, change, "retract", comment="wait")
    again = say(world.lead, change)
    assert (again.state, again.run_id) == ("approved", f"change-{change.id}-2")
    with reading() as session:
        assert session.get(JobRun, f"change-{change.id}-2") is not None
    with writing() as session:
        assert execution.begin(session, SYSTEM, change.id, f"change-{change.id}") is None, "the first run"
    assert begin(change) is not None
    with pytest.raises(errors.ChangeNotWaiting, match="rollout can be aborted"):
        say(world.lead, change, "retract", comment="too late")


def test_an_approval_that_is_taken_back_in_the_table_alone_is_seen(world: World) -> None:
    change = approved(world)
    say(world.lead, change, "retract", comment="wait")
    with writing() as session:
        row = session.get_one(Change, change.id)
        next(one for one in row.decisions if one.retracted_at is not None).retracted_at = None
        row.state, row.run_id = "approved", f"change-{row.id}"
    assert [one for one in unrecorded(change) if "was taken back, and counts" in one]
    assert begin(change) is None
    assert now(change).state == "void"


def test_a_retraction_whose_text_was_erased_is_told_by_its_place(world: World) -> None:
    change = approved(world)
    say(world.lead, change, "retract", comment="wait")
    say(world.lead, change)
    with writing() as session:
        entries = {Action.CHANGE_APPROVED.value, Action.APPROVAL_RETRACTED.value}
        some = select(AuditEntry.seq).where(AuditEntry.action.in_(entries))
        erase_payloads(session, SYSTEM, list(session.scalars(some)), why="old", subject="test")
    assert unrecorded(change) == []
    with writing() as session:
        mine = [
            one
            for one in session.get_one(Change, change.id).decisions
            if one.person_id == world.lead.person_id
        ]
        first, again = sorted(mine, key=lambda one: one.decided_at)
        assert first.retracted_at is not None
        again.retracted_at = first.retracted_at
        session.flush()
        first.retracted_at = None
    assert sorted(unrecorded(change)) == [
        f"a decision on CHG-{change.id} (approve) counts no longer, and no entry takes it back",
        f"a decision on CHG-{change.id} (approve) was taken back, and counts",
    ]


def test_what_was_taken_back_by_an_erased_entry_alone_cannot_be_known() -> None:
    given = Told(7, Action.CHANGE_APPROVED.value, "per_deputy", None)
    back = Told(9, Action.APPROVAL_RETRACTED.value, "per_lender", None)
    decision = Decision(
        id="dec_1",
        person_id="per_deputy",
        on_behalf_of="per_lender",
        verdict="approve",
        decided_at=clock.now(),
    )
    row = Change(id=3, decisions=[decision])
    (found,) = _retractions_differ(row, [given, back])
    assert "entry 9 took back a decision on CHG-3; which one cannot be known" in found.title
    decision.retracted_at = clock.now()
    assert list(_retractions_differ(row, [given, back])) == []


def test_who_could_decide_rejects_what_others_approved(world: World) -> None:
    with writing() as session:
        put_in_force(session, world, "rules: [{name: all, rule: {roles: {ml_lead: 1}}}]")
    change = ask(world.engineer, PROMOTE)
    say(world.lead, change)
    assert sees(change, world.other_lead)["cannot_reject"] is None
    assert "lead" in str(sees(change, world.compliance)["cannot_reject"])
    with writing() as session, pytest.raises(NotAllowed, match="who may decide on it can reject it"):
        cancel_change(session, world.other_lead, change.id, reason="x")
    for actor in (world.engineer, world.compliance, world.on_call):
        with pytest.raises(NotAllowed):
            say(actor, change, "reject", comment="x")
    for verdict in ("approve", "ask"):
        with pytest.raises(errors.ChangeNotWaiting, match="it can be rejected"):
            say(world.other_lead, change, verdict, comment="x")
    assert say(world.other_lead, change, "reject", comment="no").state == "rejected"
    with writing() as session:
        assert execution.begin(session, SYSTEM, change.id, f"change-{change.id}") is None
    assert (now(change).state, unrecorded(change)) == ("rejected", [])


def test_what_goes_ahead_without_a_decision_is_not_stopped_by_one(world: World) -> None:
    with writing() as session:
        put_in_force(session, world, EITHER)
    asked = Asked("rollback", "production", "toy", 2)
    from backend.governance.asking import preview_change

    with reading() as session:
        seen = preview_change(session, world.on_call, asked).digest
    with writing() as session:
        change = break_glass(session, world.on_call, asked, reason="it burns", seen_digest=seen)
    with pytest.raises(errors.ChangeNotWaiting):
        say(world.lead, change, "reject", comment="no")
    assert carry_out(change).state == "executed"


def settle(change: Change, verdict: str) -> Change:
    with writing() as session:
        row = session.get_one(Change, change.id)
        result = {
            "gate": "inference_not_slower",
            "required": True,
            "verdict": verdict,
            "value": None,
            "text": verdict,
        }
        settle_gates(session, SYSTEM, change.id, revision=row.revision, results=[result], flips=None)
    return now(change)


def again(actor: Actor, change: Change) -> Change:
    with writing() as session:
        return recheck_gates(session, actor, change.id, reason="again")


def test_gates_are_evaluated_again_by_who_asked_or_decides_and_each_time_is_shown(world: World) -> None:
    with writing() as session:
        put_in_force(session, world, GATED)
    change = ask(world.engineer, PROMOTE)
    settle(change, "fail")
    for actor in (world.on_call, world.viewer, world.compliance):
        with pytest.raises(NotAllowed, match=r"who asked for .* have its gates evaluated again"):
            again(actor, change)
    again(world.engineer, change)
    settle(change, "fail")
    again(world.lead, change)
    found = settle(change, "pass")
    assert tries_of(found.evidence, "inference_not_slower") == ["fail", "fail", "pass"]
    assert any(
        "passed at evaluation 3, after it had failed 2 times" in one
        for one in unresolved(sees(change, world.lead))
    )
    with writing() as session:
        cancel_change(session, world.engineer, change.id, reason="another try")
    other = ask(world.engineer, PROMOTE)
    assert tries_of(settle(other, "pass").evidence, "inference_not_slower") == [
        "fail",
        "fail",
        "pass",
        "pass",
    ], "who gives up and asks again takes it along"


def test_what_is_approved_is_evaluated_again_by_who_decides(world: World) -> None:
    with writing() as session:
        put_in_force(session, world, GATED)
    change = ask(world.engineer, PROMOTE)
    settle(change, "pass")
    say(world.lead, change)
    assert say(world.other_lead, change).state == "approved"
    assert sees(change, world.lead)["can_recheck"] and not sees(change, world.on_call)["can_recheck"]
    assert (again(world.lead, change).state, now(change).run_id) == ("checking", None)
    assert settle(change, "fail").state == "waiting"
    with pytest.raises(errors.GateFailed):
        say(world.lead, change)
