"""Appends from many threads and processes make one gapless log, from the very first entry on."""

from __future__ import annotations

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

from sqlalchemy import select

from backend.audit.tables import AuditEntry, AuditPayload
from backend.audit.verification import verify
from backend.database.session import reading
from tests.integration.audit.conftest import append


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


def assert_whole(size: int) -> None:
    result = verify()
    assert result.ok, result.problem
    assert result.size == size
    assert result.published is not None
    assert result.published.size == size
    with reading() as session:
        objects = session.scalars(select(AuditEntry.object_id)).all()
    assert len(set(objects)) == size


def test_a_leaf_holds_no_personal_data(five: str) -> None:
    with reading() as session:
        leaves = session.scalars(select(AuditEntry.leaf)).all()
        payloads = session.scalars(select(AuditPayload.payload)).all()
    for leaf in leaves:
        assert "Ada" not in leaf
        assert "Lindqvist" not in leaf
        assert "192.0.2.7" not in leaf
        assert "delay model" not in leaf
    assert json.loads(payloads[0])["actor_name"] == "Ada Lindqvist"


def test_equal_payloads_have_different_commitments(five: str) -> None:
    append(1, start=0)
    with reading() as session:
        leaves = [json.loads(leaf) for leaf in session.scalars(select(AuditEntry.leaf))]
        payloads = session.scalars(select(AuditPayload.payload).order_by(AuditPayload.seq)).all()
    assert payloads[0] == payloads[5]
    assert leaves[0]["commitment"] != leaves[5]["commitment"]
