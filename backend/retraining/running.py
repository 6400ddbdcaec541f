"""A run of the pipeline: begun by its change, cancelled or begun again by people, and how it ends."""

from __future__ import annotations

import re
from typing import Any, Final

from sqlalchemy import select

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput, Conflict, NotFound
from backend.governance import machine
from backend.governance.tables import Change
from backend.identity.actor import Actor
from backend.identity.reach import allow, see
from backend.identity.roles import Permission
from backend.queue import RETRAIN, request_job
from backend.retraining.envelope import why_not_again
from backend.retraining.plan import QUEUE_OF, read_plan
from backend.retraining.tables import RetrainingRun, RetrainingStep

OPEN: Final = ("queued", "running")
LONGEST_REASON: Final = 2000


def open_run(session: ReadSession, model: str, environment: str) -> RetrainingRun | None:
    """The run of this model that waits or goes on; there is one at most."""
    return session.scalars(
        select(RetrainingRun)
        .where(
            RetrainingRun.model == model, RetrainingRun.environment == environment, RetrainingRun.state.in_(OPEN)
        )
        .limit(1)
    ).first()  # fmt: skip


def start_run(session: WriteSession, actor: Actor, change: Change) -> RetrainingRun:
    """Write the run of an approved change down and queue it, in the transaction that executes the change. Once."""
    run_id = f"retrain-{change.id}"
    known = session.get(RetrainingRun, run_id)
    if known is not None:
        return known
    assert change.model is not None  # noqa: S101 - proposed with one
    from backend.deployment.service import champion

    plan = read_plan(change.subject)
    serving = champion(session, change.model, change.environment)
    run = RetrainingRun(
        id=run_id, change_id=change.id, model=change.model, environment=change.environment, plan=plan.as_dict(),
        parent=serving.version if serving is not None else None, queue=QUEUE_OF[plan.device],
        requested_by=change.requested_by, requested_at=clock.now(),
    )  # fmt: skip
    session.add(run)
    session.flush()
    _queue(session, run)
    record(
        session, actor, Action.RETRAINING_STARTED, object_kind="retraining", object_id=run.id,
        payload={"change": change.id, "model": run.model, "plan": run.plan, "parent": run.parent}, why=change.reason,
    )  # fmt: skip
    return run


def _queue(session: WriteSession, run: RetrainingRun) -> None:
    request_job(
        session, RETRAIN, subject=run.model, arguments={"retraining": run.id}, run_id=job_id(run),
        requested_by=run.requested_by, queue=run.queue,
    )  # fmt: skip


def job_id(run: RetrainingRun) -> str:
    """The id of the job that carries it out now."""
    return run.id if run.times == 1 else f"{run.id}-{run.times}"


def get_run(session: ReadSession, viewer: Actor, run_id: str) -> RetrainingRun:
    """`NotFound` also where the viewer may not know that it exists."""
    see(session, viewer)
    run = session.get(RetrainingRun, run_id)
    if run is None:
        raise NotFound(f"there is no retraining {run_id!r} that you may see", run=run_id)
    return run


def change_before(session: ReadSession, viewer: Actor, run_id: str) -> Change | None:
    """The open change that this run will carry out, while no worker has begun it; else `None`.

    A run is written down by the worker that executes its change, but its address is known before.
    """
    see(session, viewer)
    if session.get(RetrainingRun, run_id) is not None:
        return None
    number = re.fullmatch(r"retrain-(\d{1,9})", run_id)
    change = session.get(Change, int(number[1])) if number is not None else None
    if change is None or change.kind != "retrain" or change.state not in machine.OPEN:
        return None
    return change


def cancel_run(session: WriteSession, actor: Actor, run_id: str, *, reason: str) -> RetrainingRun:
    """Stop a run: at once where no worker has begun it, else within seconds, by the worker that has. Twice is once."""
    allow(session, actor, Permission.REQUEST_CHANGE)
    run = _locked(session, actor, run_id)
    if run.state not in OPEN:
        raise Conflict(f"{run.id} is {run.state}; there is nothing to cancel", run=run.id)
    if run.cancel_asked_at is not None:
        return run
    if len(reason) > LONGEST_REASON:
        raise BadInput(f"reason: at most {LONGEST_REASON} characters are kept", field="reason")
    run.cancel_asked_at, run.cancel_asked_by = clock.now(), actor.person_row
    run.cancel_reason = reason.strip()
    record(
        session, actor, Action.RETRAINING_CANCELLED, object_kind="retraining", object_id=run.id,
        payload={"change": run.change_id, "state": run.state}, why=run.cancel_reason,
    )  # fmt: skip
    if run.state == "queued":
        end_run(session, actor, run, "cancelled", "it was cancelled before a worker had begun it")
    session.flush()
    return run


def resume_run(session: WriteSession, actor: Actor, run_id: str) -> RetrainingRun:
    """Begin a failed run again where it failed: finished steps stay, and training goes on from its last checkpoint.

    `Conflict` where another version serves by now, or where it was approved in advance and that covers it no longer.
    """
    allow(session, actor, Permission.REQUEST_CHANGE)
    run = _locked(session, actor, run_id)
    if run.state != "failed":
        raise Conflict(f"{run.id} is {run.state}; only a failed run is begun again", run=run.id)
    other = open_run(session, run.model, run.environment)
    if other is not None:
        raise Conflict(f"{run.model} is being retrained already ({other.id})", run=other.id)
    _require_covered(session, run)
    run.state, run.finished_at, run.outcome = "queued", None, ""
    run.cancel_asked_at, run.cancel_asked_by, run.cancel_reason = None, None, ""
    run.times += 1
    session.flush()
    _queue(session, run)
    record(
        session, actor, Action.RETRAINING_RESUMED, object_kind="retraining", object_id=run.id,
        payload={"change": run.change_id, "times": run.times},
    )  # fmt: skip
    return run


def _require_covered(session: ReadSession, run: RetrainingRun) -> None:
    from backend.deployment.service import champion

    serving = champion(session, run.model, run.environment)
    if (serving.version if serving is not None else None) != run.parent:
        now = f"v{serving.version} serves" if serving is not None else "nothing serves"
        raise Conflict(
            f"{now} by now, which {run.id} would not be compared with; ask for the retraining anew",
            run=run.id,
        )
    outside = why_not_again(session, session.get_one(Change, run.change_id))
    if outside:
        raise Conflict(
            f"{run.id} was approved in advance, which covers it no longer: {'; '.join(outside)}. Ask for the "
            "retraining anew",
            run=run.id,
        )


def begin_run(session: WriteSession, run_id: str) -> bool:
    """Whether a worker has anything to do for it; marks it as running."""
    run = session.get_one(RetrainingRun, run_id, with_for_update=True)
    if run.state not in OPEN:
        return False
    run.state, run.started_at = "running", run.started_at or clock.now()
    return True


def end_run(session: WriteSession, actor: Actor, run: RetrainingRun, state: str, outcome: str) -> None:
    """Close it, once, with its entry. What it registered and asked for stays."""
    if run.state not in OPEN:
        return
    run.state, run.outcome, run.finished_at = state, outcome, clock.now()
    for step in steps_of(session, run.id).values():
        if step.state == "running":  # its worker died: how long it took nobody knows, and it takes no more
            step.state, step.finished_at = "failed", run.finished_at
    session.flush()
    if state == "cancelled":
        return  # the entry of who cancelled it says so
    found: dict[str, Any] = {
        "change": run.change_id, "version": run.version, "promotion": run.promote_change_id, "parent": run.parent,
    }  # fmt: skip
    record(
        session, actor, Action.RETRAINING_FINISHED if state == "succeeded" else Action.RETRAINING_FAILED,
        object_kind="retraining", object_id=run.id, payload=found, why=outcome,
    )  # fmt: skip


def is_cancelled(session: ReadSession, run_id: str) -> bool:
    """Whether somebody asked for its end. One small question."""
    return session.scalar(select(RetrainingRun.cancel_asked_at).where(RetrainingRun.id == run_id)) is not None


def steps_of(session: ReadSession, run_id: str) -> dict[str, RetrainingStep]:
    """The steps that have begun, by name."""
    return {
        step.name: step
        for step in session.scalars(select(RetrainingStep).where(RetrainingStep.run_id == run_id))
    }


def _locked(session: WriteSession, actor: Actor, run_id: str) -> RetrainingRun:
    get_run(session, actor, run_id)
    return session.get_one(RetrainingRun, run_id, with_for_update=True)
