"""What stands still while processes live: queues that nobody serves, predictions that nobody stores, environments in
which nobody answers."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, select

from backend.alerting.gateways import SILENT_AFTER
from backend.database.session import ReadSession
from backend.deployment.tables import GatewayReport
from backend.observations.spool import pending_bytes
from backend.own_objectives import OBJECTIVES
from backend.queue import JobRun, WorkerBeat, worker_dead_after
from backend.settings import settings

WAITS: Final = timedelta(minutes=2)  # what no worker serves begins with the next one that is started
MIB: Final = 1 << 20


def unserved_queues(session: ReadSession, now: datetime) -> tuple[str, ...]:
    """Queues that no live worker serves, and that one served which died, or in which a job waits.

    A worker that is stopped on purpose takes its beat back; that of one that died stays for a day.
    """
    served: set[str] = set()
    lost: set[str] = set()
    for queues, seen_at in session.execute(select(WorkerBeat.queues, WorkerBeat.seen_at)):
        (served if seen_at >= now - worker_dead_after() else lost).update(queues.split(","))
    lost |= set(
        session.scalars(
            select(JobRun.queue).where(JobRun.state == "queued", JobRun.requested_at < now - WAITS).distinct()
        )
    )
    return tuple(sorted(lost - served))


def spool_over_limit() -> str:
    """What is wrong with the backlog of the observation writer, by Warrant's own objective; empty: nothing."""
    limit = next(one.limit for one in OBJECTIVES if one.name == "spool_backlog")
    waiting = pending_bytes(settings().spool) / MIB
    return (
        f"{waiting:.0f} MiB of predictions wait for the writer, the limit is {limit:.0f} MiB"
        if waiting > limit
        else ""
    )


def unanswered_environments(session: ReadSession, now: datetime) -> tuple[str, ...]:
    """Environments in which gateways served models and none is heard of any more.

    One that is stopped on purpose withdraws its reports; one that others have replaced stops nobody's predictions.
    """
    return tuple(
        session.scalars(
            select(GatewayReport.environment)
            .where(GatewayReport.version.is_not(None))
            .group_by(GatewayReport.environment)
            .having(func.max(GatewayReport.reported_at) < now - SILENT_AFTER)
            .order_by(GatewayReport.environment)
        )
    )
