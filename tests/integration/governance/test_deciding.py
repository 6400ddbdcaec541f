"""Deciding: lent rights, excluded people, gates that fail or cannot tell, freezes, and being asked for changes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from backend import clock
from backend.database.session import reading, writing
from backend.errors import BadInput, NotAllowed, NotFound
from backend.governance import errors, execution
from backend.governance.asking import cancel_change, preview_change
from backend.governance.authority import who_can_decide
from backend.governance.deciding import start_thawed_changes
from backend.governance.delegations import delegate, end_delegation
from backend.governance.kinds import Asked
from backend.governance.policies import active_policy, dry_run
from backend.governance.policy_document import read_policy
from backend.governance.reading import note_look, snapshot_of
from backend.governance.sending_again import resubmit_change
from backend.governance.settling import recheck_gates, settle_gates
from backend.governance.tables import Change
from backend.governance.views import change_detail
from backend.identity.actor import Actor
from backend.identity.roles import Role
from backend.identity.tables import Person
from backend.queue import JobRun
from backend.registry.tables import Model, Version
from tests.integration.governance.conftest import ask, carry_out, now, put_in_force, say
from tests.worlds import SYSTEM, World, name_people, person

PROMOTE = Asked("promote", "production", "toy", 1)


def lend(giver: Actor, taker: Actor, *, hours: float = 24) -> int:
    with writing() as session:
        start = clock.now()
        return delegate(
            session, giver, to_person=taker.person_id, starts_at=start, ends_at=start + timedelta(hours=hours),
            reason="away",
        ).id  # fmt: skip


def test_a_lent_right_decides_and_both_count_as_one_person(world: World) -> None:
    with writing() as session:
        put_in_force(session, world, "rules: [{name: two, rule: {roles: {ml_lead: 2}}}]")
    lend(world.lead, world.viewer)
    change = ask(world.on_call, PROMOTE)
    assert say(world.viewer, change).state == "waiting"
    given = now(change).decisions[0]
    assert (given.role, given.on_behalf_of) == ("ml_lead", world.lead.person_id)
    with pytest.raises(errors.DecidedAlready, match="somebody for them"):
        say(world.lead, change)
    assert say(world.other_lead, change).state == "approved"


def test_a_lent_right_ends_with_its_time_its_lender_and_its_withdrawal(world: World) -> None:
    change = ask(world.on_call, PROMOTE)
    row = lend(world.lead, world.viewer)
    with writing() as session:
        end_delegation(session, world.lead, row)
    with pytest.raises(NotAllowed):
        say(world.viewer, change)
    lend(world.lead, world.viewer)
    with writing() as session:
        session.get_one(Person, world.lead.person_id).roles = []
    with pytest.raises(NotAllowed):
        say(world.viewer, change)


def test_a_person_and_their_service_account_are_one(world: World) -> None:
    with writing() as session:
        put_in_force(session, world, "rules: [{name: two, rule: {roles: {ml_lead: 2}, accounts: true}}]")
        account = person(session, "bot", Role.ML_LEAD)
        row = session.get_one(Person, account.person_id)
        row.kind, row.owner_id = "service", world.lead.person_id
    bot = replace(account, kind="service", acting_for=world.lead.person_id)
    change = ask(world.on_call, PROMOTE)
    assert say(bot, change).state == "waiting"
    with pytest.raises(errors.DecidedAlready):
        say(world.lead, change)
    other = ask_again(world, change)
    assert say(world.lead, other).state == "waiting"
    with pytest.raises(errors.DecidedAlready):
        say(bot, other)


def ask_again(world: World, change: Change) -> Change:
    with writing() as session:
        cancel_change(session, world.on_call, change.id, reason="")
    return ask(world.on_call, PROMOTE)


def test_who_owns_the_account_that_asked_withdraws_it_and_sends_it_again(world: World) -> None:
    with writing() as session:
        account = person(session, "bot", Role.ML_ENGINEER)
        row = session.get_one(Person, account.person_id)
        row.kind, row.owner_id = "service", world.engineer.person_id
    bot = replace(account, kind="service", acting_for=world.engineer.person_id)
    change = ask(bot, PROMOTE)
    say(world.lead, change, "ask", comment="why?")
    with reading() as session:
        seen = preview_change(session, world.engineer, PROMOTE).digest
        offered = [
            change_detail(session, viewer, session.get_one(Change, change.id))
            for viewer in (world.engineer, world.on_call)
        ]
    assert [(one["can_cancel"], one["can_resubmit"]) for one in offered] == [(True, True), (False, False)]
    with writing() as session:
        resubmit_change(session, world.engineer, change.id, reason="it is better", seen_digest=seen)
    for other in (world.on_call, world.lead):
        with writing() as session, pytest.raises(NotAllowed, match="owns the account"):
            cancel_change(session, other, change.id, reason="mine?")
    with writing() as session:
        assert cancel_change(session, world.engineer, change.id, reason="not now").state == "cancelled"


def test_nobody_lends_what_they_do_not_have_nor_for_ever(world: World) -> None:
    with pytest.raises(NotAllowed):
        lend(world.on_call, world.viewer)
    with pytest.raises(BadInput, match="at most 90 days"):
        lend(world.lead, world.viewer, hours=24 * 91)
    with pytest.raises(BadInput, match="somebody else"):
        lend(world.lead, world.lead)
    with writing() as session, pytest.raises(NotFound):
        end_delegation(session, world.other_lead, 1)


def test_who_is_excluded_cannot_lend_around_it(world: World) -> None:
    change = ask(world.lead, PROMOTE)
    lend(world.lead, world.viewer)
    with pytest.raises(NotAllowed, match="who lent you the right to decide is excluded"):
        say(world.viewer, change)


def test_the_owner_of_the_data_is_excluded_where_the_rule_says_so(world: World) -> None:
    with writing() as session:
        name_people(session, "toy", 1, data_owner=world.lead.person_id)
    change = ask(world.on_call, PROMOTE)
    with reading() as session:
        assert [one["name"] for one in who_can_decide(session, now(change))] == ["Lead", "Lead2"]
    with writing() as session:
        put_in_force(
            session, world, "rules: [{name: all, rule: {excluded: [requester, trainer, data_owner]}}]"
        )
    say(world.lead, change, "reject", comment="another rule")
    change = ask(world.on_call, PROMOTE)
    with pytest.raises(errors.OwnData):
        say(world.lead, change)
    with reading() as session:
        assert [one["name"] for one in who_can_decide(session, now(change))] == ["Lead2"]


def gated(world: World, **verdicts: str) -> Change:
    """A promotion whose gates were evaluated with these results."""
    with writing() as session:
        put_in_force(
            session, world, "rules: [{name: gated, rule: {gates: [{gate: artefact_scanned}], lifetime_h: 5}}]"
        )
    change = ask(world.on_call, PROMOTE)
    assert change.state == "checking"
    with pytest.raises(errors.ChangeNotWaiting, match="waiting for gates"):
        say(world.lead, change)
    settle(change, **verdicts)
    return now(change)


def settle(change: Change, **verdicts: str) -> None:
    results: list[dict[str, Any]] = [
        {"gate": name, "required": True, "verdict": verdict, "value": None, "text": verdict}
        for name, verdict in verdicts.items()
    ]
    with writing() as session:
        revision = session.get_one(Change, change.id).revision
        settle_gates(session, SYSTEM, change.id, revision=revision, results=results, flips=None)


def test_a_failed_gate_cannot_be_approved_nor_accepted(world: World) -> None:
    change = gated(world, artefact_scanned="fail")
    with pytest.raises(errors.GateFailed):
        say(world.lead, change)
    with pytest.raises(BadInput, match="is not an inconclusive gate"):
        say(world.lead, change, comment="I know", accept=("artefact_scanned",))
    assert say(world.lead, change, "reject", comment="no").state == "rejected"


def test_an_inconclusive_gate_is_accepted_by_name_and_with_a_comment(world: World) -> None:
    change = gated(world, artefact_scanned="inconclusive")
    with pytest.raises(errors.GateInconclusive):
        say(world.lead, change)
    with pytest.raises(BadInput, match="comment"):
        say(world.lead, change, accept=("artefact_scanned",))
    approved = say(world.lead, change, comment="I scanned it by hand", accept=("artefact_scanned",))
    assert approved.state == "approved"
    assert approved.decisions[0].accepted == ["artefact_scanned"]
    assert carry_out(change).state == "executed"


def test_a_gate_without_a_result_is_not_passed(world: World) -> None:
    change = gated(world)
    with pytest.raises(errors.GateInconclusive):
        say(world.lead, change)


def test_gates_evaluated_again_make_decisions_void(world: World) -> None:
    with writing() as session:
        put_in_force(
            session,
            world,
            "rules: [{name: g, rule: {roles: {ml_lead: 2}, gates: [{gate: artefact_scanned}]}}]",
        )
    change = ask(world.on_call, PROMOTE)
    settle(change, artefact_scanned="pass")
    say(world.lead, change)
    first = now(change).digest
    with writing() as session:
        recheck_gates(session, world.on_call, change.id, reason="newer data")
    settle(change, artefact_scanned="pass")
    assert now(change).digest != first
    assert say(world.other_lead, change).state == "waiting", (
        "the decision on the earlier results does not count"
    )
    assert say(world.lead, change).state == "approved"


def test_gate_results_altered_in_the_database_void_the_approval(world: World) -> None:
    change = gated(world, artefact_scanned="pass")
    say(world.lead, change)
    with writing() as session:
        row = session.get_one(Change, change.id)
        row.gates = [{**row.gates[0], "text": "all is well"}]
    with writing() as session:
        assert execution.begin(session, SYSTEM, change.id, f"change-{change.id}") is None
    assert "not the ones that were signed" in now(change).outcome


def test_an_approval_in_a_freeze_starts_when_it_is_over(world: World) -> None:
    start = clock.now() - timedelta(days=1)
    dates = [moment.strftime("%Y-%m-%dT%H:%M:%S") for moment in (start, start + timedelta(days=2))]
    with writing() as session:
        put_in_force(
            session, world,
            f"freezes: [{{name: year end, zone: UTC, dates: ['{dates[0]}', '{dates[1]}']}}]\nrules: [{{name: all}}]",
        )  # fmt: skip
    change = ask(world.on_call, PROMOTE)
    approved = say(world.lead, change)
    assert (approved.state, approved.run_id) == ("approved", None)
    assert "frozen (year end)" in approved.step
    with writing() as session:
        assert start_thawed_changes(session) == 0
        put_in_force(session, world, "rules: [{name: all}]")
    with writing() as session:
        assert start_thawed_changes(session) == 1
        assert session.get(JobRun, f"change-{change.id}") is not None


def test_asking_for_changes_sends_it_back_and_it_is_sent_again(world: World) -> None:
    change = ask(world.on_call, PROMOTE)
    with pytest.raises(BadInput, match="comment"):
        say(world.lead, change, "ask")
    assert say(world.lead, change, "ask", comment="which feature changed?").state == "draft"
    with reading() as session:
        seen = preview_change(session, world.on_call, PROMOTE).digest
    with writing() as session, pytest.raises(NotAllowed):
        resubmit_change(session, world.engineer, change.id, reason="not mine", seen_digest=seen)
    with writing() as session:
        resubmit_change(session, world.on_call, change.id, reason="carrier did", seen_digest=seen)
    assert (now(change).state, now(change).revision) == ("waiting", 2)
    assert say(world.lead, change).state == "approved"
    assert carry_out(change).state == "executed"


def test_what_was_seen_is_shown_again_when_everything_is_gone(world: World) -> None:
    change = ask(world.on_call, PROMOTE)
    say(world.lead, change)
    signed = now(change)
    with reading() as session:
        before = snapshot_of(session, world.compliance, change.id, signed.digest)
    for number in (1, 2, 3):
        world.card(number).unlink()
    with writing() as session:
        session.execute(update(Version).values(metrics={}, parameters={}))
        session.execute(update(Change).where(Change.id == change.id).values(evidence={}, gates=[]))
    with reading() as session:
        assert snapshot_of(session, world.compliance, change.id, signed.digest) == before
    assert before["evidence"]["metrics"][0]["after"]["value"] == 0.71


def test_what_is_new_since_a_person_last_looked(world: World) -> None:
    change = gated(world, artefact_scanned="inconclusive")
    with writing() as session:
        assert note_look(session, world.lead, change.id) is None
    with writing() as session:
        assert note_look(session, world.lead, change.id) is None, "nothing is new"
    with writing() as session:
        recheck_gates(session, world.on_call, change.id, reason="")
    settle(change, artefact_scanned="pass")
    with writing() as session:
        news = note_look(session, world.lead, change.id)
        other = note_look(session, world.other_lead, change.id)
    assert news is not None
    assert [(one["part"], one["before"], one["after"]) for one in news["parts"]] == [
        ("gate artefact_scanned", "inconclusive: inconclusive", "pass: pass"),
        ("evaluations of the gates", 1, 2),
    ]
    assert other is None, "they had not looked before"
    assert not news["decided"]


def test_what_changed_since_a_person_decided_is_told_however_often_they_look(world: World) -> None:
    change = gated(world, artefact_scanned="inconclusive")
    say(world.lead, change, "ask", comment="why is the scan inconclusive?")
    with writing() as session:
        note_look(session, world.lead, change.id)
        seen = preview_change(session, world.on_call, PROMOTE).digest
        resubmit_change(session, world.on_call, change.id, reason="it was scanned again", seen_digest=seen)
    settle(change, artefact_scanned="pass")
    for _ in range(2):
        with writing() as session:
            news = note_look(session, world.lead, change.id)
        assert news is not None and news["decided"]
        told = {one["part"]: (one["before"], one["after"]) for one in news["parts"]}
        assert told["gate artefact_scanned"] == ("inconclusive: inconclusive", "pass: pass")


def test_a_policy_is_replaced_by_two_people_and_binds_open_changes(world: World) -> None:
    waiting = ask(world.on_call, PROMOTE)
    say(world.lead, waiting)
    stricter = "rules: [{name: all, rule: {roles: {ml_lead: 2}}}]"
    change = ask(world.lead, Asked("policy", "*", subject={"document": stricter}))
    with pytest.raises(errors.OwnRequest):
        say(world.lead, change)
    say(world.other_lead, change)
    assert say(world.compliance, change).state == "approved"
    carry_out(change)
    with reading() as session:
        assert active_policy(session).document.rules[0].rule.roles == {"ml_lead": 2}
        told = dry_run(session, world.viewer, read_policy(stricter))
    assert [(one.was, one.would) for one in told if one.change_id == change.id] == [("executed", "refused")]
    with writing() as session:
        assert execution.begin(session, SYSTEM, waiting.id, f"change-{waiting.id}") is None
    assert "the policy changed" in now(waiting).outcome


def test_a_tier_changes_under_the_stricter_rule_and_prohibited_models_are_not_promoted(world: World) -> None:
    change = ask(world.engineer, Asked("tier", "*", "toy", subject={"tier": "prohibited"}))
    say(world.lead, change)
    say(world.compliance, change)
    carry_out(change)
    with writing() as session:
        assert session.get_one(Model, "toy").tier == "prohibited"
        put_in_force(
            session, world,
            "rules: [{name: barred, for: {tiers: [prohibited]}, rule: {allowed: false, because: not here}}, "
            "{name: all}]",
        )  # fmt: skip
    with pytest.raises(errors.NotAllowedByPolicy, match="not here"):
        ask(world.engineer, PROMOTE)


def test_retirement_leaves_nothing_serving(world: World) -> None:
    from backend.deployment.service import champion

    change = ask(world.engineer, Asked("retire", "production", "toy"))
    say(world.lead, change)
    say(world.compliance, change)
    carry_out(change)
    with reading() as session:
        assert champion(session, "toy", "production") is None


def test_the_cut_off_alone_is_a_change_and_part_of_what_serves(world: World) -> None:
    from backend.deployment.service import champion

    with pytest.raises(BadInput, match="a score from 0 to 1"):
        ask(world.engineer, Asked("cutoff", "production", "toy", to_cutoff=1.5))
    with pytest.raises(errors.NothingToChange):
        ask(world.engineer, Asked("cutoff", "production", "toy", to_cutoff=0.5))
    change = ask(world.engineer, Asked("cutoff", "production", "toy", to_cutoff=0.35))
    assert change.summary == "toy v3 decides from 0.35 on instead of 0.5 in production"
    say(world.lead, change)
    carry_out(change)
    with reading() as session:
        serving = champion(session, "toy", "production")
    assert serving is not None
    assert (serving.version, serving.cutoff) == (3, 0.35)


MONITOR = {
    "name": "traffic", "level": "ticket",
    "when": {"kind": "volume", "statistic": "rows", "threshold": {"kind": "constant", "side": "below", "value": 10}},
}  # fmt: skip


def test_a_monitor_changes_under_a_decision_beside_an_open_promotion(world: World) -> None:
    from backend.monitoring.monitors_service import list_monitors

    waiting = ask(world.on_call, PROMOTE)
    added = ask(world.engineer, Asked("monitor", "production", "toy", subject={"definition": MONITOR}))
    assert added.summary == "the monitor 'traffic' of toy is added in production"
    with pytest.raises(errors.ChangeAlreadyOpen, match=f"CHG-{added.id}"):
        ask(world.on_call, Asked("monitor", "production", "toy", subject={"definition": MONITOR}))
    say(world.lead, added)
    carry_out(added)
    with reading() as session:
        (made,) = list_monitors(session, world.viewer, "toy", "production")
    higher = {**MONITOR, "level": "page"}
    changed = ask(
        world.engineer,
        Asked("monitor", "production", "toy", subject={"definition": higher, "key": made.key}),
    )
    say(world.lead, changed)
    carry_out(changed)
    with reading() as session:
        (made,) = list_monitors(session, world.viewer, "toy", "production")
    assert (made.number, made.definition["level"]) == (2, "page")
    assert now(waiting).state == "waiting"
