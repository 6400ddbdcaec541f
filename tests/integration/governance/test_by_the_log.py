"""Rows that somebody writes to the database count for nothing where they are about to: the log says otherwise."""

from __future__ import annotations

from datetime import timedelta

import pytest

from backend import clock
from backend.assurance.exceptions import ask_exception, decide_exception, end_exception
from backend.assurance.tables import PolicyException
from backend.audit.erasure import erase_payloads
from backend.audit.findings import NOT_RECORDED
from backend.audit.reconciliation import disagreements
from backend.audit.retention import erase_old_payloads
from backend.audit.rights_checks import rights_otherwise
from backend.audit.tables import AuditEntry
from backend.database.session import reading, writing
from backend.errors import NotAllowed
from backend.governance import errors, execution
from backend.governance.asking import preview_change
from backend.governance.authority import who_can_decide
from backend.governance.ci_gate import gate_answer
from backend.governance.delegations import delegate, end_delegation
from backend.governance.digests import digest_of
from backend.governance.errors import ChangeAltered, GateFailed, PolicyAltered, ReviewOutstanding
from backend.governance.gates import unanswered
from backend.governance.kinds import Asked
from backend.governance.policies import active_policy, built_in
from backend.governance.policy_document import read_policy
from backend.governance.policy_rules import GateRule
from backend.governance.reviews import review_change
from backend.governance.settling import settle_gates
from backend.governance.tables import Change, Delegation, Policy, Review
from backend.governance.urgent import break_glass
from backend.identity.actor import Actor
from backend.identity.people import create_person, disable_person
from backend.identity.roles import Role
from backend.identity.sessions import actor_of
from backend.identity.tables import Person, PersonRole
from backend.registry.recorded import TierAltered, VersionAltered
from backend.registry.tables import Model, Version
from tests.integration.governance.conftest import ask, carry_out, now, put_in_force, say
from tests.worlds import SYSTEM, World, add_model, person

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
PROMOTE = Asked("promote", "production", "toy", 1)
BACK = Asked("rollback", "production", "toy", 1)
GATED = "rules: [{name: gated, rule: {gates: [{gate: external}]}}]"


def told() -> list[str]:
    """What reconciliation finds, in words."""
    with reading() as session:
        return [one.title for one in disagreements(session) if one.kind == NOT_RECORDED]


def rights() -> list[str]:
    """The part of it that is about rights: the worlds of tests have accounts that no entry made."""
    with reading() as session:
        return [one.title for one in rights_otherwise(session)]


# The policy


def weak_policy(revision: int) -> Policy:
    document = read_policy("rules: [{name: weak, rule: {roles: {ml_lead: 1}}}]").as_dict()
    return Policy(revision=revision, document=document, digest=digest_of(document), created_at=clock.now())


@pytest.mark.parametrize("way", ["a higher revision", "another document", "the row is gone"])
def test_a_policy_that_the_log_did_not_put_in_force_governs_nothing(world: World, way: str) -> None:
    asked = ask(world.engineer, PROMOTE)
    with writing() as session:
        row = session.get_one(Policy, 2)
        if way == "a higher revision":
            session.add(weak_policy(3))
        elif way == "another document":
            row.document, row.digest = weak_policy(2).document, weak_policy(2).digest
        else:
            session.delete(row)
    with pytest.raises(PolicyAltered, match=r"log|entry .* Nothing is asked for"):
        ask(world.engineer, BACK)
    with pytest.raises(PolicyAltered):
        say(world.lead, asked)
    assert now(asked).state == "waiting"


def test_what_was_approved_does_not_begin_under_a_planted_policy(world: World) -> None:
    change = say(world.lead, ask(world.engineer, PROMOTE))
    with writing() as session:
        session.add(weak_policy(3))
    with writing() as session, pytest.raises(PolicyAltered):
        execution.begin(session, SYSTEM, change.id, f"change-{change.id}")


def test_the_built_in_policy_needs_no_entry(database: str, tmp_path: object) -> None:
    with reading() as session:
        assert active_policy(session) == built_in()


# Delegations


def lend(world: World, *, hours: float = 2.0) -> Delegation:
    with writing() as session:
        return delegate(
            session, world.lead, to_person=world.viewer.person_id, starts_at=clock.now(),
            ends_at=clock.now() + timedelta(hours=hours), reason="away",
        )  # fmt: skip


@pytest.mark.parametrize("way", ["planted", "longer", "to another", "ended", "erased"])
def test_a_right_is_lent_as_the_log_says_it_was(world: World, way: str) -> None:
    change = ask(world.engineer, PROMOTE)
    lent = lend(world)
    with writing() as session:
        row = session.get_one(Delegation, lent.id)
        if way == "planted":
            end_delegation(session, world.lead, lent.id)
            session.add(
                Delegation(from_person=world.lead.person_id, to_person=world.viewer.person_id, reason="away",
                           starts_at=row.starts_at, ends_at=row.ends_at, created_at=clock.now())
            )  # fmt: skip
        elif way == "longer":
            row.ends_at += timedelta(days=400)
        elif way == "to another":
            row.from_person = world.other_lead.person_id
        elif way == "ended":
            end_delegation(session, world.lead, lent.id)
            row.revoked_at = None
        else:
            entry = session.query(AuditEntry).filter_by(action="governance:delegation:create").one()
            erase_payloads(session, SYSTEM, [entry.seq], why="gone")
    with pytest.raises(NotAllowed, match=r"delegation \d does not count: .* Have it ended and lent again"):
        say(world.viewer, change)
    with reading() as session:
        assert world.viewer.display_name not in [one["name"] for one in who_can_decide(session, now(change))]
    assert any("delegation" in one for one in told())


def test_a_right_that_was_lent_counts(world: World) -> None:
    lend(world)
    assert say(world.viewer, ask(world.engineer, PROMOTE)).state == "approved"
    assert rights() == []


# Exceptions from a gate


def excepted(world: World) -> Change:
    """A change whose gate failed, and that an exception lets past."""
    with writing() as session:
        put_in_force(session, world, GATED)
    change = ask(world.on_call, PROMOTE)
    with writing() as session:
        row = ask_exception(session, world.engineer, model="toy", gate="external", reason="CI is down",
                            expires_at=clock.now() + timedelta(days=2))  # fmt: skip
        decide_exception(session, world.compliance, row.id, verdict="grant", comment="until it is back")
        failed = unanswered(GateRule(gate="external"), "ci: broken").as_dict() | {"verdict": "fail"}
        settle_gates(session, SYSTEM, change.id, revision=1, results=[failed], flips=None)
    return now(change)


def test_an_exception_that_was_granted_counts(world: World) -> None:
    assert say(world.lead, excepted(world)).state == "approved"
    assert rights() == []


@pytest.mark.parametrize("way", ["longer", "other gate's", "granted by the table", "ended"])
def test_an_exception_counts_as_the_log_says_it_was_granted(world: World, way: str) -> None:
    change = excepted(world)
    with writing() as session:
        row = session.get_one(PolicyException, 1)
        if way == "longer":
            row.expires_at += timedelta(days=200)
        elif way == "other gate's":
            row.decided_by = world.other_lead.person_id
        elif way == "ended":
            end_exception(session, world.compliance, 1, why="it is back")
            row.state = "granted"
        else:
            end_exception(session, world.compliance, 1, why="it is back")
            again = ask_exception(session, world.engineer, model="toy", gate="external", reason="CI",
                                  expires_at=clock.now() + timedelta(days=2))  # fmt: skip
            again.state, again.decided_by, again.comment = "granted", world.compliance.person_id, "so"
            result = change.gates[0] | {"exception": {**change.gates[0]["exception"], "id": again.id}}
            assert result["exception"]["id"] == 2
    with pytest.raises(GateFailed, match=r"EXC-\d does not count: .* Have it ended and granted anew"):
        say(world.lead, change)
    assert any("EXC-" in one for one in told())


def test_an_exception_that_is_altered_after_the_approval_voids_it(world: World) -> None:
    change = say(world.lead, excepted(world))
    with writing() as session:
        session.get_one(PolicyException, 1).expires_at += timedelta(days=200)
    with writing() as session:
        assert execution.begin(session, SYSTEM, change.id, f"change-{change.id}") is None
    assert "gate external has not passed" in now(change).outcome


# Reviews of a broken glass


def burnt(world: World) -> Change:
    with reading() as session:
        seen = preview_change(session, world.on_call, BACK).digest
    with writing() as session:
        change = break_glass(session, world.on_call, BACK, reason="it burns", seen_digest=seen)
    return carry_out(change)


def test_a_review_that_the_log_does_not_have_is_owed_still(world: World) -> None:
    change = burnt(world)
    with writing() as session:
        row = session.get_one(Review, change.id)
        row.verdict, row.reviewed_by, row.reviewed_at = "justified", world.lead.person_id, clock.now()
    forth = ask(world.engineer, Asked("promote", "production", "toy", 2))
    with pytest.raises(ReviewOutstanding, match="in the table is in no entry of the log"):
        say(world.lead, forth)
    assert f"the review of CHG-{change.id} (justified) is in no entry: it is owed still" in told()
    with writing() as session:
        review_change(session, world.other_lead, change.id, verdict="justified", comment="it did burn")
    with writing() as session, pytest.raises(errors.DecidedAlready):
        review_change(session, world.lead, change.id, verdict="not_justified", comment="no")
    assert say(world.lead, forth).state == "approved"
    assert rights() == []


def test_a_review_that_is_gone_or_turned_is_a_finding(world: World) -> None:
    change = burnt(world)
    with writing() as session:
        review_change(session, world.lead, change.id, verdict="not_justified", comment="no")
    with writing() as session:
        session.get_one(Review, change.id).verdict = "justified"
    assert any("says another verdict or reviewer" in one for one in told())
    with writing() as session:
        session.delete(session.get_one(Review, change.id))
    assert any("the table says that it owes no review" in one for one in told())


# The end of a change


def test_a_change_lasts_no_longer_than_the_log_says(world: World) -> None:
    change = ask(world.engineer, PROMOTE)
    with writing() as session:
        session.get_one(Change, change.id).expires_at += timedelta(days=30)
    with pytest.raises(ChangeAltered, match="its end is later than the log's entry of the request says"):
        say(world.lead, change)
    assert any("end of CHG-" in one for one in told())


# Who trained a version


@pytest.mark.parametrize("column", ["trained_by", "data_owner"])
def test_a_version_whose_people_were_altered_is_neither_asked_for_nor_carried_out(
    world: World, column: str
) -> None:
    approved = say(world.lead, ask(world.on_call, PROMOTE))
    with writing() as session:
        setattr(session.get_one(Version, ("toy", 1)), column, world.other_lead.person_id)
    with reading() as session, pytest.raises(VersionAltered, match="of version 1 of toy differs from entry"):
        preview_change(session, world.on_call, PROMOTE)
    with writing() as session:
        assert execution.begin(session, SYSTEM, approved.id, f"change-{approved.id}") is None
    assert "differs from entry" in now(approved).outcome
    assert any("of version 1 of toy differs" in one for one in told())


def test_nothing_is_asked_or_carried_out_under_the_rule_of_a_planted_tier(world: World) -> None:
    approved = say(world.lead, ask(world.on_call, PROMOTE))
    with writing() as session:
        session.get_one(Model, "toy").tier = "low"
    with (
        reading() as session,
        pytest.raises(TierAltered, match=r"toy is of tier low, and entry \d+ says medium"),
    ):
        preview_change(session, world.on_call, PROMOTE)
    with writing() as session:
        assert execution.begin(session, SYSTEM, approved.id, f"change-{approved.id}") is None
    assert "toy is of tier low" in now(approved).outcome


# Accounts


def test_a_role_that_the_log_did_not_give_decides_nothing(world: World) -> None:
    with writing() as session:
        made = create_person(session, SYSTEM, username="sly", display_name="Sly", roles={Role.VIEWER})
        session.add(PersonRole(person_id=made.id, role=Role.ML_LEAD.value))
        session.add(PersonRole(person_id=made.id, role=Role.ON_CALL.value))
    sly = now_actor(made.id)
    with pytest.raises(NotAllowed, match=r"has the role ml_lead in the table, and entry \d+ says viewer"):
        say(sly, ask(world.engineer, PROMOTE))
    with reading() as session:
        seen = preview_change(session, world.on_call, Asked("rollback", "production", "toy", 2)).digest
    with writing() as session, pytest.raises(NotAllowed, match="has the role on_call in the table"):
        break_glass(session, sly, Asked("rollback", "production", "toy", 2), reason="x", seen_digest=seen)


def test_an_account_that_the_log_closed_decides_nothing(world: World) -> None:
    with writing() as session:
        made = create_person(session, SYSTEM, username="gone", display_name="Gone", roles={Role.ML_LEAD})
    add_model(world, "other")
    change = ask(world.engineer, PROMOTE)
    early = say(now_actor(made.id), ask(world.engineer, Asked("promote", "production", "other", 1)))
    with writing() as session:
        disable_person(session, SYSTEM, made.id)
        session.get_one(Person, made.id).disabled_at = None
    with pytest.raises(
        NotAllowed, match=r"is open in the table, and entry \d+ closed it: it counts for nothing"
    ):
        say(now_actor(made.id), change)
    with writing() as session:
        assert execution.begin(session, SYSTEM, early.id, f"change-{early.id}") is None
    assert "closed it" in now(early).outcome
    assert any("closed it" in one for one in told())


def test_an_account_that_acts_for_somebody_else_than_it_was_made_for_is_a_finding(world: World) -> None:
    with writing() as session:
        made = create_person(session, SYSTEM, username="bot", display_name="Bot", roles={Role.ML_LEAD},
                             kind="service", owner_id=world.engineer.person_id)  # fmt: skip
        made.owner_id = world.viewer.person_id
    assert any(f"the account {made.id} is of another kind or owner" in one for one in told())


def now_actor(person_id: str) -> Actor:
    with reading() as session:
        return actor_of(session.get_one(Person, person_id), session_id=None)


# Whether rules are enforced


def test_rules_that_only_report_by_the_table_hold_up_as_before(world: World) -> None:
    with writing() as session:
        session.get_one(Model, "toy").enforcement = "observe"
    with reading() as session:
        found = gate_answer(session, world.viewer, "toy", 1, environment="production")
    assert found["answer"] != "allowed"
    assert any("its rules are taken as enforced" in one for one in found["reasons"])
    assert any("the rules of toy are set to observe, and entry" in one for one in told())


# What is compared is kept


def test_entries_of_what_stands_keep_their_text(world: World) -> None:
    lend(world)
    with writing() as session:
        erase_old_payloads(session, SYSTEM, before=clock.now() + timedelta(minutes=1))
    assert say(world.viewer, ask(world.engineer, PROMOTE)).state == "approved"
    with writing() as session:
        session.add(weak_policy(3))
        person(session, "nobody", Role.VIEWER)
    with pytest.raises(PolicyAltered):
        ask(world.engineer, BACK)
