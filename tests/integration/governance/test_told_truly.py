"""What is said of changes is so: dry runs, health, repeated decisions, filters, and changes that nobody approved."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import delete, select

from app.components.evidence import unresolved
from app.words import approval_words
from backend import clock
from backend.database.session import reading, writing
from backend.deployment.tables import Deployment
from backend.errors import BadInput
from backend.governance import errors, execution
from backend.governance.ci_gate import gate_answer
from backend.governance.freezes import next_opening
from backend.governance.health import earlier_versions, last_healthy
from backend.governance.kinds import Asked
from backend.governance.move_judgement import judge_move
from backend.governance.policies import Replayed, dry_run
from backend.governance.policy_document import read_policy
from backend.governance.reading import list_changes
from backend.governance.registry_moves import list_moves
from backend.governance.tables import Change, Decision
from backend.identity.tables import Person
from backend.monitoring.tables import MetricPoint
from backend.registry.tables import Model
from tests.integration.governance.conftest import ask, carry_out, now, put_in_force, say
from tests.integration.governance.test_without_decision import smash
from tests.worlds import SYSTEM, World, add_model

STRICT = """
rules:
  - {name: high tier, for: {kinds: [tier], tiers: [high]}, rule: {roles: {ml_lead: 2}}}
  - {name: rest}
"""


def replay(text: str, change: Change) -> Replayed:
    with reading() as session:
        return next(one for one in dry_run(session, SYSTEM, read_policy(text)) if one.change_id == change.id)


def test_a_dry_run_asks_the_rule_of_the_tier_of_the_time(world: World) -> None:
    with writing() as session:
        put_in_force(session, world, "rules: [{name: rest}]")
    change = ask(world.engineer, Asked("tier", "*", "toy", subject={"tier": "high"}))
    say(world.lead, change)
    carry_out(change)
    told = replay(STRICT, change)
    assert (told.would, told.reasons) == ("refused", ("1 of 2 approvals by ml lead",))
    assert replay("rules: [{name: rest}]", change).would == "allowed"


def test_a_dry_run_counts_no_hand_that_is_excluded(world: World) -> None:
    with writing() as session:
        put_in_force(session, world, "rules: [{name: rest}]")
    change = ask(world.engineer, Asked("promote", "production", "toy", to_version=2))
    say(world.lead, change)
    carry_out(change)
    assert replay("rules: [{name: rest}]", change).would == "allowed"
    with writing() as session:
        decision = session.scalars(select(Decision).where(Decision.change_id == change.id)).one()
        decision.on_behalf_of = world.engineer.person_id
    assert replay("rules: [{name: rest}]", change).would == "refused"


def test_a_dry_run_counts_no_approval_that_the_draft_would_not_have_taken(world: World) -> None:
    with writing() as session:
        put_in_force(session, world, "rules: [{name: rest}]")
    change = ask(world.engineer, Asked("promote", "production", "toy", to_version=2))
    say(world.lead, change, comment="")
    carry_out(change)
    late = "rules: [{name: rest, rule: {lifetime_h: 24}}]"
    silent = "rules: [{name: rest, rule: {comment_required_to: [approve, reject]}}]"
    assert replay(late, change).would == "allowed"
    assert replay(silent, change).reasons == ("0 of 1 approvals by ml lead with a comment",)
    with writing() as session:
        decision = session.scalars(select(Decision).where(Decision.change_id == change.id)).one()
        decision.decided_at += timedelta(hours=25)
    assert replay("rules: [{name: rest}]", change).would == "allowed"
    assert replay(late, change).reasons == ("0 of 1 approvals by ml lead within 24 h",)
    account = Person(
        username="bot",
        display_name="Bot",
        kind="service",
        owner_id=world.lead.person_id,
        created_at=clock.now(),
    )
    with writing() as session:
        session.add(account)
        session.flush()
        decision = session.scalars(select(Decision).where(Decision.change_id == change.id)).one()
        decision.person_id = account.id
    assert replay("rules: [{name: rest, rule: {accounts: true}}]", change).would == "allowed"
    assert replay("rules: [{name: rest}]", change).reasons == ("0 of 1 approvals by ml lead of people",)


def test_a_version_with_too_few_judged_windows_is_not_known_to_be_healthy(world: World) -> None:
    with reading() as session:
        newest = last_healthy(earlier_versions(session, SYSTEM, "toy", "production"))
    assert newest is not None and newest.version == 2
    with writing() as session:
        points = session.scalars(select(MetricPoint).order_by(MetricPoint.window_start)).all()
        of_second = [one for one in points if one.window_start.month == 3]
        session.execute(
            delete(MetricPoint).where(MetricPoint.window_id.in_([one.window_id for one in of_second[1:]]))
        )
    with reading() as session:
        found = {one.version: one for one in earlier_versions(session, SYSTEM, "toy", "production")}
    assert (found[2].healthy, found[1].healthy) == (None, True)
    assert "too little is known: realised performance was judged in 1 of its windows" in found[2].because


@pytest.mark.parametrize("role, share", [("champion", 1.0), ("canary", 0.05)])
def test_a_version_that_failed_since_it_served_is_not_proposed(world: World, role: str, share: float) -> None:
    """Such as one that the gateways could not load any more: it never came to serve, and the page would propose it."""
    with writing() as session:
        session.add(
            Deployment(
                model="toy", environment="production", version=2, role=role, share=share, cutoff=0.5, state="failed",
                started_at=clock.now(), ended_at=clock.now(), reason="it could not be loaded",
            )
        )  # fmt: skip
    with reading() as session:
        found = earlier_versions(session, SYSTEM, "toy", "production")
        best = last_healthy(found)
    assert {one.version: one.because for one in found}[2] == "its last deployment failed"
    assert best is not None and best.version == 1


def test_the_same_decision_with_other_words_says_that_it_changed_nothing(world: World) -> None:
    change = ask(world.engineer, Asked("promote", "production", "toy", to_version=2))
    say(world.lead, change, comment="fine")
    say(world.lead, change, comment="fine")
    with pytest.raises(errors.DecidedAlready, match="changed nothing"):
        say(world.lead, change, comment="not so fine")
    assert [one.comment for one in now(change).decisions] == ["fine"]


def test_a_filter_that_names_no_state_is_refused(world: World) -> None:
    with reading() as session:
        with pytest.raises(BadInput, match="not 'bogus'"):
            list_changes(session, world.viewer, states=("bogus",))
        with pytest.raises(BadInput, match="not 'bogus'"):
            list_moves(session, world.viewer, states=("bogus",))
        assert list_changes(session, world.viewer, states=("waiting",)) == []


def test_what_nobody_approved_is_not_counted_in_approvals() -> None:
    change = {"approvals": 0, "approvals_needed": 1, "break_glass": True, "way_back_id": None, "review": None}
    assert approval_words(change) == "nobody approved it: the glass was broken"
    reviewed = {**change, "review": {"verdict": "not_justified"}}
    assert approval_words(reviewed).endswith("a review called it not justified")
    assert approval_words({**change, "break_glass": False, "way_back_id": 3}).startswith(
        "approved in advance"
    )
    assert approval_words({**change, "break_glass": False}) == "0 of 1 approvals"


def test_a_failing_gate_for_information_is_named_on_top() -> None:
    gates = [
        {"gate": "drift_under_bound", "required": False, "verdict": "fail"},
        {"gate": "data_checks_passed", "required": False, "verdict": "pass"},
    ]
    change = {"evidence": {}, "gates": gates, "gates_failed": [], "gates_unclear": []}
    assert unresolved(change) == ["gate drift under bound, for information, failed"]


@pytest.mark.parametrize(
    ("at", "until"),
    [
        ("2026-10-24T17:59", None),
        ("2026-10-24T18:00", "2026-10-25T01:30"),
        ("2026-10-25T00:30", "2026-10-25T01:30"),  # 02:30 for the first time
        ("2026-10-25T00:45", "2026-10-25T01:30"),
        ("2026-10-25T01:15", "2026-10-25T01:30"),
        ("2026-10-25T01:30", None),  # 02:30 for the second time
    ],
)
def test_a_freeze_holds_without_a_gap_when_an_hour_comes_twice(at: str, until: str | None) -> None:
    def moment(text: str) -> datetime:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)

    told = next_opening(("sat 20:00", "sun 02:30"), None, "Europe/Berlin", moment(at))
    assert told == (moment(until) if until else None)


BROKEN = "rules: [{{name: rest, rule: {{break_glass: {{roles: [{}]}}}}}}]"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_dry_run_asks_who_broke_the_glass(world: World) -> None:
    change = carry_out(smash(world.on_call))
    assert replay(BROKEN.format("on_call"), change).would == "allowed"
    told = replay(BROKEN.format("ml_lead"), change)
    assert told.reasons == ("breaking the glass is allowed to: ml lead; who broke it has no such role today",)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_dry_run_takes_no_freeze_for_a_refusal_that_would_have_been_a_wait(world: World) -> None:
    change = ask(world.engineer, Asked("promote", "production", "toy", to_version=2))
    say(world.lead, change)
    carry_out(change)
    begun, over = (f"{clock.now() + timedelta(hours=hours):%Y-%m-%dT%H:%M:%S}" for hours in (-24, 2))

    def told(lifetime_h: int) -> Replayed:
        freeze = f"{{name: still, dates: [{begun}, {over}]}}"
        return replay(
            f"freezes: [{freeze}]\nrules: [{{name: rest, rule: {{lifetime_h: {lifetime_h}}}}}]", change
        )

    held, late = told(72), told(1)
    assert (held.would, len(held.reasons)) == ("allowed", 1)
    assert "the freeze still would have held it until 20" in held.reasons[0]
    assert (late.would, late.reasons) == (
        "refused", ("the freeze still would have held it until its time was over",),
    )  # fmt: skip


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_what_is_approved_and_held_by_a_review_waits_for_pipelines(world: World) -> None:
    add_model(world, "other", versions=2)
    with writing() as session:
        for name in ("toy", "other"):
            session.get_one(Model, name).owner_id = world.lead.person_id
    release = ask(world.engineer, Asked("promote", "production", "other", to_version=1))
    assert say(world.lead, release).state == "approved"
    broken = carry_out(smash(world.on_call))
    with reading() as session:
        found = gate_answer(session, world.viewer, "other", 1, "production")
    assert (found["answer"], len(found["reasons"])) == ("waiting", 1)
    assert f"CHG-{broken.id} broke the glass" in found["reasons"][0]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_move_to_what_is_being_brought_into_service_is_allowed(world: World) -> None:
    change = ask(world.engineer, Asked("promote", "production", "toy", to_version=2))
    say(world.lead, change)
    with writing() as session:
        assert execution.begin(session, SYSTEM, change.id, f"change-{change.id}") is not None
        execution.write_deployment(session, SYSTEM, change.id)
    with reading() as session:
        model = session.get_one(Model, "toy")
        found = judge_move(session, model, alias="champion", to_version=2, at=clock.now())
    assert (found.would_be, found.reasons) == ("allowed", ())
