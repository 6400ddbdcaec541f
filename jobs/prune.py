"""Deletes what nobody needs any more: finished runs and their workflow rows, old sign-in attempts, dead beats."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from sqlalchemy import delete, select

from backend import clock
from backend.database.session import WriteSession, writing
from backend.governance.service import expire_late_changes
from backend.identity.tables import IdempotencyKey
from backend.identity.throttle import prune_attempts
from backend.queue import MIRROR_REGISTRY, PRUNE, READ_SLI, JobRun, WorkerBeat
from jobs.ownership import record_tables, workflow_table
from jobs.runtime import Run, workflow

STEPS = ("delete_runs", "delete_attempts", "expire_changes")

KEEP_RUNS: Final = timedelta(days=30)
# These run every half minute to minute; only their last result matters, and failures are kept as long as others.
KEEP_ROUTINE: Final = timedelta(hours=1)
ROUTINE: Final = (READ_SLI.name, MIRROR_REGISTRY.name)
KEEP_ANSWERS: Final = timedelta(days=2)
KEEP_BEATS: Final = timedelta(days=1)
BATCH: Final = 500


@workflow(PRUNE)
def prune(run: Run) -> None:
    """Delete in small transactions, so that nobody waits for the database."""
    run.progress(0.1, "deleting old runs")
    deleted = run.step("delete_runs", delete_runs)
    run.progress(0.8, f"{deleted} runs deleted, deleting old sign-in attempts")
    run.step("delete_attempts", delete_attempts)
    run.step("expire_changes", expire_changes)


def delete_runs() -> int:
    """Delete finished runs that are older than what is kept, with their workflow rows. Returns how many."""
    count = 0
    while True:
        with writing() as session:
            old = _old_runs(session)
            if not old:
                return count
            for table in (*record_tables(session), workflow_table(session)):
                session.execute(delete(table).where(table.c.workflow_uuid.in_(old)))
            session.execute(delete(JobRun).where(JobRun.id.in_(old)))
        count += len(old)


def expire_changes() -> int:
    """Close changes whose time is over; until then they only read as expired."""
    with writing() as session:
        return expire_late_changes(session)


def _old_runs(session: WriteSession) -> list[str]:
    now = clock.now()
    routine = select(JobRun.id).where(
        JobRun.name.in_(ROUTINE), JobRun.state == "succeeded", JobRun.finished_at < now - KEEP_ROUTINE
    )
    old = select(JobRun.id).where(
        JobRun.state.in_(("succeeded", "failed")), JobRun.finished_at < now - KEEP_RUNS
    )
    ids: Any = session.scalars(routine.union(old).limit(BATCH))
    return list(ids)


def delete_attempts() -> int:
    """Delete old sign-in attempts, single sign-ons never finished, stored answers to repeated POSTs, and beats of
    workers gone for a day."""
    now = clock.now()
    with writing() as session:
        prune_attempts(session)
        session.execute(delete(IdempotencyKey).where(IdempotencyKey.created_at < now - KEEP_ANSWERS))
        session.execute(delete(WorkerBeat).where(WorkerBeat.seen_at < now - KEEP_BEATS))
    return 0
