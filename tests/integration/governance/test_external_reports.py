"""Who reports an external check: the accounts that the rule names, and never a decider's own where it names none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backend import clock
from backend.database.session import reading, writing
from backend.errors import BadInput, ChangedSinceSeen, NotAllowed
from backend.governance import errors, execution
from backend.governance.external_checks import report_check, with_reports
from backend.governance.gates import unanswered
from backend.governance.kinds import Asked
from backend.governance.policy_document import read_policy
from backend.governance.policy_rules import GateRule
from backend.governance.settling import recheck_gates, settle_gates
from backend.governance.tables import Change
from backend.governance.views import change_detail
from backend.identity.actor import Actor
from backend.identity.roles import Role
from backend.identity.tables import Person
from tests.integration.governance.conftest import ask, now, put_in_force, say
from tests.worlds import SYSTEM, World, person

POLICY = """
rules:
  - {name: rest, rule: {roles: {ml_lead: 2}, gates: [{gate: external, parameters: {checks: [tests]%s}}]}}
"""


def account(name: str, owner: Actor) -> Actor:
    with writing() as session:
        made = person(session, name, Role.ML_ENGINEER)
        row = session.get_one(Person, made.person_id)
        row.kind, row.owner_id = "service", owner.person_id
    return replace(made, kind="service", acting_for=owner.person_id)


def waiting_change(world: World, reporters: str = "") -> Change:
    with writing() as session:
        put_in_force(session, world, POLICY % reporters)
    change = ask(world.engineer, Asked("promote", "production", "toy", to_version=2))
    with writing() as session:
        rule = GateRule.model_validate(change.policy["gates"][0])
        results = [unanswered(rule, "nobody has reported").as_dict()]
        settle_gates(session, SYSTEM, change.id, revision=1, results=results, flips=None)
    return now(change)


def report(
    actor: Actor, change: Change, verdict: str = "pass", text: str = "", *, revision: int | None = None
) -> Change:
    with writing() as session:
        return report_check(
            session, actor, change.id, "tests", verdict=verdict, text=text, url="",  # type: ignore[arg-type]
            seen_digest=change.request_digest, revision=revision or now(change).revision,
        )  # fmt: skip


def test_what_every_account_reports_is_kept_and_the_worst_counts(world: World) -> None:
    change = waiting_change(world)
    ci, robot = account("ci", world.viewer), account("robot", world.other_lead)
    report(robot, change)
    assert now(change).gates[0]["verdict"] == "pass"
    report(ci, change, "fail")
    (gate,) = now(change).gates
    assert (gate["verdict"], gate["text"]) == ("fail", "tests: pass by robot, fail by ci")
    report(robot, change, "inconclusive")
    report(robot, change)
    assert now(change).gates[0]["verdict"] == "fail", "an account speaks for itself"
    assert {one["verdict"] for one in now(change).gates[0]["details"]["tests"]} == {"pass", "fail"}
    with pytest.raises(errors.GateFailed):
        say(world.lead, change)
    report(ci, change)
    assert now(change).gates[0]["verdict"] == "pass"
    report(robot, change, "inconclusive")
    assert now(change).gates[0]["verdict"] == "inconclusive"


def test_reports_of_several_accounts_go_on_to_the_next_revision(world: World) -> None:
    change = waiting_change(world)
    ci, robot = account("ci", world.viewer), account("robot", world.compliance)
    report(robot, change)
    say(world.lead, change)
    report(ci, change, "fail")
    found = now(change)
    assert (found.revision, found.counted, found.gates[0]["verdict"]) == (2, [], "fail")
    assert found.gates[0]["text"] == "tests: pass by robot, fail by ci"


def test_who_approves_does_not_report_and_who_reports_does_not_approve(world: World) -> None:
    change = waiting_change(world)
    mine = account("mine", world.lead)
    report(mine, change)
    with pytest.raises(NotAllowed, match="an account of yours reported tests"):
        say(world.lead, change)
    say(world.other_lead, change)
    other = account("other", world.other_lead)
    with pytest.raises(NotAllowed, match="somebody who decided"):
        report(other, now(change))
    report(other, now(change), "fail")
    assert (now(change).counted, now(change).gates[0]["verdict"]) == ([], "fail"), (
        "bad news is heard from any"
    )
    with pytest.raises(NotAllowed, match="requester"):
        report(account("own", world.engineer), now(change))


def test_a_rule_names_the_accounts_that_report_a_check(world: World) -> None:
    change = waiting_change(world, ", reporters: {tests: [named]}")
    with pytest.raises(NotAllowed, match="has tests reported by named"):
        report(account("evil", world.viewer), change)
    report(account("named", world.lead), change)
    say(world.lead, change)  # the policy trusts it, whoever owns it
    with pytest.raises(BadInput, match="none of the checks"):
        read_policy(POLICY % ", reporters: {lint: [named]}")


def test_a_policy_names_reporters_who_are_here(world: World) -> None:
    document = POLICY % ", reporters: {tests: [named, other]}"
    asked = Asked("policy", "*", subject={"document": document})
    with pytest.raises(
        BadInput, match=r"reporters named \(rule 'rest'\), other \(rule 'rest'\) are no service"
    ):
        ask(world.engineer, asked)
    made = account("named", world.lead)
    with writing() as session:
        person(session, "other", Role.ML_ENGINEER)
    with pytest.raises(BadInput, match="reporters other"):
        ask(world.engineer, asked)  # a person
    kept = Asked("policy", "*", subject={"document": document.replace(", other", "")})
    change = ask(world.engineer, kept)
    with writing() as session:
        session.get_one(Person, made.person_id).disabled_at = clock.now()
    say(world.lead, change)
    say(world.compliance, change)
    with writing() as session:
        assert execution.begin(session, SYSTEM, change.id, f"change-{change.id}") is None
    assert "no service accounts that are in use" in now(change).outcome


def settled(change: Change) -> Change:
    """The gates of the revision that waits for them, as the worker evaluates the external one."""
    with writing() as session:
        row = session.get_one(Change, change.id)
        rule = GateRule.model_validate(row.policy["gates"][0])
        results = with_reports(session, row, [unanswered(rule, "nobody has reported").as_dict()])
        settle_gates(session, SYSTEM, row.id, revision=row.revision, results=results, flips=None)
    return now(change)


def test_other_words_for_the_same_verdict_take_no_decision_away(world: World) -> None:
    change = waiting_change(world)
    ci, robot = account("ci", world.viewer), account("robot", world.on_call)
    report(ci, change, text="212 tests")
    assert (
        report(ci, change, text="3 tests, 209 skipped").gates[0]["text"] == "tests: 3 tests, 209 skipped"
    ), "nobody has decided"
    signed = say(world.lead, change).digest
    for text in ("again", "and again"):
        report(ci, change, text=text)
        report(robot, change, text=text)
    assert (now(change).digest, now(change).revision, len(now(change).counted)) == (signed, 1, 1)
    assert say(world.other_lead, change).state == "approved"
    assert (report(ci, change, text="still").state, now(change).run_id) == ("approved", f"change-{change.id}")


@pytest.mark.parametrize("verdict", ["fail", "inconclusive"])
def test_a_report_that_speaks_against_what_was_approved_stops_it(world: World, verdict: str) -> None:
    change = waiting_change(world)
    ci = account("ci", world.viewer)
    report(ci, change)
    say(world.lead, change)
    assert say(world.other_lead, change).state == "approved"
    stopped = report(ci, change, verdict, "it broke")
    assert (stopped.state, stopped.revision, stopped.counted, stopped.run_id) == ("waiting", 2, [], None)
    assert stopped.gates[0]["verdict"] == verdict
    with writing() as session:
        assert execution.begin(session, SYSTEM, change.id, f"change-{change.id}") is None
    assert now(change).state == "waiting"
    report(ci, change)
    say(world.lead, change)
    again = say(world.other_lead, change)
    assert (again.state, again.run_id) == ("approved", f"change-{change.id}-2"), "a run of its own"
    with writing() as session:
        assert execution.begin(session, SYSTEM, change.id, f"change-{change.id}-2") is not None


def test_what_was_found_before_the_gates_were_evaluated_anew_is_not_of_now(world: World) -> None:
    change = waiting_change(world)
    ci = account("ci", world.viewer)
    report(ci, change, "fail", revision=1)
    with writing() as session:
        recheck_gates(session, world.lead, change.id, reason="mended")
    for _ in ("while they are evaluated", "and afterwards"):
        with pytest.raises(ChangedSinceSeen, match=r"revision 1 .* revision 2 now"):
            report(ci, change, revision=1)
        settled(change)
    report(ci, change, revision=2)
    say(world.lead, change)
    assert report(ci, change, "fail", revision=2).revision == 3
    assert report(ci, change, "pass", revision=2).gates[0]["verdict"] == "pass", (
        "nothing was evaluated anew since"
    )


def test_the_pass_of_an_account_that_was_disabled_since_is_none(world: World) -> None:
    change = waiting_change(world, ", reporters: {tests: [ci]}")
    ci = account("ci", world.viewer)
    report(ci, change)
    say(world.lead, change)
    with writing() as session:
        session.get_one(Person, world.viewer.person_id).disabled_at = clock.now()  # who owns it
    with pytest.raises(errors.GateInconclusive, match="reported by ci, which was disabled since"):
        say(world.other_lead, change)
    with writing() as session:
        session.get_one(Person, world.viewer.person_id).disabled_at = None
    say(world.other_lead, change)
    with writing() as session:
        session.get_one(Person, ci.person_id).disabled_at = clock.now()
        assert execution.begin(session, SYSTEM, change.id, f"change-{change.id}") is None
    assert "reported by ci, which was disabled since" in now(change).outcome


def test_a_way_back_is_promised_of_a_promotion_alone(world: World) -> None:
    with writing() as session:
        put_in_force(session, world, "rules: [{name: rest}]")
    for asked, promised in (
        (Asked("cutoff", "production", "toy", to_cutoff=0.4), False),
        (Asked("rollback", "production", "toy", to_version=2), False),
        (Asked("promote", "production", "toy", to_version=2), True),
    ):
        change = ask(world.engineer, asked)
        with reading() as session:
            assert (change_detail(session, world.viewer, now(change))["way_back"] is not None) == promised
        say(world.lead, change, "reject", comment="next")
