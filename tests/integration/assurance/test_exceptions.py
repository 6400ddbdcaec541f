"""An exception lets one model past one gate, for a time, on somebody else's word; then at once no more."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import update

from backend import clock
from backend.assurance.exceptions import (
    OwnException,
    ask_exception,
    decide_exception,
    end_exception,
    excepted_gates,
)
from backend.assurance.tables import PolicyException
from backend.database.session import reading, writing
from backend.errors import BadInput, Conflict, NotAllowed
from backend.governance import errors, execution
from backend.governance.gates import Result
from backend.governance.kinds import Asked
from backend.governance.reading import get_change
from backend.governance.settling import settle_gates
from backend.governance.tables import Change
from backend.governance.views import change_detail
from backend.identity.actor import Actor
from tests.integration.assurance.conftest import entries, validate
from tests.integration.assurance.test_validations import asked_gate
from tests.integration.governance.conftest import ask, now, put_in_force, say
from tests.worlds import SYSTEM, World

GATED = "rules: [{name: all, rule: {gates: [{gate: findings_settled}]}}]"


def excepted(who: Actor, by: Actor | None, *, days: float = 7) -> PolicyException:
    with writing() as session:
        made = ask_exception(
            session, who, model="toy", gate="findings_settled", reason="the validator is ill",
            expires_at=clock.now() + timedelta(days=days),
        )  # fmt: skip
    if by is not None:
        with writing() as session:
            return decide_exception(session, by, made.id, verdict="grant", comment="until next week")
    return made


def counts() -> bool:
    with reading() as session:
        return "findings_settled" in excepted_gates(session, "toy")


def failed_change(world: World) -> Change:
    """A promotion whose required gate has failed: the version was found unfit."""
    with writing() as session:
        put_in_force(session, world, GATED)
    validate(world.compliance, version=1, outcome="not_fit")
    change = ask(world.engineer, Asked("promote", "production", "toy", to_version=1))
    with writing() as session:
        result = Result(
            "findings_settled", "Findings settled", True, "", asked_gate(version=1), clock.now()
        ).as_dict()
        assert result["verdict"] == "fail"
        settle_gates(session, SYSTEM, change.id, revision=1, results=[result], flips=None)
    return now(change)


def expire() -> None:
    with writing() as session:
        session.execute(update(PolicyException).values(expires_at=clock.now() - timedelta(seconds=1)))


def test_it_counts_only_once_somebody_else_granted_it(world: World) -> None:
    made = excepted(world.lead, None)
    assert not counts()
    with pytest.raises(OwnException), writing() as session:
        decide_exception(session, world.lead, made.id, verdict="grant", comment="mine")
    with pytest.raises(NotAllowed), writing() as session:
        decide_exception(session, world.engineer, made.id, verdict="grant", comment="no right")
    with writing() as session:
        decide_exception(session, world.compliance, made.id, verdict="grant", comment="so be it")
    assert counts()
    with pytest.raises(Conflict, match="granted already"):
        excepted(world.engineer, None)
    actions = [one.action for one in entries(world, "assurance:exception")]
    assert actions == ["assurance:exception:grant", "assurance:exception:ask"]


def test_without_one_a_failed_gate_stands_and_with_one_it_does_not(world: World) -> None:
    change = failed_change(world)
    with pytest.raises(errors.GateFailed):
        say(world.lead, change)
    made = excepted(world.engineer, world.compliance)
    with reading() as session:
        shown = change_detail(session, world.lead, get_change(session, world.lead, change.id))
    assert [one["ref"] for one in shown["exceptions"]] == [f"EXC-{made.id}"]
    assert (shown["gates_failed"], shown["gates_excepted"]) == ([], ["findings_settled"])
    assert say(world.lead, change).state == "approved"
    (entry,) = entries(world, "governance:change:approve")
    assert entry.payload is not None
    assert entry.payload["exceptions"] == {"findings_settled": made.id}
    with writing() as session:
        assert execution.begin(session, SYSTEM, change.id, f"change-{change.id}") is not None


def test_one_that_expires_before_the_execution_lets_nothing_through(world: World) -> None:
    change = failed_change(world)
    excepted(world.engineer, world.compliance)
    say(world.lead, change)
    expire()
    with writing() as session:
        assert execution.begin(session, SYSTEM, change.id, f"change-{change.id}") is None
    ended = now(change)
    assert ended.state == "void"
    assert "findings_settled has not passed" in ended.outcome


def test_an_expired_or_ended_one_stops_counting_at_once(world: World) -> None:
    made = excepted(world.engineer, world.compliance)
    with writing() as session:
        end_exception(session, world.lead, made.id, why="the validator is back")
    assert not counts()
    excepted(world.engineer, world.compliance)
    assert counts()
    expire()
    assert not counts()


def test_an_expired_one_takes_no_decision(world: World) -> None:
    made = excepted(world.engineer, None)
    expire()
    with pytest.raises(Conflict, match="expired"), writing() as session:
        decide_exception(session, world.compliance, made.id, verdict="grant", comment="late")


def test_one_without_end_or_from_no_gate_is_refused(world: World) -> None:
    with pytest.raises(BadInput, match="366 days"):
        excepted(world.engineer, None, days=400)
    with pytest.raises(BadInput, match="no gate"), writing() as session:
        ask_exception(
            session, world.engineer, model="toy", gate="luck", reason="so",
            expires_at=clock.now() + timedelta(days=1),
        )  # fmt: skip


def test_a_promise_under_an_exception_is_not_known_to_hold(world: World) -> None:
    from backend.governance.conditions import evaluate_conditions
    from backend.governance.tables import Condition
    from tests.integration.governance.conftest import carry_out

    with writing() as session:
        put_in_force(session, world, "rules: [{name: all, rule: {conditions: [{gate: findings_settled}]}}]")
    change = carry_out(
        say(world.lead, ask(world.engineer, Asked("promote", "production", "toy", to_version=1)))
    )
    validate(world.compliance, version=1, outcome="not_fit")
    with reading() as session:
        assert session.query(Condition).count() == 1
        assert [one.state for one in evaluate_conditions(session, "toy")] == ["broken"]
    excepted(world.engineer, world.compliance)
    with reading() as session:
        assert [one.state for one in evaluate_conditions(session, "toy")] == ["unknown"]
    assert change.state == "executed"
