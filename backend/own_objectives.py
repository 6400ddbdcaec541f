"""Warrant's own objectives: how long its work waits, how old what it owes is, how often it fails.

The page Jobs and `/metrics` read the same figures. One that nobody can know now is None, and is never taken as met.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from sqlalchemy import func, select

from backend import clock
from backend.audit.state import log_state
from backend.audit.tables import AuditEntry
from backend.database.session import ReadSession
from backend.notifications.tables import Notice
from backend.observations.spool import pending_bytes
from backend.queue import JobRun, WorkerBeat, worker_dead_after
from backend.settings import settings

WINDOW: Final = timedelta(hours=1)
MOST_RUNS: Final = 5000
State = Literal["met", "missed", "unknown"]


@dataclass(frozen=True)
class Objective:
    """One figure and the most that it may be. `unit`: s, share or MiB."""

    name: str
    title: str
    limit: float
    unit: str


OBJECTIVES: Final = (
    Objective("job_lag", "Jobs begin within (95 % of those of the last hour)", 30.0, "s"),
    Objective("queue_age", "The oldest job that waits", 300.0, "s"),
    Objective("job_failures", "Jobs of the last hour that failed", 0.01, "share"),
    Objective("outbox_age", "The oldest notice that was not sent", 120.0, "s"),
    Objective("signing_age", "The oldest entry of the log that is not signed", 900.0, "s"),
    Objective("anchor_age", "The oldest entry of the log that nobody else holds", 1800.0, "s"),
    Objective("spool_backlog", "Predictions that wait for the writer", 256.0, "MiB"),
    Objective("console_p95", "This console answers within (95 % of the last ten minutes)", 1.0, "s"),
    Objective("console_errors", "Requests of the last ten minutes that this console failed", 0.001, "share"),
)


@dataclass(frozen=True)
class Reading:
    objective: Objective
    value: float | None

    @property
    def state(self) -> State:
        if self.value is None:
            return "unknown"
        return "met" if self.value <= self.objective.limit else "missed"


@dataclass(frozen=True)
class Answered:
    """What a console knows of its own requests: seconds of each that it answered lately, and how many it failed."""

    seconds: Sequence[float] = ()
    failed: int = 0


def percentile_95(values: Sequence[float]) -> float | None:
    """The smallest value that 95 % of them do not exceed; None of none."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1] if values else None


def read_objectives(session: ReadSession, answered: Answered) -> list[Reading]:
    """Every objective as it stands now."""
    now = clock.now()
    found: dict[str, float | None] = {
        **_jobs(session, now),
        "outbox_age": _age(
            now, session.scalar(select(func.min(Notice.created_at)).where(Notice.state == "queued"))
        ),
        **_log(session, now),
        "spool_backlog": pending_bytes(settings().spool) / (1 << 20),
        "console_p95": percentile_95(answered.seconds),
        "console_errors": answered.failed / len(answered.seconds) if answered.seconds else None,
    }
    return [Reading(one, found[one.name]) for one in OBJECTIVES]


def _age(now: datetime, since: datetime | None) -> float:
    return max((now - since).total_seconds(), 0.0) if since is not None else 0.0


def _jobs(session: ReadSession, now: datetime) -> dict[str, float | None]:
    """Without a worker that lives an empty queue says nothing: nobody fills it either."""
    begun = session.execute(
        select(JobRun.requested_at, JobRun.started_at)
        .where(JobRun.requested_at >= now - WINDOW, JobRun.started_at.is_not(None))
        .order_by(JobRun.requested_at.desc())
        .limit(MOST_RUNS)
    )
    waits = [(started - asked).total_seconds() for asked, started in begun if started is not None]
    counted = session.execute(
        select(JobRun.state, func.count())
        .where(JobRun.finished_at >= now - WINDOW, JobRun.state.in_(("succeeded", "failed")))
        .group_by(JobRun.state)
    )
    ended = {state: int(count) for state, count in counted}
    waiting = session.scalar(select(func.min(JobRun.requested_at)).where(JobRun.state == "queued"))
    alive = session.scalar(
        select(func.count()).select_from(WorkerBeat).where(WorkerBeat.seen_at >= now - worker_dead_after())
    )
    total = sum(ended.values())
    return {
        "job_lag": percentile_95(waits),
        "queue_age": _age(now, waiting) if waiting is not None or alive else None,
        "job_failures": ended.get("failed", 0) / total if total else None,
    }


def _log(session: ReadSession, now: datetime) -> dict[str, float | None]:
    state = log_state(session)
    kept = state.newest_kept
    return {
        "signing_age": None
        if state.signed_size is None
        else _entry_age(session, now, state.signed_size, state.size),
        "anchor_age": None if kept is None else _entry_age(session, now, kept.size, state.size),
    }


def _entry_age(session: ReadSession, now: datetime, covered: int, size: int) -> float:
    """Of the oldest entry beyond the first `covered`; 0 where there is none."""
    if covered >= size:
        return 0.0
    at = session.scalar(select(AuditEntry.at).where(AuditEntry.seq == covered))
    return _age(now, clock.from_iso(at) if at else None)
