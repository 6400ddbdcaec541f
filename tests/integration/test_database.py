"""The one commit, the read session that cannot write, and a job that vanishes with its transaction."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DatabaseError

from backend.audit import heads
from backend.audit.actions import Action
from backend.audit.log import record
from backend.audit.tables import AuditEntry, AuditHead
from backend.database.engine import WRITERS, use_database
from backend.database.engine import database as database_of
from backend.database.session import reading, writing
from backend.database.upgrade import upgrade
from backend.identity.actor import system_actor
from backend.queue import COMPUTE_METRICS, JobRun, request_job

WORKER = system_actor("worker")


def test_upgrading_twice_changes_nothing(database: str) -> None:
    with writing() as session:
        record(session, WORKER, Action.SAMPLE_DRAWN, object_kind="log", object_id=1)
    upgrade()
    with reading() as session:
        assert [entry.seq for entry in session.scalars(select(AuditEntry))] == [0]


def test_a_failure_leaves_neither_entry_nor_job_nor_head(database: str) -> None:
    with pytest.raises(RuntimeError, match="halfway"), writing() as session:
        record(session, WORKER, Action.SAMPLE_DRAWN, object_kind="log", object_id=1)
        request_job(session, COMPUTE_METRICS, run_id="run_a")
        raise RuntimeError("halfway")
    with reading() as session:
        assert session.scalars(select(AuditEntry)).all() == []
        assert session.scalars(select(JobRun)).all() == []
    assert heads.read_head() is None


def test_what_a_savepoint_took_back_is_no_head(database: str) -> None:
    """The log would look cut to whoever holds it against a head that was never committed."""

    def append(*, take_back: bool) -> None:
        with suppress(RuntimeError), session.begin_nested():
            record(session, WORKER, Action.SAMPLE_DRAWN, object_kind="log", object_id=1)
            if take_back:
                raise RuntimeError("halfway")

    for plan in ((True,), (False, True), (True, False), (False, True, True)):
        with writing() as session:
            for take_back in plan:
                append(take_back=take_back)
        with reading() as session:
            kept = session.scalars(select(AuditHead)).one_or_none()
        head = heads.read_head()
        assert (head is None) == (kept is None or kept.size == 0), plan
        if head is not None and kept is not None:
            assert (head.size, head.root) == (kept.size, kept.root), plan


def test_a_read_session_cannot_write(database: str) -> None:
    with reading() as session:
        session.add(AuditEntry(seq=0, leaf="{}", leaf_hash=""))
        with pytest.raises(DatabaseError):
            session.flush()


def test_a_read_on_the_server_leaves_no_transaction_behind_it(database: str) -> None:
    """Each statement by itself: no BEGIN before it, no ROLLBACK after it, and nothing that holds back a vacuum."""
    if database == "sqlite":
        return
    from psycopg.pq import TransactionStatus

    with reading() as session:
        session.execute(select(AuditEntry.seq)).all()
        raw = session.connection().connection.driver_connection
        assert raw is not None
        assert raw.info.transaction_status == TransactionStatus.IDLE
        assert session.execute(text("SHOW default_transaction_read_only")).scalar_one() == "on"


def test_what_was_committed_is_on_disk_before_anybody_is_told(database: str) -> None:
    if database == "sqlite":
        with database_of().write_engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2  # FULL
        return
    with (
        database_of().write_engine.begin() as connection
    ):  # the server of the tests waits for no disk by itself
        name = connection.exec_driver_sql("SELECT current_database()").scalar_one()
        connection.exec_driver_sql(f'ALTER DATABASE "{name}" SET synchronous_commit = on')
    database_of().dispose()
    for number in range(20):
        with writing() as session:
            record(session, WORKER, Action.SAMPLE_DRAWN, object_kind="log", object_id=number)
            written = session.execute(text("SELECT pg_current_wal_insert_lsn()::text")).scalar_one()
        with reading() as session:
            beyond = text("SELECT pg_wal_lsn_diff(pg_current_wal_flush_lsn(), CAST(:written AS pg_lsn))")
            assert session.execute(beyond, {"written": written}).scalar_one() > 0


def test_many_who_write_at_once_are_all_on_record_in_one_order(database: str) -> None:
    writers, each = 12, 4

    def write(name: int) -> None:
        for number in range(each):
            with writing() as session:
                record(session, WORKER, Action.SAMPLE_DRAWN, object_kind="log", object_id=f"{name}-{number}")

    with ThreadPoolExecutor(writers) as threads:
        list(threads.map(write, range(writers)))
    with reading() as session:
        entries = session.scalars(select(AuditEntry).order_by(AuditEntry.seq)).all()
    assert [entry.seq for entry in entries] == list(range(writers * each))
    head = heads.read_head()
    assert head is not None and head.size == writers * each


def test_a_write_inside_a_write_waits_for_no_turn(home: Path) -> None:
    """As many as may write at a time hold their turns, and wait for a write that has none."""
    upgrade()
    with ExitStack() as held:
        for _ in range(WRITERS):
            held.enter_context(writing())
        with writing() as session:
            record(session, WORKER, Action.SAMPLE_DRAWN, object_kind="log", object_id=1)
    use_database(None)
    with reading() as session:
        assert len(session.scalars(select(AuditEntry)).all()) == 1
