"""A change that cannot wait aborts the rollout that is being executed: then it alone decides what serves.

Everything is one transaction with the asking for the change that overtakes. The run of the one that is aborted finds
that out at its next transaction or before its next outside effect (`rollouts.require_going`), does nothing more and
puts nothing back; the run of the other waits until it has left (`runs_before`).
"""

from __future__ import annotations

from sqlalchemy import select

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.deployment.service import champion, end_beside
from backend.governance import machine, rollouts
from backend.governance.asking import asked_of, executing_rivals
from backend.governance.tables import Change
from backend.identity.actor import Actor
from backend.queue import RECONCILE_TARGET, JobRun, WorkerBeat, worker_dead_after


def abort_executing(session: WriteSession, actor: Actor, change: Change, *, how: str) -> list[Change]:
    """Abort what is being executed beside this change, which was just asked for; gives what was aborted.

    What was on trial ends as failed. The champion stays whichever it is at that moment, also one that the aborted
    rollout had brought: this change was asked for in view of it, and moves it.
    """
    aborted = [one for one in executing_rivals(session, asked_of(change)) if one.id != change.id]
    for one in aborted:
        _abort(session, actor, one, by=change, how=how)
    return aborted


def _abort(session: WriteSession, actor: Actor, aborted: Change, *, by: Change, how: str) -> None:
    why = f"aborted by CHG-{by.id}, which {how}: {by.reason}"  # who did is in that change, by an id
    end_beside(
        session, actor, change_id=aborted.id, reason=f"CHG-{aborted.id} {why}", failed=aborted.to_version
    )
    rollouts.fail_rollout(session, actor, aborted, why)
    serving = champion(session, aborted.model or "", aborted.environment)
    stays = f"; version {serving.version} serves until CHG-{by.id} moves it" if serving is not None else ""
    aborted.state = machine.after(aborted.state, "overtake", what=f"CHG-{aborted.id}")
    aborted.overtaken_by = by.id
    aborted.finished_at, aborted.step, aborted.outcome = clock.now(), "", why + stays
    session.flush()
    record(
        session, actor, Action.EXECUTION_OVERTAKEN, object_kind="change", object_id=aborted.id,
        payload={"by": by.id, "serves": serving.id if serving is not None else None}, why=aborted.outcome,
    )  # fmt: skip


def runs_before(session: ReadSession, change: Change) -> list[str]:
    """Runs that may still be about to tell the target something: of changes that are over, and reconciling ones."""
    changes = (
        select(JobRun.id)
        .join(Change, Change.run_id == JobRun.id)
        .where(
            Change.model == change.model,
            Change.environment == change.environment,
            Change.id != change.id,
            Change.state.in_(machine.FINISHED),
            JobRun.state == "running",
        )
    )
    reconciling = select(JobRun.id).where(
        JobRun.name == RECONCILE_TARGET.name, JobRun.subject == f"{change.model}/{change.environment}",
        JobRun.state == "running",
    )  # fmt: skip
    return sorted(session.scalars(changes.union(reconciling)))


def still_running(session: ReadSession, run_ids: list[str]) -> list[str]:
    """Those that a living worker has not left. One whose worker is dead finds at its resumption that it is over."""
    since = clock.now() - worker_dead_after()
    return list(
        session.scalars(
            select(JobRun.id)
            .join(WorkerBeat, WorkerBeat.worker_id == JobRun.worker_id)
            .where(JobRun.id.in_(run_ids), JobRun.state == "running", WorkerBeat.seen_at >= since)
        )
    )
