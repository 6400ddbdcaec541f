"""Payloads go when they are no longer kept, but for what is held; the log stays whole and every proof valid."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from backend import clock
from backend.audit.actions import Action
from backend.audit.findings import NOT_STREAMED_IN_TIME, open_findings
from backend.audit.log import record
from backend.audit.merkle import leaf_hash
from backend.audit.proofs import prove_inclusion
from backend.audit.reading import entry_detail
from backend.audit.retention import erase_old_payloads
from backend.audit.streams import streams
from backend.audit.tables import AuditCursor, AuditEntry, AuditPayload
from backend.audit.verification import verify
from backend.database.session import reading, writing
from backend.holds.service import place_hold, release_hold
from backend.identity.actor import Actor, system_actor
from backend.identity.roles import Role
from backend.settings import settings
from tests.worlds import make_world, person

WORKER = system_actor("worker")
COMPLIANCE = Actor("per_viewer", "person", frozenset({Role.COMPLIANCE}))


def enter(number: int, *, kind: str = "change", thing: str = "", **payload: object) -> int:
    with writing() as session:
        return record(
            session, WORKER, Action.CHANGE_APPROVED, object_kind=kind, object_id=thing or number,
            why=f"reason {number}", payload=dict(payload),
        )  # fmt: skip


def age_out(limit: int = 2_000) -> int:
    with writing() as session:
        return erase_old_payloads(session, WORKER, before=clock.now(), limit=limit)


def with_payload() -> list[int]:
    with reading() as session:
        return list(session.scalars(select(AuditPayload.seq).order_by(AuditPayload.seq)))


def test_old_payloads_go_and_every_proof_stays(database: str) -> None:
    for number in range(7):
        enter(number)
    with reading() as session:
        before = [prove_inclusion(session, seq) for seq in range(7)]
    assert age_out(limit=5) == 5
    assert with_payload() == [5, 6, 7]
    assert age_out() == 2
    assert age_out() == 0
    assert with_payload() == [7, 8]  # the two erasures keep their own
    assert verify().ok
    with reading() as session:
        for seq, proof in enumerate(before):
            proof.check()
            after = prove_inclusion(session, seq)
            after.check()
            assert leaf_hash(after.leaf.encode()) == leaf_hash(proof.leaf.encode())
        detail = entry_detail(session, COMPLIANCE, 3)
    assert detail.view.erased.startswith("erased on ")
    assert "proof intact" in detail.view.erased
    assert not detail.view.damaged


def test_young_payloads_stay(database: str) -> None:
    enter(0)
    with writing() as session:
        old = clock.now() - timedelta(days=1)
        assert erase_old_payloads(session, WORKER, before=old) == 0


def test_a_hold_on_the_log_keeps_everything_until_it_is_released(database: str, tmp_path: Path) -> None:
    world = make_world(tmp_path / "files", versions=1)
    with writing() as session:
        hold = place_hold(session, world.compliance, kind="log", object_id="*", reason="a lawsuit")
        hold_id = hold.id
    assert age_out() == 0
    with writing() as session:
        release_hold(session, person(session, "second", Role.COMPLIANCE), hold_id, why="settled")
    assert age_out() > 0
    assert verify().ok


def test_a_hold_on_a_model_keeps_what_is_about_it_or_names_it(database: str, tmp_path: Path) -> None:
    world = make_world(tmp_path / "files", versions=1)
    with writing() as session:
        place_hold(session, world.compliance, kind="log", object_id="toy", reason="an incident")
    about = enter(1, kind="model", thing="toy")
    named = enter(2, kind="window", thing="w1", model="toy")
    other = enter(3, kind="model", thing="toys", model="toys")
    age_out()
    kept = set(with_payload())
    assert {about, named} <= kept
    assert other not in kept
    with reading() as session:
        version = session.scalars(
            select(AuditEntry.seq).where(AuditEntry.action == Action.VERSION_REGISTERED.value)
        ).one()
    assert version in kept
    assert verify().ok


def test_a_hold_on_a_person_keeps_what_they_did(database: str, tmp_path: Path) -> None:
    world = make_world(tmp_path / "files", versions=1)
    with writing() as session:
        place_hold(
            session, world.compliance, kind="person", object_id=world.lead.person_id, reason="a dispute"
        )
        theirs = record(session, world.lead, Action.CHANGE_APPROVED, object_kind="change", object_id=1)
        others = record(session, world.engineer, Action.CHANGE_APPROVED, object_kind="change", object_id=2)
    age_out()
    assert theirs in with_payload()
    assert others not in with_payload()


@pytest.mark.parametrize("limit", [1, 3])
def test_erasing_in_small_steps_names_every_entry_once(database: str, limit: int) -> None:
    for number in range(4):
        enter(number)
    while age_out(limit=limit):
        pass
    assert not set(with_payload()) & set(range(4))
    assert verify().ok


def test_what_a_siem_has_not_taken_waits_a_week_and_a_finding_says_so(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARRANT_AUDIT_STREAMS", "syslog tcp://siem.example:601 cef payload")
    settings.cache_clear()
    name = streams()[0].name
    for number in range(4):
        enter(number)
    with writing() as session:
        session.add(AuditCursor(name=name, next_seq=2, moved_at=clock.now()))
    assert age_out() == 2
    assert {0, 1}.isdisjoint(with_payload())
    assert {2, 3} <= set(with_payload())
    with reading() as session:
        (found,) = [one for one in open_findings(session) if one.kind == NOT_STREAMED_IN_TIME]
    assert (found.subject, found.level) == (name, "page")
    with writing() as session:  # a week later they go, whatever the system does
        erase_old_payloads(session, WORKER, before=clock.now() + timedelta(days=7, seconds=1))
    assert {2, 3}.isdisjoint(with_payload())
    with writing() as session:
        session.get_one(AuditCursor, name).next_seq = 10_000
        erase_old_payloads(session, WORKER, before=clock.now())
    with reading() as session:
        assert [one for one in open_findings(session) if one.kind == NOT_STREAMED_IN_TIME] == []
    assert verify().ok


def test_a_siem_without_payloads_holds_nothing_up(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARRANT_AUDIT_STREAMS", "syslog tcp://siem.example:601 cef")
    settings.cache_clear()
    enter(0)
    assert age_out() >= 1
