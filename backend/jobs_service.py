"""Asking for a failed job again, as a person."""

from __future__ import annotations

from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import WriteSession
from backend.identity.actor import Actor
from backend.identity.reach import allow
from backend.identity.roles import Permission
from backend.queue import JobRun, retry_job


def retry(session: WriteSession, actor: Actor, run_id: str) -> JobRun:
    """Queue a failed run's work again, recorded in the audit log. Raises `NotAllowed`, `BadInput`."""
    allow(session, actor, Permission.RETRY_JOBS)
    run = retry_job(session, run_id, requested_by=actor.person_id)
    record(
        session, actor, Action.JOB_RETRIED, object_kind="job_run", object_id=run_id, payload={"as": run.id}
    )
    return run
