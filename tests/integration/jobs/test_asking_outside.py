"""The external gate asks a system outside by signed requests: once, polled to an answer, inconclusive without one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from backend import clock
from backend.audit.tables import AuditEntry
from backend.database.session import reading, writing
from backend.governance.kinds import Asked
from backend.governance.tables import Change, ExternalCheck
from backend.queue import CHECK_GATES
from backend.settings import settings
from jobs import check_gates
from jobs.check_gates import ask_outside, await_outside, evaluate_gates
from jobs.runtime import Run
from tests.integration.deployment.receiver import SECRET, Receiver, receiver
from tests.integration.governance.conftest import ask, now, put_in_force, say
from tests.integration.jobs.conftest import OwnedRun
from tests.worlds import World, make_world

POLICY = """
rules:
  - name: asked outside
    for: {kinds: [promote]}
    rule: {gates: [{gate: external, parameters: {checks: [ci, fairness], ask: true, wait_s: 60}}]}
  - name: all
    rule: {}
"""
PASS = {"state": "done", "verdict": "pass", "text": "all green", "url": "https://ci.example/1"}


@pytest.fixture
def world(database: str, tmp_path: Path) -> World:
    found = make_world(tmp_path / "files", versions=3)
    with writing() as session:
        put_in_force(session, found, POLICY)
    return found


@pytest.fixture
def outside(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiver() as made:
        monkeypatch.setenv("WARRANT_GATE_URL", made.url)
        monkeypatch.setenv("WARRANT_GATE_SECRET", SECRET)
        monkeypatch.setattr(check_gates, "OUTSIDE_POLL_S", 0.01)
        settings.cache_clear()
        yield made
        assert made.unsigned == 0
    settings.cache_clear()


def run_of(change: Change) -> Run:
    arguments = {"change_id": change.id, "revision": 1}
    return OwnedRun(CHECK_GATES, "gates", f"CHG-{change.id}", arguments, None, "w", 1, "token")


def settle(change: Change, asked_at: str | None) -> Change:
    """The rest of the run: the other gates, the answers, and what is kept."""
    assert asked_at is not None
    found = evaluate_gates(change.id, 1)
    assert found is not None
    await_outside(run_of(change), change.id, 1, asked_at)
    check_gates._settle(run_of(change), change.id, 1, found)
    return now(change)


def promote(world: World) -> Change:
    change = ask(world.engineer, Asked("promote", "production", "toy", 1))
    assert change.state == "checking"
    return change


def test_what_is_answered_is_what_the_gate_says(world: World, outside: Receiver) -> None:
    outside.verdicts = {"ci": PASS, "fairness": PASS | {"text": "gap 0.01"}}
    change = promote(world)
    asked_at = ask_outside(run_of(change), change.id, 1)
    done = settle(change, asked_at)
    (result,) = done.gates
    assert (done.state, result["verdict"]) == ("waiting", "pass")
    assert "ci: all green" in result["text"] and "fairness: gap 0.01" in result["text"]
    document = outside.asked[f"gate-{change.id}-1-ci"]
    assert (document["request_digest"], document["to_version"]) == (change.request_digest, 1)
    assert say(world.lead, done).state == "approved"
    with reading() as session:
        entries = session.scalars(
            select(AuditEntry.object_id).where(AuditEntry.action == "governance:gates:report")
        ).all()
    assert entries == [str(change.id)] * 2


def test_one_that_says_no_stands_in_the_way(world: World, outside: Receiver) -> None:
    outside.verdicts = {"ci": PASS, "fairness": {"state": "done", "verdict": "fail", "text": "gap 0.3"}}
    change = promote(world)
    done = settle(change, ask_outside(run_of(change), change.id, 1))
    assert done.gates[0]["verdict"] == "fail"


def test_a_run_that_is_repeated_asks_under_the_same_key(world: World, outside: Receiver) -> None:
    """As after a kill: the step that was cut short comes again, and one effect is had."""
    outside.verdicts = {"ci": PASS, "fairness": PASS}
    change = promote(world)
    ask_outside(run_of(change), change.id, 1)
    asked_at = ask_outside(run_of(change), change.id, 1)
    assert len(outside.told) == 4 and len(outside.asked) == 2
    assert settle(change, asked_at).gates[0]["verdict"] == "pass"
    assert await_outside(run_of(change), change.id, 1, asked_at or "") == {}, "there is nothing left to ask"


def test_what_it_forgot_is_asked_again(world: World, outside: Receiver) -> None:
    outside.verdicts = {"ci": PASS, "fairness": PASS}
    change = promote(world)
    asked_at = ask_outside(run_of(change), change.id, 1)
    outside.asked.clear()
    assert settle(change, asked_at).gates[0]["verdict"] == "pass"


@pytest.mark.parametrize("silent", [True, False])
def test_without_an_answer_in_time_it_is_inconclusive(
    world: World, outside: Receiver, monkeypatch: pytest.MonkeyPatch, silent: bool
) -> None:
    outside.verdicts = {"ci": PASS} if silent else {"ci": PASS, "fairness": {"state": "done"}}
    change = promote(world)
    ask_outside(run_of(change), change.id, 1)
    done = settle(change, clock.to_iso(clock.now() - timedelta(seconds=61)))
    assert done.gates[0]["verdict"] == "inconclusive"
    assert ("no answer within 60 s" if silent else "without a verdict") in done.gates[0]["text"]
    with reading() as session:
        row = session.scalars(select(ExternalCheck).where(ExternalCheck.name == "fairness")).one()
        assert (row.verdict, row.reported_by) == ("unanswered" if silent else "inconclusive", None)


def test_nobody_is_asked_where_no_address_is_set(world: World) -> None:
    change = promote(world)
    done = settle(change, ask_outside(run_of(change), change.id, 1))
    assert done.gates[0]["verdict"] == "inconclusive"
    assert "WARRANT_GATE_URL" in done.gates[0]["text"]


def test_a_rule_that_does_not_ask_leaves_it_to_reports(world: World, outside: Receiver) -> None:
    with writing() as session:
        put_in_force(session, world, POLICY.replace("ask: true", "ask: false"))
    change = promote(world)
    assert ask_outside(run_of(change), change.id, 1) is None
    assert outside.told == []
