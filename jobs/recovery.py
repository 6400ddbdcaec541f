"""Giving the runs of dead workers to living ones.

DBOS notices no dead executor: a run of a killed worker stays PENDING, and holds its queue slot, until somebody
puts it back on its queue. Every worker looks every three seconds for runs whose worker shows no sign of life.

Putting back is one conditional update, and it happens in the transaction that says so in the audit log:
the run must still be PENDING, of that worker, with the token that was read. Of any number of reapers one succeeds. The
token is gone with it, so the former owner, should it wake, can neither record a result nor pass `require_owned`.
A worker that starts under the id of a dead one puts that one's runs back in the same way before it takes any.
"""

from __future__ import annotations

import logging
import time

from sqlalchemy import func, select, update

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import WriteSession, reading, writing
from backend.identity.actor import system_actor
from backend.queue import APPLICATION_VERSION, JobRun, WorkerBeat, worker_dead_after
from jobs.ownership import workflow_table
from jobs.runtime import record_failure

log = logging.getLogger("warrant.worker")

REAP_EVERY_S = 3.0  # at most; oftener where workers count as dead sooner
_GIVEN_UP = ("MAX_RECOVERY_ATTEMPTS_EXCEEDED", "CANCELLED", "ERROR")


def resume_runs_of(session: WriteSession, dead: str, *, by: str, why: str) -> list[str]:
    """Put every unfinished run of worker `dead` back on its queue; returns the ids of those that were.

    The caller must know that `dead` is dead. A run that somebody else has put back meanwhile is not among them.
    """
    status = workflow_table(session)
    pending = session.execute(
        select(status.c.workflow_uuid, status.c.owner_xid, status.c.name).where(
            status.c.status == "PENDING",
            status.c.executor_id == dead,
            status.c.application_version == APPLICATION_VERSION,
        )
    ).all()
    resumed: list[str] = []
    for run_id, token, name in pending:
        changed = session.execute(
            update(status)
            .where(
                status.c.workflow_uuid == run_id,
                status.c.status == "PENDING",
                status.c.executor_id == dead,
                status.c.owner_xid == token,
            )
            .values(
                status="ENQUEUED",
                owner_xid=None,
                started_at_epoch_ms=None,
                updated_at=int(time.time() * 1000),
            )
        )
        if changed.rowcount != 1:  # type: ignore[attr-defined]
            continue
        resumed.append(run_id)
        session.execute(
            update(JobRun).where(JobRun.id == run_id, JobRun.state == "running").values(state="queued")
        )
        record(
            session, system_actor("worker"), Action.RUN_RESUMED,
            object_kind="job_run", object_id=run_id,
            payload={"job": name, "worker": dead, "resumed_by": by}, why=why,
        )  # fmt: skip
    return resumed


def dead_workers(session: WriteSession, *, but: str) -> list[str]:
    """Workers with unfinished runs and no sign of life. One that stopped in order has no beat row at all."""
    status = workflow_table(session)
    alive = select(WorkerBeat.worker_id).where(WorkerBeat.seen_at > clock.now() - worker_dead_after())
    return list(
        session.execute(
            select(status.c.executor_id)
            .where(status.c.status == "PENDING", status.c.executor_id != but)
            .where(status.c.executor_id.not_in(alive))
            .distinct()
            .order_by(status.c.executor_id)
        ).scalars()
    )


def reap(worker_id: str) -> list[str]:
    """One look by `worker_id`: resume the runs of dead workers, and close the books on runs that were given up."""
    resumed: list[str] = []
    with reading() as session:
        status = workflow_table(session)
        alive = select(WorkerBeat.worker_id).where(WorkerBeat.seen_at > clock.now() - worker_dead_after())
        anything = session.execute(
            select(func.count())
            .select_from(status)
            .where(status.c.status == "PENDING", status.c.executor_id != worker_id)
            .where(status.c.executor_id.not_in(alive))
        ).scalar_one()
    if anything:
        with writing() as session:
            for dead in dead_workers(session, but=worker_id):
                runs = resume_runs_of(session, dead, by=worker_id, why=f"worker {dead} shows no sign of life")
                resumed += runs
                if runs:
                    log.warning("worker %s is dead; its runs go on elsewhere: %s", dead, ", ".join(runs))
    close_given_up_runs()
    return resumed


def close_given_up_runs() -> list[str]:
    """Mark failed what the workflow engine has ended without our body saying so. Returns the run ids."""
    with reading() as session:
        status = workflow_table(session)
        ended = session.execute(
            select(JobRun.id, JobRun.name, JobRun.worker_id, status.c.status)
            .join(status, status.c.workflow_uuid == JobRun.id)
            .where(JobRun.state.in_(("queued", "running")), status.c.status.in_(_GIVEN_UP))
        ).all()
    if not ended:
        return []
    reasons = {
        "MAX_RECOVERY_ATTEMPTS_EXCEEDED": "given up: the workers that ran it died again and again",
        "CANCELLED": "cancelled",
        "ERROR": "the workflow ended with an error before it could say why; see the worker's log",
    }
    with writing() as session:
        for run_id, name, worker_id, state in ended:
            row = session.get(JobRun, run_id, with_for_update=True)
            if row is not None and row.state in ("queued", "running"):
                record_failure(session, run_id, job=name, reason=reasons[state], worker_id=worker_id)
    return [run_id for run_id, *_ in ended]
