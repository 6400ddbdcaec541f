"""Jobs by name, requested inside the caller's transaction.

`request_job(session, actor, COMPUTE_METRICS, …)` writes a `job_runs` row and enqueues the workflow on the
same connection, so the state change, its audit entry and the job commit together or not at all. The run id
is the workflow id: asking twice with the same `run_id` is one run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import ForeignKey, Index, Text, select, update
from sqlalchemy.orm import Mapped, mapped_column

from backend import clock
from backend.database.base import Base, new_id
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput, NotFound
from backend.logs import known_fields
from backend.settings import settings
from backend.tracing import trace_carrier

if TYPE_CHECKING:
    from dbos import DBOSClient, Serializer

APPLICATION = "warrant"
# Pinned: the default is a hash of the workflow source, and any edit would strand the runs in flight.
# Raise it only together with a migration that finishes or restarts every open run.
APPLICATION_VERSION = "warrant-1"


@dataclass(frozen=True)
class Job:
    """One kind of background work: what it is called, where it runs, what people read about it."""

    name: str
    queue: str
    title: str
    retryable: bool = True


COMPUTE_METRICS = Job("compute_metrics", "metrics", "Compute metrics of due windows")
COMPUTE_JOINT = Job(
    "compute_joint", "metrics", "Compute joint drift, outlier rows and rules of finished windows"
)
ANALYSE_WINDOW = Job("analyse_window", "metrics", "Analyse what changed in a window, and its worst slices")
COMPUTE_SHAP = Job("compute_shap", "long", "Explain a version with SHAP")
WRITE_REPORT = Job("write_report", "long", "Write an Evidently report of one window")
EVALUATE_SLOS = Job("evaluate_slos", "watch", "Count and judge service-level objectives")
MIRROR_REGISTRY = Job("mirror_registry", "metrics", "Mirror MLflow's registry and look for moved aliases")
RESTORE_ALIAS = Job("restore_alias", "metrics", "Put an alias in MLflow back to what serves")
EXECUTE_CHANGE = Job("execute_change", "changes", "Execute an approved change", retryable=False)
REMIND_DECIDERS = Job("remind_deciders", "metrics", "Remind those who can still decide on a change")
TEND_CHANGES = Job("tend_changes", "metrics", "Start changes that were held, end what stands by break-glass")
TEND_ALERTS = Job(
    "tend_alerts", "watch", "End alerts that were held, close or reopen incidents that a change answered"
)
RECONCILE_TARGET = Job("reconcile_target", "metrics", "Tell a target again that does not follow the record")
CHECK_GATES = Job("check_gates", "changes", "Evaluate the gates of a change")
CHECK_CONDITIONS = Job(
    "check_conditions", "metrics", "Check what has to go on holding while a version serves"
)
CHECK_REVIEWS = Job("check_reviews", "metrics", "Open a finding for each review of access that is overdue")
KEEP_STANDINGS = Job("keep_standings", "metrics", "Note how models stand of which nothing is noted yet")
COMMIT_SPOOL = Job("commit_spool", "writer", "Move the spool into the observation store")
SIGN_AUDIT = Job("sign_audit", "metrics", "Sign the head of the audit log and hand it to the anchors")
STREAM_AUDIT = Job(
    "stream_audit", "metrics", "Send new entries of the audit log to the systems that follow it"
)
RECONCILE_AUDIT = Job("reconcile_audit", "metrics", "Compare the audit log with what happened")
VERIFY_AUDIT = Job("verify_audit", "long", "Recompute the whole audit log")
RETRAIN = Job("retrain", "training", "Retrain a model", retryable=False)
OPEN_RETRAINING = Job("open_retraining", "metrics", "Ask for the retraining that a model's triggers want")
EXPLAIN_PREDICTION = Job("explain_prediction", "metrics", "Compute what moved one prediction")
EXPLAIN_SAMPLE = Job(
    "explain_sample", "metrics", "Explain a sample of each window, and what alerts and slices are about"
)
IMPORT_HISTORY = Job("import_history", "long", "Import the history of a model that a document names")
MAKE_PACK = Job("make_pack", "long", "Make an evidence pack")
WATCH_SELF = Job("watch_self", "watch", "Look at Warrant itself, for the heartbeat")
KEEP_DATA = Job("keep_data", "metrics", "Let go what the rules of retention no longer keep")
MAKE_BACKUP = Job("make_backup", "long", "Make a backup")
RESTORE_DRILL = Job("restore_drill", "long", "Restore the newest backup into a scratch place and verify it")
MEASURE_COSTS = Job("measure_costs", "metrics", "Count what models used, and measure what they hold")
PRUNE = Job("prune", "metrics", "Delete finished runs and old sign-in attempts")

JOBS: dict[str, Job] = {
    job.name: job
    for job in (
        COMPUTE_METRICS, COMPUTE_JOINT, ANALYSE_WINDOW, COMPUTE_SHAP, WRITE_REPORT, EVALUATE_SLOS, MIRROR_REGISTRY,
        RESTORE_ALIAS, TEND_ALERTS,
        REMIND_DECIDERS, TEND_CHANGES, RECONCILE_TARGET, EXECUTE_CHANGE, CHECK_GATES, CHECK_CONDITIONS, CHECK_REVIEWS,
        KEEP_STANDINGS, COMMIT_SPOOL, SIGN_AUDIT, STREAM_AUDIT, RECONCILE_AUDIT, VERIFY_AUDIT, EXPLAIN_PREDICTION,
        EXPLAIN_SAMPLE, IMPORT_HISTORY, MAKE_PACK, WATCH_SELF, KEEP_DATA,
        MAKE_BACKUP, RESTORE_DRILL, MEASURE_COSTS, PRUNE, RETRAIN, OPEN_RETRAINING,
    )
}  # fmt: skip
# Whoever serves `metrics` serves two more beside it (`served_by`), so that nothing that people are told by waits behind
# work that takes its time: `watch` for the short work of objectives and alerts, `long` for backups, packs and the like.
QUEUES = ("metrics", "watch", "long", "changes", "writer", "training", "gpu")
WITH_METRICS = ("watch", "long")
DEFAULT_QUEUES = QUEUES[:6]  # a worker without a GPU leaves `gpu` to those that have one


class JobRun(Base):
    """One run as people see it: queued, running with progress, succeeded, or failed with the reason."""

    __tablename__ = "job_runs"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    queue: Mapped[str] = mapped_column(Text)
    subject: Mapped[str] = mapped_column(Text, default="")  # model name, "CHG-3", …
    arguments: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(Text, default="queued")  # queued|running|succeeded|failed
    progress: Mapped[float] = mapped_column(default=0.0)  # 0..1
    step: Mapped[str] = mapped_column(Text, default="")
    error: Mapped[str] = mapped_column(Text, default="")
    requested_by: Mapped[str | None] = mapped_column(ForeignKey("persons.id"))
    requested_at: Mapped[datetime] = mapped_column(index=True)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    worker_id: Mapped[str] = mapped_column(Text, default="")
    attempts: Mapped[int] = mapped_column(default=0)
    # What its log lines are about from the beginning: the request and the trace that asked for it.
    context: Mapped[dict[str, Any] | None]

    __table_args__ = (
        Index("ix_job_runs_name", "name", "subject", "state", "finished_at"),
        Index("ix_job_runs_state", "state", "requested_at"),
    )


class WorkerBeat(Base):
    """A worker's sign of life. The reaper resumes the runs of a worker whose beat is too old."""

    __tablename__ = "worker_beats"

    worker_id: Mapped[str] = mapped_column(Text, primary_key=True)
    queues: Mapped[str] = mapped_column(Text)
    host: Mapped[str] = mapped_column(Text)
    pid: Mapped[int]
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]


def served_by(queues: Sequence[str]) -> tuple[str, ...]:
    """The queues that a worker serves which was started with these."""
    wanted = {*queues, *(WITH_METRICS if "metrics" in queues else ())}
    return tuple(name for name in QUEUES if name in wanted)


def worker_dead_after() -> timedelta:
    """A worker without a beat for so long counts as dead."""
    return timedelta(seconds=settings().worker_dead_after_s)


def workflow_serializer() -> Serializer:
    """JSON, never pickle: whoever can write the database must not be able to run code in a worker."""
    from dbos import DBOSPortableJSONSerializer

    return DBOSPortableJSONSerializer()


@cache
def client(url: str) -> DBOSClient:
    """The enqueuing client on the database that also holds the workflow tables."""
    from dbos import DBOSClient

    from backend.database.engine import database, workflow_schema

    return DBOSClient(
        system_database_engine=database().write_engine,
        dbos_system_schema=workflow_schema(database()),
        serializer=workflow_serializer(),
        application_name=APPLICATION,
        lazy=True,
    )


def context_here() -> dict[str, str] | None:
    """What a job that is asked for here has to know of whoever asks."""
    found = {name: value for name, value in known_fields().items() if name == "request_id"}
    return found | trace_carrier() or None


def request_job(
    session: WriteSession,
    job: Job,
    *,
    subject: str = "",
    arguments: dict[str, Any] | None = None,
    run_id: str | None = None,
    requested_by: str | None = None,
    once: bool = False,
    queue: str | None = None,
) -> JobRun:
    """Queue `job` in this transaction. With a `run_id` that exists already, that run is returned unchanged.

    `once`: the caller holds a lock under which this run is asked for a single time, so nobody has to look.
    `queue`: another one than the job's own, where what it needs decides which workers can do it.
    """
    known = session.get(JobRun, run_id) if run_id is not None and not once else None
    if known is not None:
        return known
    run_id = run_id or new_id("run")
    run = JobRun(
        id=run_id, name=job.name, queue=queue or job.queue, subject=subject, arguments=arguments or {},
        requested_by=requested_by, requested_at=clock.now(),
        context=context_here(),
    )  # fmt: skip
    session.add(run)
    session.flush()
    _enqueue(session, job, run_id, run.queue)
    return run


def retry_job(session: WriteSession, run_id: str, *, requested_by: str) -> JobRun:
    """Queue a failed run's work again as a new run. The failed one stays in the list with its reason."""
    failed = session.get(JobRun, run_id)
    if failed is None:
        raise NotFound(f"there is no job run {run_id}")
    job = JOBS[failed.name]
    if failed.state != "failed" or not job.retryable:
        raise BadInput(
            f"run {run_id} ({job.title}) is {failed.state}; only a failed run of a repeatable job can be retried"
        )
    return request_job(
        session, job, subject=failed.subject, arguments=dict(failed.arguments),
        run_id=f"{run_id}-again", requested_by=requested_by, queue=failed.queue,
    )  # fmt: skip


def _enqueue(session: WriteSession, job: Job, run_id: str, queue: str) -> None:
    from backend.database.engine import database

    client(database().url).enqueue_in_transaction(
        session,
        {
            "queue_name": queue,
            "workflow_name": job.name,
            "workflow_id": run_id,
            "app_version": APPLICATION_VERSION,
        },
        run_id,
    )


def mark_progress(session: WriteSession, run_id: str, *, progress: float, step: str) -> None:
    """Say how far a run is (0..1) and what it does now."""
    session.execute(update(JobRun).where(JobRun.id == run_id).values(progress=progress, step=step))


def recent_runs(
    session: ReadSession, *, limit: int = 100, states: tuple[str, ...] = (), offset: int = 0
) -> list[JobRun]:
    """The newest runs first."""
    query = select(JobRun).order_by(JobRun.requested_at.desc(), JobRun.id).limit(limit).offset(offset)
    if states:
        query = query.where(JobRun.state.in_(states))
    return list(session.scalars(query))


def recent_workers(session: ReadSession, *, within: timedelta = timedelta(days=1)) -> list[WorkerBeat]:
    """Workers that gave a sign of life lately, the freshest first."""
    query = select(WorkerBeat).where(WorkerBeat.seen_at >= clock.now() - within)
    return list(session.scalars(query.order_by(WorkerBeat.seen_at.desc())))
