"""Who owns the database rewrites a change that waits or was approved: nobody decides on it, it is not carried out, and
the log says so."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from backend import clock
from backend.audit.change_checks import unrecorded_changes
from backend.audit.erasure import erase_payloads
from backend.audit.retention import erase_old_payloads
from backend.audit.standing_checks import unset_standing
from backend.audit.tables import AuditEntry, AuditPayload
from backend.database.session import reading, writing
from backend.governance import execution
from backend.governance.asking import asked_of, cancel_change, preview_change, signed_digest
from backend.governance.digests import digest_of
from backend.governance.errors import ChangeAltered, PolicyAltered
from backend.governance.kinds import Asked
from backend.governance.policies import rule_digest
from backend.governance.policy_document import read_policy
from backend.governance.request_record import what_was_altered
from backend.governance.sending_again import resubmit_change
from backend.governance.tables import Change, Decision, Policy
from backend.governance.views import change_detail
from tests.integration.governance.conftest import ask, now, put_in_force, say
from tests.worlds import SYSTEM, World, name_people

TWO = "rules: [{name: all, rule: {roles: {ml_lead: 2}, excluded: [requester, trainer, data_owner]}}]"
PROMOTE = Asked("promote", "production", "toy", 1)


def one_lead(change: Change, _world: World) -> None:
    change.policy = {**change.policy, "roles": {"ml_lead": 1}}


def one_lead_and_its_digest(change: Change, world: World) -> None:
    one_lead(change, world)
    change.bound = {**change.bound, "policy": rule_digest(change.policy)}


def one_lead_and_every_digest(change: Change, world: World) -> None:
    from backend.governance.asking import request_digest

    one_lead_and_its_digest(change, world)
    asked = Asked(change.kind, change.environment, change.model)
    change.request_digest = request_digest(asked, change.bound)
    change.digest = signed_digest(change)


def another_requester(change: Change, world: World) -> None:
    change.requested_by = world.viewer.person_id
    change.digest = signed_digest(change)


def no_trainer(change: Change, _world: World) -> None:
    change.trained_by = None
    change.digest = signed_digest(change)


def another_card(change: Change, _world: World) -> None:
    change.bound = {**change.bound, "card": "sha256:" + "0" * 64}


REWRITTEN = [
    one_lead,
    one_lead_and_its_digest,
    one_lead_and_every_digest,
    another_requester,
    no_trainer,
    another_card,
]


@pytest.mark.parametrize("rewrite", REWRITTEN, ids=lambda one: one.__name__)
def test_a_change_that_was_rewritten_takes_no_decision_and_is_a_finding(
    world: World, rewrite: Callable[[Change, World], None]
) -> None:
    with writing() as session:
        put_in_force(session, world, TWO)
        name_people(session, "toy", 1, trained_by=world.lead.person_id)
    change = ask(world.engineer, PROMOTE)
    with writing() as session:
        rewrite(session.get_one(Change, change.id), world)
    for actor in (world.lead, world.engineer, world.other_lead):
        with pytest.raises(ChangeAltered, match="not as it was asked for"):
            say(actor, change)
    assert now(change).counted == []
    with reading() as session:
        told = change_detail(session, world.other_lead, now(change))["cannot_decide"]
        assert "not as it was asked for" in told
        assert [one for one in unrecorded_changes(session) if one.change == change.id]


@pytest.mark.parametrize("rewrite", REWRITTEN, ids=lambda one: one.__name__)
def test_a_change_that_was_rewritten_after_its_approval_is_void(
    world: World, rewrite: Callable[[Change, World], Any]
) -> None:
    with writing() as session:
        put_in_force(session, world, TWO)
    change = ask(world.engineer, PROMOTE)
    say(world.lead, change)
    assert say(world.other_lead, change).state == "approved"
    with writing() as session:
        row = session.get_one(Change, change.id)
        rewrite(row, world)
        for given in row.decisions:
            given.seen_digest = row.digest
    with writing() as session:
        assert execution.begin(session, SYSTEM, change.id, f"change-{change.id}") is None
    found = now(change)
    assert (found.state, "approval no longer covers" in found.outcome) == ("void", True)


def test_what_was_rewritten_can_still_be_stopped(world: World) -> None:
    with writing() as session:
        put_in_force(session, world, TWO)
    change = ask(world.engineer, PROMOTE)
    say(world.lead, change)
    with writing() as session:
        one_lead(session.get_one(Change, change.id), world)
    change = now(change)
    assert say(world.lead, change, "retract", comment="not what I saw").counted == []
    assert say(world.other_lead, change, "reject", comment="nobody asked for that").state == "rejected"


def erase(change: Change) -> list[int]:
    with writing() as session:
        asked = session.scalars(
            select(AuditEntry.seq).where(
                AuditEntry.object_kind == "change", AuditEntry.object_id == str(change.id)
            )
        ).all()
        return erase_payloads(session, SYSTEM, asked, why="kept for no longer")


def test_a_change_whose_entries_were_erased_is_decided_on_and_sent_again(world: World) -> None:
    with writing() as session:
        put_in_force(session, world, TWO)
    change = ask(world.engineer, PROMOTE)
    assert erase(change)
    say(world.lead, change, "ask", comment="why?")
    with reading() as session:
        seen = preview_change(session, world.engineer, PROMOTE).digest
    with writing() as session:
        resubmit_change(session, world.engineer, change.id, reason="because", seen_digest=seen)
    assert erase(change)  # an older text, were there one, is not that of the newest request
    change = now(change)
    say(world.lead, change)
    assert say(world.other_lead, change).state == "approved"
    with reading() as session:
        assert not [one for one in unrecorded_changes(session) if one.change == change.id]


def test_a_text_that_is_gone_without_a_record_is_not_taken_for_an_erased_one(world: World) -> None:
    change = ask(world.engineer, PROMOTE)
    with reading() as session:
        told = what_was_altered(session, session.get_one(Change, change.id))
        unasked = what_was_altered(session, Change(id=10**6, kind="promote", environment="production", bound={},
                                                   policy={}, request_digest=""))  # fmt: skip
    assert told == []
    assert "the log holds no text of an entry that asks for it" in unasked


def test_retention_keeps_what_open_changes_were_asked_for(world: World) -> None:
    change = ask(world.engineer, PROMOTE)

    def kept() -> int:
        with writing() as session:
            erase_old_payloads(session, SYSTEM, before=clock.now() + timedelta(seconds=1))
            return len(list(session.scalars(
                select(AuditPayload.seq).join(AuditEntry, AuditEntry.seq == AuditPayload.seq).where(
                    AuditEntry.object_kind == "change", AuditEntry.object_id == str(change.id)
                )
            )))  # fmt: skip

    assert kept()
    with writing() as session:
        cancel_change(session, world.engineer, change.id, reason="no longer")
    assert not kept()


def test_other_evidence_under_a_digest_that_fits_it_is_not_what_the_log_says_was_shown(world: World) -> None:
    change = ask(world.engineer, PROMOTE)
    with writing() as session:
        row = session.get_one(Change, change.id)
        row.evidence = {**row.evidence, "cautions": []} | {"metrics": []}
        row.digest = signed_digest(row)
    assert say(world.lead, change).state == "approved"
    with writing() as session:
        assert execution.begin(session, SYSTEM, change.id, f"change-{change.id}") is None
    assert "not what the log says was shown" in now(change).outcome


def test_a_decision_that_was_put_into_the_table_carries_nothing_out(world: World) -> None:
    with writing() as session:
        put_in_force(session, world, TWO)
    change = ask(world.engineer, PROMOTE)
    say(world.lead, change)
    with writing() as session:
        row = session.get_one(Change, change.id)
        session.add(
            Decision(
                change_id=row.id, revision=1, person_id=world.other_lead.person_id, verdict="approve", comment="",
                seen_digest=row.digest, accepted=[], role="ml_lead", decided_at=clock.now(),
            )
        )  # fmt: skip
        row.state, row.run_id = "approved", f"change-{row.id}"
    with writing() as session:
        assert execution.begin(session, SYSTEM, change.id, f"change-{change.id}") is None
    assert "that no entry records" in now(change).outcome


def test_what_is_sent_again_excludes_who_owns_the_data_by_then(world: World) -> None:
    with writing() as session:
        put_in_force(session, world, TWO.replace("ml_lead: 2", "ml_lead: 1"))
    change = ask(world.engineer, PROMOTE)
    say(world.lead, change, "ask", comment="why?")
    with writing() as session:
        name_people(session, "toy", 1, data_owner=world.lead.person_id)
    with reading() as session:
        seen = preview_change(session, world.engineer, asked_of(session.get_one(Change, change.id))).digest
    with writing() as session:
        resubmit_change(session, world.engineer, change.id, reason="because", seen_digest=seen)
    assert now(change).data_owner == world.lead.person_id
    with pytest.raises(Exception, match="own the data"):
        say(world.lead, change)
    assert say(world.other_lead, change).state == "approved"


def told_of_policies() -> list[str]:
    with reading() as session:
        return [one.title for one in unset_standing(session) if "the policy" in one.title]


def test_a_policy_whose_document_was_rewritten_governs_nothing_and_is_a_finding(world: World) -> None:
    with writing() as session:
        revision = put_in_force(session, world, TWO)
    assert told_of_policies() == []
    with writing() as session:
        weaker = read_policy(TWO.replace("ml_lead: 2", "ml_lead: 1")).as_dict()
        session.get_one(Policy, revision).document = weaker
    with pytest.raises(PolicyAltered, match=f"revision {revision} of the policy is not the document"):
        ask(world.engineer, PROMOTE)
    assert [
        f"revision {revision} of the policy is not the document" in one for one in told_of_policies()
    ] == [True]
    with writing() as session:  # with a digest that fits, the log still tells
        session.get_one(Policy, revision).digest = digest_of(weaker)
    assert [
        f"revision {revision} of the policy is not the document" in one for one in told_of_policies()
    ] == [True]


def test_a_policy_that_no_entry_put_in_force_or_whose_row_is_gone_is_a_finding(world: World) -> None:
    with writing() as session:
        revision = put_in_force(session, world, TWO)
        row = session.get_one(Policy, revision)
        session.add(Policy(revision=99, document=row.document, digest=row.digest, created_at=clock.now()))
        session.delete(row)
    unmade, gone = told_of_policies()
    assert "revision 99 of the policy is in the table, and no entry" in unmade
    assert f"revision {revision} of the policy was put in force by the log, and its row is gone" in gone
