"""Appends from many threads and processes make one gapless log, from the very first entry on."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest
from sqlalchemy import select

from backend.audit import heads
from backend.audit.actions import Action
from backend.audit.log import record
from backend.audit.tables import AuditEntry, AuditPayload
from backend.audit.verification import verify
from backend.database.session import WriteSession, reading, writing
from backend.identity.actor import system_actor
from tests.integration.audit.conftest import ADA, append


def append_some(worker: int) -> int:
    append(5, start=worker * 100)
    return worker


def test_appends_from_several_threads_are_gapless(database: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(append_some, range(8)))
    assert_whole(40)


def test_appends_from_several_processes_are_gapless(database: str) -> None:
    with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("spawn")) as pool:
        list(pool.map(append_some, range(6)))
    assert_whole(30)


def test_entries_of_one_transaction_follow_each_other_and_what_a_savepoint_took_back_is_gone(
    database: str,
) -> None:
    def add(session: WriteSession, number: int) -> None:
        record(session, ADA, Action.CHANGE_APPROVED, object_kind="change", object_id=number)

    with writing() as session:
        add(session, 0)
        add(session, 1)
        with pytest.raises(ZeroDivisionError), session.begin_nested():
            add(session, 99)
            raise ZeroDivisionError
        with session.begin_nested():
            add(session, 2)
        add(session, 3)
    with pytest.raises(ZeroDivisionError), writing() as session:
        add(session, 99)
        raise ZeroDivisionError
    with writing() as session:
        add(session, 4)
    assert_whole(5)
    with reading() as session:
        said = session.scalars(select(AuditEntry.object_id).order_by(AuditEntry.seq)).all()
    assert list(said) == ["0", "1", "2", "3", "4"]


def assert_whole(size: int) -> None:
    result = verify()
    assert result.ok, result.problem
    assert result.size == size
    assert result.published is not None
    assert result.published.size == size
    with reading() as session:
        objects = session.scalars(select(AuditEntry.object_id)).all()
    assert len(set(objects)) == size


def test_a_process_asleep_with_the_published_head_holds_up_no_commit(
    five: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "PATIENCE_S", 0.05)
    with heads.head_path().with_suffix(".lock").open("a") as asleep:
        fcntl.flock(asleep, fcntl.LOCK_EX)
        for number in (5, 6):
            with writing() as session:
                record(session, ADA, Action.CHANGE_APPROVED, object_kind="change", object_id=number)
        behind = verify()
        assert behind.ok, behind.problem
        assert (behind.size, behind.published and behind.published.size) == (7, 5)
    with writing() as session:
        record(session, ADA, Action.CHANGE_APPROVED, object_kind="change", object_id=7)
    assert_whole(8)


def test_a_leaf_holds_no_personal_data(five: str) -> None:
    with reading() as session:
        leaves = session.scalars(select(AuditEntry.leaf)).all()
        payloads = session.scalars(select(AuditPayload.payload)).all()
    for leaf in leaves:
        assert "Ada" not in leaf
        assert "Lindqvist" not in leaf
        assert "192.0.2.7" not in leaf
        assert "delay model" not in leaf
    for payload in payloads:
        assert "Lindqvist" not in payload
        assert "192.0.2.7" not in payload
        assert json.loads(payload)["actor_name"]["sealed_for"] == "per_ada"


def test_equal_payloads_have_different_commitments(five: str) -> None:
    with writing() as session:
        for _ in range(2):
            record(session, system_actor("worker"), Action.SAMPLE_DRAWN, object_kind="log", object_id="1")
    with reading() as session:
        leaves = [
            json.loads(leaf) for leaf in session.scalars(select(AuditEntry.leaf).order_by(AuditEntry.seq))
        ]
        payloads = session.scalars(select(AuditPayload.payload).order_by(AuditPayload.seq)).all()
    assert payloads[5] == payloads[6]
    assert leaves[5]["commitment"] != leaves[6]["commitment"]
