"""The one commit, the read session that cannot write, and a job that vanishes with its transaction."""

from __future__ import annotations

import pytest
from sqlalchemy import select
from sqlalchemy.exc import DatabaseError

from backend.audit import heads
from backend.audit.actions import Action
from backend.audit.log import record
from backend.audit.tables import AuditEntry
from backend.database.session import reading, writing
from backend.database.upgrade import upgrade
from backend.identity.actor import system_actor
from backend.queue import COMPUTE_METRICS, JobRun, request_job

WORKER = system_actor("worker")


def test_upgrading_twice_changes_nothing(database: str) -> None:
    with writing() as session:
        record(session, WORKER, Action.LOG_OPENED, object_kind="log", object_id=1)
    upgrade()
    with reading() as session:
        assert [entry.seq for entry in session.scalars(select(AuditEntry))] == [0]


def test_a_failure_leaves_neither_entry_nor_job_nor_head(database: str) -> None:
    with pytest.raises(RuntimeError, match="halfway"), writing() as session:
        record(session, WORKER, Action.LOG_OPENED, object_kind="log", object_id=1)
        request_job(session, COMPUTE_METRICS, run_id="run_a")
        raise RuntimeError("halfway")
    with reading() as session:
        assert session.scalars(select(AuditEntry)).all() == []
        assert session.scalars(select(JobRun)).all() == []
    assert heads.read_head() is None


def test_a_read_session_cannot_write(database: str) -> None:
    with reading() as session:
        session.add(AuditEntry(seq=0, leaf="{}", leaf_hash=""))
        with pytest.raises(DatabaseError):
            session.flush()
