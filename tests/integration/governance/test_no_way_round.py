"""No way round the rule: by naming a place, by another asker, by an account, by an exception, by the other tier."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from backend import clock
from backend.assurance.exceptions import ask_exception, decide_exception
from backend.data_rights.requests import request_rows
from backend.database.session import reading, writing
from backend.errors import BadInput, Conflict, NotAllowed
from backend.governance import execution
from backend.governance.asking import preview_change, request_change, signed_digest
from backend.governance.gates import unanswered
from backend.governance.kinds import Asked
from backend.governance.policies import dry_run
from backend.governance.policy_document import read_policy
from backend.governance.policy_rules import GateRule
from backend.governance.reading import snapshot_of
from backend.governance.settling import recheck_gates, settle_gates
from backend.governance.tables import Change, ExternalCheck
from backend.governance.urgent import open_way_back, take_way_back, way_back_digest, way_back_view
from backend.governance.views import change_detail
from backend.identity.actor import Actor
from backend.identity.roles import Role
from backend.identity.tables import Person
from backend.registry.service import register_model
from backend.registry.tables import Model
from tests.integration.governance.conftest import ask, carry_out, now, put_in_force, say
from tests.worlds import SYSTEM, World, person, set_tier

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
PROMOTE = Asked("promote", "production", "toy", 1)
BY_PLACE = """
rules:
  - {name: staging, for: {environments: [staging]}, rule: {roles: {ml_lead: 1}}}
  - {name: rest, rule: {roles: {ml_lead: 2, compliance: 1}, only_by_change: true}}
"""
GATED = "rules: [{name: gated, rule: {roles: {ml_lead: 1, compliance: 1}, gates: [{gate: external}]}}]"
BUDGET = {"pages_per_quarter": 50.0, "rota": "", "rota_pages_per_shift": 2.0}


def govern(world: World, text: str) -> None:
    with writing() as session:
        put_in_force(session, world, text)


def account_of(owner: Actor, name: str, *roles: Role) -> Actor:
    with writing() as session:
        made = person(session, name, *roles)
        row = session.get_one(Person, made.person_id)
        row.kind, row.owner_id = "service", owner.person_id
    return replace(made, kind="service", acting_for=owner.person_id)


def rule_of(change: Change) -> tuple[str, dict[str, int]]:
    return change.environment, now(change).policy["roles"]


# A data subject's request


@pytest.mark.parametrize("kind", ["access", "erase"])
def test_a_data_request_is_asked_for_once_by_who_may_and_under_the_rules_of_every_place(
    world: World, kind: str
) -> None:
    govern(world, BY_PLACE)
    with writing() as session:
        made = request_rows(
            session, world.compliance, kind=kind, model="toy", prediction_ids=["p1"], reason="they wrote"
        )
    with reading() as session:
        change = session.get_one(Change, made.change_id)
    assert rule_of(change) == ("*", {"ml_lead": 2, "compliance": 1})
    again = Asked(kind, "staging", "toy", subject={"request": made.id})
    with reading() as session, pytest.raises(NotAllowed, match="data:request:make"):
        preview_change(session, world.lead, again)
    for asker in (world.lead, world.compliance):
        with reading() as session:
            seen = preview_change(session, world.compliance, again).digest
        with writing() as session, pytest.raises((BadInput, NotAllowed)) as refused:
            request_change(session, asker, again, reason="again", seen_digest=seen)
        assert asker is world.compliance or "Data rights" in refused.value.message


def test_another_change_of_the_same_data_request_carries_nothing_out(world: World) -> None:
    from backend.data_rights.requests import request_of

    with writing() as session:
        made = request_rows(
            session, world.compliance, kind="access", model="toy", prediction_ids=["p1"], reason="they wrote"
        )
    with reading() as session:
        change = session.get_one(Change, made.change_id)
        assert request_of(session, change).id == made.id
        other = Change(id=change.id + 1, subject=change.subject)
        with pytest.raises(Conflict, match="another change"):
            request_of(session, other)


# The false-alarm budget


def test_the_false_alarm_budget_is_under_the_rules_of_every_place(world: World) -> None:
    govern(world, BY_PLACE)
    change = ask(world.engineer, Asked("monitor", "staging", "toy", subject={"budget": BUDGET}))
    assert rule_of(change) == ("*", {"ml_lead": 2, "compliance": 1})
    assert say(world.lead, change).state == "waiting"
    say(world.other_lead, change)
    assert say(world.compliance, change).state == "approved"
    assert carry_out(change).state == "executed"


# Accounts


def test_no_account_decides_unless_the_rule_says_so(world: World) -> None:
    bot = account_of(world.lead, "bot", Role.ML_LEAD)
    change = ask(world.engineer, PROMOTE)
    for verdict in ("approve", "reject", "ask"):
        with pytest.raises(NotAllowed, match=r"people decide on CHG-.*`accounts: true`"):
            say(bot, change, verdict, comment="by itself")
    with writing() as session:
        session.get_one(Change, change.id).state = "cancelled"
    govern(world, "rules: [{name: all, rule: {accounts: true}}]")
    assert say(bot, ask(world.engineer, PROMOTE)).state == "approved"


# Exceptions from a gate


def refused_by_gate(world: World, asker: Actor) -> Change:
    change = ask(asker, PROMOTE)
    with writing() as session:
        failed = unanswered(GateRule(gate="external"), "ci: broken").as_dict() | {"verdict": "fail"}
        settle_gates(session, SYSTEM, change.id, revision=change.revision, results=[failed], flips=None)
    return now(change)


def grant(by: Actor, asker: Actor, gate: str = "external") -> int:
    with writing() as session:
        number = ask_exception(
            session, asker, model="toy", gate=gate, reason="CI is down", expires_at=clock.now() + timedelta(days=9)
        ).id  # fmt: skip
    with writing() as session:
        decide_exception(session, by, number, verdict="grant", comment="until it is back")
    return number


def test_no_account_asks_for_or_decides_on_an_exception(world: World) -> None:
    bot, robot = (
        account_of(world.engineer, "bot", Role.ML_ENGINEER),
        account_of(world.lead, "robot", Role.ML_LEAD),
    )
    with pytest.raises(NotAllowed, match="people ask for exceptions"):
        grant(world.lead, bot)
    with pytest.raises(NotAllowed, match="people decide on exceptions"):
        grant(robot, world.engineer)


def test_whom_an_open_change_excludes_grants_it_no_exception(world: World) -> None:
    govern(world, GATED)
    change = refused_by_gate(world, world.lead)
    with pytest.raises(NotAllowed, match=f"would let CHG-{change.id} past external, and you asked for"):
        grant(world.lead, world.engineer)


def test_an_exception_is_signed_with_the_change_and_shown_again_with_it(world: World) -> None:
    govern(world, GATED)
    change = refused_by_gate(world, world.engineer)
    number = grant(world.compliance, world.engineer)
    after = now(change)
    assert after.digest not in ("", change.digest)
    assert after.digest == signed_digest(after)
    with pytest.raises(Conflict, match="changed since you looked"), writing() as session:
        from backend.governance.deciding import decide

        decide(session, world.lead, change.id, verdict="approve", comment="", seen_digest=change.digest)
    say(world.lead, change)
    assert say(world.compliance, change).state == "approved"
    with reading() as session:
        shown = snapshot_of(session, world.viewer, change.id, after.digest)
    (result,) = shown["gates"]
    assert (result["verdict"], result["exception"]["id"], result["exception"]["decided_by"]) == (
        "fail", number, world.compliance.person_id,
    )  # fmt: skip
    assert (shown["requested_by"], shown["trained_by"]) == (world.engineer.person_id, after.trained_by)
    with writing() as session:
        assert execution.begin(session, SYSTEM, change.id, f"change-{change.id}") is not None


def test_an_exception_of_ones_own_granting_counts_for_no_change_of_ones_own(world: World) -> None:
    govern(world, GATED)
    grant(world.lead, world.engineer)
    change = refused_by_gate(world, world.lead)
    assert "exception" not in change.gates[0]
    with pytest.raises(Conflict, match="external failed"):
        say(world.other_lead, change)
    with reading() as session:
        (told,) = change_detail(session, world.viewer, now(change))["exceptions"]
    assert told["not_here"] == "it does not count here: the rule of this change excludes who granted it"


def test_an_exception_granted_after_a_decision_counts_once_the_gates_are_evaluated_again(
    world: World,
) -> None:
    govern(world, GATED)
    change = ask(world.engineer, PROMOTE)
    unclear = unanswered(GateRule(gate="external"), "ci has not reported").as_dict()
    with writing() as session:
        settle_gates(session, SYSTEM, change.id, revision=1, results=[unclear], flips=None)
    say(world.lead, change, accept=("external",), comment="I looked")
    signed = now(change).digest
    number = grant(world.compliance, world.engineer)
    assert now(change).digest == signed, "what somebody has signed stays what it was"
    with reading() as session:
        (told,) = change_detail(session, world.viewer, now(change))["exceptions"]
    assert "evaluated again" in told["not_here"]
    with writing() as session:
        recheck_gates(session, world.engineer, change.id, reason="for the exception")
    with writing() as session:
        settle_gates(session, SYSTEM, change.id, revision=2, results=[unclear], flips=None)
    assert now(change).gates[0]["exception"]["id"] == number
    assert now(change).counted == []


# Tiers


def move(world: World, before: str, after: str) -> Change:
    with writing() as session:
        set_tier(session, "toy", before)
    return ask(world.engineer, Asked("tier", "*", "toy", subject={"tier": after}))


def test_a_move_between_tiers_is_under_the_rules_of_both(world: World) -> None:
    govern(
        world,
        """
rules:
  - {name: way out, for: {tiers: [prohibited], kinds: [tier]}, rule: {roles: {ml_lead: 2, compliance: 1}}}
  - {name: low ones, for: {tiers: [low], kinds: [tier]}, rule: {roles: {compliance: 2}}}
  - {name: rest, rule: {roles: {ml_lead: 1}}}
""",
    )
    for before, after, roles in (
        ("prohibited", "low", {"ml_lead": 2, "compliance": 2}), ("low", "prohibited", {"ml_lead": 2, "compliance": 2}),
        ("prohibited", "high", {"ml_lead": 2, "compliance": 1}), ("high", "medium", {"ml_lead": 1}),
    ):  # fmt: skip
        change = move(world, before, after)
        assert change.policy["roles"] == roles, (before, after)
        with writing() as session:
            session.get_one(Change, change.id).state = "cancelled"


def test_a_rule_that_lets_nothing_prohibited_serve_holds_no_model_in_its_tier(world: World) -> None:
    govern(
        world,
        """
rules:
  - {name: never, for: {tiers: [prohibited]}, rule: {allowed: false, because: it may not serve}}
  - {name: rest, rule: {roles: {ml_lead: 1}}}
""",
    )
    assert move(world, "prohibited", "low").policy["name"] == "rest"


# Returns agreed in advance


def frozen(except_kinds: str) -> str:
    """A policy that is frozen now, but for these kinds."""
    begin, end = ((clock.now() + timedelta(days=days)).date().isoformat() for days in (-9, 9))
    dates = f"[{begin}T00:00:00, {end}T00:00:00]"
    return f"freezes: [{{name: still, dates: {dates}, except_kinds: {except_kinds}}}]\nrules: [{{name: all}}]"


def promoted(world: World) -> int:
    carry_out(say(world.lead, ask(world.engineer, PROMOTE)))
    with reading() as session:
        way = open_way_back(session, world.on_call, "toy", "production")
    assert way is not None
    return way.id


def take(world: World, number: int) -> Change:
    from backend.governance.tables import WayBack

    with writing() as session:
        way = session.get_one(WayBack, number)
        return take_way_back(session, world.on_call, number, reason="worse", seen_digest=way_back_digest(way))


def test_a_freeze_that_excepts_no_return_holds_one_that_was_agreed(world: World) -> None:
    number = promoted(world)
    govern(world, frozen("[policy]"))
    with pytest.raises(Conflict, match="the freeze still excepts no return until"):
        take(world, number)
    with reading() as session:
        told = way_back_view(session, world.on_call, "toy", "production")
    assert told is not None
    assert "freeze still" in told["differs"][0]
    govern(world, frozen("[rollback]"))
    assert carry_out(take(world, number)).state == "executed"


def test_a_dry_run_asks_of_an_agreed_return_whether_the_draft_agrees_on_it(world: World) -> None:
    carry_out(take(world, promoted(world)))

    def told(text: str) -> tuple[str, tuple[str, ...]]:
        with reading() as session:
            newest = dry_run(session, world.viewer, read_policy(text))[0]
        return newest.would, newest.reasons

    assert told("rules: [{name: all, rule: {roles: {ml_lead: 3}}}]") == ("allowed", ())
    would, (why,) = told("rules: [{name: all, rule: {way_back_days: 0}}]")
    assert (would, "agrees on no return" in why) == ("refused", True)
    would, (why,) = told(frozen("[policy]"))
    assert (would, why) == ("refused", "frozen then: still")


def test_reports_on_an_excepted_gate_keep_the_exception(world: World) -> None:
    from backend.governance.external_checks import report_check

    govern(world, GATED)
    change = refused_by_gate(world, world.engineer)
    number = grant(world.compliance, world.engineer)
    ci = account_of(world.viewer, "ci", Role.ML_ENGINEER)
    with writing() as session:
        report_check(
            session, ci, change.id, "ci", verdict="fail", text="still broken", url="",
            seen_digest=change.request_digest, revision=change.revision,
        )  # fmt: skip
    with reading() as session:
        assert session.query(ExternalCheck).count() == 1
    assert now(change).gates[0]["exception"]["id"] == number


def test_what_a_draft_can_hardly_mean_here_is_part_of_what_is_signed(world: World) -> None:
    draft = """
rules:
  - {name: typo, for: {environments: [prodution], kinds: [promote]}}
  - {name: crowd, for: {kinds: [promote]}, rule: {roles: {ml_lead: 7}}}
  - {name: asked, for: {kinds: [cutoff]}, rule: {gates: [{gate: external, parameters: {ask: true}}]}}
  - {name: rest, rule: {roles: {ml_lead: 1, compliance: 1}}}
"""
    change = ask(world.engineer, Asked("policy", "*", subject={"document": draft}))
    typo, crowd, asked = change.evidence["cautions"]
    assert "prodution, where nothing serves" in typo
    assert "production may be meant" in typo
    assert "under 'crowd' nothing could be approved: that needs 7 ml lead beside who asks" in crowd
    assert "WARRANT_GATE_URL is not set" in asked


def test_registering_a_model_again_moves_its_tier_nowhere(world: World) -> None:
    with reading() as session:
        toy = session.get_one(Model, "toy")
        texts = {"name": "toy", "title": "Toys", "description": "", "spec": toy.spec}
    with pytest.raises(Conflict, match="change of kind tier"), writing() as session:
        register_model(session, world.engineer, tier="low", **texts)
    with writing() as session:
        assert register_model(session, world.engineer, tier="medium", **texts).title == "Toys"
