"""A world with a policy that names no gate, so that changes go straight to those who decide."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from backend import clock
from backend.database.session import WriteSession, reading, writing
from backend.governance import execution
from backend.governance.asking import preview_change, request_change
from backend.governance.deciding import decide
from backend.governance.kinds import Asked
from backend.governance.policies import store_policy
from backend.governance.policy_document import read_policy
from backend.governance.tables import Change
from backend.identity.actor import Actor
from tests.worlds import SYSTEM, World, make_world

UNGATED = """
rules:
  - name: back
    for: {kinds: [rollback]}
    rule: {break_glass: {roles: [on_call], kinds: [rollback], review_within_h: 24}}
  - name: the policy
    for: {kinds: [policy, tier, observe, retire]}
    rule: {roles: {ml_lead: 1, compliance: 1}}
  - name: forth
    rule: {way_back_days: 14}
"""


@pytest.fixture
def world(database: str, tmp_path: Path) -> World:
    found = make_world(tmp_path / "files", versions=3)
    with writing() as session:
        put_in_force(session, found, UNGATED)
    return found


_AHEAD = [timedelta()]


@pytest.fixture
def moving_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that `pass_hours` sets ahead: what was done gets older, by the log, too."""
    real, _AHEAD[0] = clock.now, timedelta()
    monkeypatch.setattr(clock, "now", lambda: real() + _AHEAD[0])


def pass_hours(hours: float) -> None:
    """So many hours have passed since the test began. Needs `moving_clock`."""
    _AHEAD[0] = timedelta(hours=hours)


def put_in_force(session: WriteSession, world: World, text: str) -> int:
    """Another revision of the policy, as an executed change of it leaves it."""
    change = Change(
        kind="policy", environment="*", subject={}, summary="a policy", requested_by=world.lead.person_id,
        requested_at=clock.now(), reason="for a test", policy={"roles": {}}, bound={}, gates=[], evidence={},
        request_digest="", digest="", expires_at=clock.now(), state="executed",
    )  # fmt: skip
    session.add(change)
    session.flush()
    return store_policy(session, SYSTEM, read_policy(text), change_id=change.id, note="for a test")


def ask(actor: Actor, asked: Asked) -> Change:
    """As the page does: preview, then post the digest that was seen."""
    with reading() as session:
        seen = preview_change(session, actor, asked).digest
    with writing() as session:
        return request_change(session, actor, asked, reason="because", seen_digest=seen)


def say(
    actor: Actor, change: Change, verdict: str = "approve", *, comment: str = "", accept: tuple[str, ...] = ()
) -> Change:
    """A decision on what the change is now."""
    with reading() as session:
        digest = session.get_one(Change, change.id).digest
    with writing() as session:
        return decide(
            session, actor, change.id, verdict=verdict, comment=comment, seen_digest=digest, accept=accept
        )


def carry_out(change: Change) -> Change:
    """What the worker does, without gateways: begin, write the record, finish."""
    with writing() as session:
        plan = execution.begin(session, SYSTEM, change.id, f"change-{change.id}")
        assert plan is not None, session.get_one(Change, change.id).outcome
        if plan.rollout is None:
            execution.apply_record(session, SYSTEM, change.id)
        else:
            opened = execution.write_deployment(session, SYSTEM, change.id)
            execution.finish(session, SYSTEM, change.id, opened, outcome="served")
    return now(change)


def now(change: Change) -> Change:
    with reading() as session:
        return session.get_one(Change, change.id)
