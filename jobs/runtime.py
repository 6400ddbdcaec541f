"""What a workflow is here, and what every run goes through.

A workflow is one file: the steps it may take, and a body.

    STEPS = ("read_alias", "record_findings")

    @workflow(MIRROR_REGISTRY)
    def mirror_registry(run: Run) -> None:
        run.progress(0.1, "reading MLflow")
        found = run.step("read_alias", read_alias, run.subject)
        run.step("record_findings", record_findings, found)

The body may run again from its start: after a crash, on this worker or on another one. Finished steps are then
not run but answered from their recorded results, so between steps a body only computes, and passes plain JSON values.
A step that was cut short runs again: its effect must be idempotent. Before each step, and in
`run.require_owned(session)` inside a transaction, an execution that has lost its run stops without acting.
"""

from __future__ import annotations

import importlib
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from dbos import DBOS, DBOSConfig, _sys_db
from dbos._context import current_owner_xid
from dbos._error import DBOSWorkflowConflictIDError
from dbos._utils import retriable_postgres_exception, retriable_sqlite_exception
from sqlalchemy import select, update
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from backend import clock
from backend.addresses import without_credentials
from backend.alerting.own_work import fire_failed_work, settle_work
from backend.audit.actions import Action
from backend.audit.log import record
from backend.costs.counting import add_run
from backend.database import tables as _tables  # noqa: F401 - foreign keys need every table known
from backend.database.engine import database, workflow_schema
from backend.database.session import WriteSession, reading, writing
from backend.errors import NotFound, WarrantError
from backend.foreign_text import storable
from backend.identity.actor import Actor, system_actor
from backend.logs import about
from backend.queue import (
    APPLICATION,
    APPLICATION_VERSION,
    JOBS,
    RETRAIN,
    Job,
    JobRun,
    mark_progress,
    workflow_serializer,
)
from backend.tracing import continued, span
from jobs.kill_points import kill_point, kill_points, pass_kill_point
from jobs.ownership import is_owner
from jobs.processor_time import used_s

log = logging.getLogger("warrant.jobs")

MAX_RECOVERIES: Final = 20  # then a run that kills its workers is given up
RETRY_PAUSES_S: Final = (
    0.2,
    0.5,
    1.0,
    2.0,
    5.0,
)  # after an error of the database; the last again while it is away
PATIENCE_S: Final = 3_600.0  # how long a run waits for a database that is away
# What the runtime itself commits around every body, so no step can have these names.
BEGIN, FINISH, FAIL = "begin", "finish", "fail"
AROUND: Final = (
    (BEGIN, "before"),
    (BEGIN, "commit"),
    (FINISH, "before"),
    (FINISH, "after"),
    (FAIL, "before"),
    (FAIL, "after"),
)

Body = Callable[["Run"], None]


class StepFailed(WarrantError):
    """A step raised. The same on the first run and on every later one, where the step is not run again.

    `error` names the class that was raised and `message` is its text.
    """

    title = "Step failed"

    def __init__(self, step: str, error: str, message: str) -> None:
        super().__init__(message, step=step, error=error)
        self.step = step
        self.error = error


class UndeclaredStep(WarrantError):
    """A body took a step that its file's STEPS do not name: chaos tests could not know it."""

    title = "Undeclared step"


@dataclass(frozen=True)
class Workflow:
    """A registered workflow: its job, its steps in order, its body."""

    job: Job
    steps: tuple[str, ...]
    body: Body

    def kill_points(self) -> list[str]:
        """Each moment at which a worker may die in a run of this, for chaos tests."""
        return [
            *kill_points(self.job.name, self.steps),
            *(kill_point(self.job.name, *point) for point in AROUND),
        ]


WORKFLOWS: Final[dict[str, Workflow]] = {}


@dataclass(frozen=True)
class Run:
    """One execution of one run, as its body sees it."""

    job: Job
    run_id: str
    subject: str
    arguments: dict[str, Any]
    requested_by: str | None
    worker_id: str
    attempt: int
    token: str
    context: dict[str, Any] | None = None

    @property
    def actor(self) -> Actor:
        """Who acts in services that the run calls: the worker itself."""
        return system_actor("worker")

    def step(self, name: str, function: Callable[..., Any], *args: Any) -> Any:
        """Run `function(*args)` once and remember what it returned (plain JSON: no dataclass, no datetime).

        Its effect must be idempotent. While the database is away it is tried again, for up to an hour.
        Raises `StepFailed` for whatever it raised and `UndeclaredStep` for a name that STEPS lacks.
        """
        if name not in WORKFLOWS[self.job.name].steps:
            raise UndeclaredStep(f"step {name!r} of {self.job.name} is not in its STEPS", step=name)

        def attempt() -> dict[str, Any]:
            pass_kill_point(self.job.name, name, "before")
            persistently(self.require_owned)
            try:
                result = persistently(function, *args)
            except Exception as error:
                log.info("step %s of run %s failed", name, self.run_id, exc_info=True)
                return {"failed": type(error).__name__, "message": reason_of(error)}
            pass_kill_point(self.job.name, name, "after")
            return {"result": result}

        outcome = DBOS.run_step({"name": name}, attempt)
        pass_kill_point(self.job.name, name, "commit")
        if "failed" in outcome:
            raise StepFailed(name, outcome["failed"], outcome["message"])
        return outcome["result"]

    def progress(self, fraction: float, doing: str) -> None:
        """Show how far the run is (0..1) and what it does. Not inside a write transaction: it is one itself."""
        persistently(self._show, min(max(fraction, 0.0), 1.0), doing)

    def _show(self, fraction: float, doing: str) -> None:
        with writing() as session:
            mark_progress(session, self.run_id, progress=fraction, step=doing)

    def owned(self) -> bool:
        """Whether this execution still may act for the run."""
        with reading() as session:
            return is_owner(session, self.run_id, self.token)

    def require_owned(self, session: WriteSession | None = None) -> None:
        """Stop this execution here if the run has been given to another worker.

        With `session`, the run stays ours until that transaction commits: call it first in a transaction that has
        an effect. Without, call it directly before an effect outside the database.
        """
        held = is_owner(session, self.run_id, self.token) if session is not None else self.owned()
        if not held:
            log.warning("run %s was given to another worker; this execution stops", self.run_id)
            raise DBOSWorkflowConflictIDError(self.run_id)


def workflow(job: Job) -> Callable[[Body], Body]:
    """Say that a body is the workflow of `job`. The file must declare `STEPS` above it."""

    def register(body: Body) -> Body:
        steps = getattr(sys.modules[body.__module__], "STEPS", None)
        if not isinstance(steps, tuple) or len(set(steps)) != len(steps):
            raise UndeclaredStep(f"{body.__module__} must declare STEPS, a tuple of distinct names")
        if reserved := {BEGIN, FINISH, FAIL} & set(steps):
            raise UndeclaredStep(
                f"{', '.join(sorted(reserved))} in STEPS of {body.__module__} is the runtime's own name"
            )
        WORKFLOWS[job.name] = Workflow(job, steps, body)
        return body

    return register


def load_workflow(job: Job) -> Workflow:
    """The workflow of `job`, from `jobs/<name>.py`, imported on first use."""
    if job.name not in WORKFLOWS:
        importlib.import_module(f"jobs.{job.name}")
    return WORKFLOWS[job.name]


def register_workflows() -> None:
    """Make every job known to the engine, before its launch. No workflow file is imported here."""
    for job in JOBS.values():
        _register(job)


def _register(job: Job) -> None:
    def execute(run_id: str) -> None:
        _execute(job, run_id)

    execute.__name__ = execute.__qualname__ = job.name
    DBOS.workflow(name=job.name, max_recovery_attempts=MAX_RECOVERIES)(execute)


def _execute(job: Job, run_id: str) -> None:
    token = current_owner_xid(run_id)
    if token is None:
        raise NotFound(f"run {run_id} was started outside the job queue", run_id=run_id)
    pass_kill_point(job.name, BEGIN, "before")
    run = persistently(_begin, job, run_id, token)
    pass_kill_point(job.name, BEGIN, "commit")
    if run is None:
        return
    with _told(run):
        _carry_out(job, run)


def _carry_out(job: Job, run: Run) -> None:
    began_s = used_s()
    try:
        load_workflow(job).body(run)
    except Exception as error:
        log.warning("run %s (%s) failed: %s", run.run_id, job.title, reason_of(error), exc_info=error)
        pass_kill_point(job.name, FAIL, "before")
        persistently(_fail, run, reason_of(error), used_s() - began_s)
        pass_kill_point(job.name, FAIL, "after")
        raise
    pass_kill_point(job.name, FINISH, "before")
    persistently(_succeed, run, used_s() - began_s)
    pass_kill_point(job.name, FINISH, "after")


@contextmanager
def _told(run: Run) -> Iterator[None]:
    """Lines and spans of a run say which one it is, and what asked for it."""
    change = run.subject if run.subject.startswith("CHG-") else None
    asked = run.context or {}
    with (
        about(run=run.run_id, job=run.job.name, change=change, request_id=asked.get("request_id")),
        continued(asked),
        span(f"job {run.job.name}", kind="consumer", run=run.run_id, change=change),
    ):
        yield


def _begin(job: Job, run_id: str, token: str) -> Run | None:
    """Mark the run running on this worker. None when an earlier execution finished it and only its end was lost."""
    with writing() as session:
        _require_token(session, run_id, token)
        row = session.get(JobRun, run_id)
        if row is None:
            raise NotFound(f"there is no record of run {run_id}", run_id=run_id)
        if row.state == "succeeded":
            return None
        if row.state == "failed":
            raise StepFailed(row.step, "JobFailed", row.error)
        row.state, row.worker_id, row.attempts = "running", DBOS.executor_id, row.attempts + 1
        row.started_at = row.started_at or clock.now()
        return Run(
            job,
            run_id,
            row.subject,
            dict(row.arguments),
            row.requested_by,
            row.worker_id,
            row.attempts,
            token,
            row.context,
        )


def _succeed(run: Run, processor_s: float) -> None:
    with writing() as session:
        _require_token(session, run.run_id, run.token)
        if _is_over(session, run):
            return
        session.execute(
            update(JobRun)
            .where(JobRun.id == run.run_id)
            .values(state="succeeded", progress=1.0, step="", error="", finished_at=clock.now())
        )
        settle_work(session, system_actor("worker"), job=run.job.name, subject=run.subject)
        _count(session, run, processor_s)


def _fail(run: Run, reason: str, processor_s: float) -> None:
    with writing() as session:
        _require_token(session, run.run_id, run.token)
        if _is_over(session, run):
            return
        record_failure(session, run.run_id, job=run.job.name, reason=reason, worker_id=run.worker_id)
        _count(session, run, processor_s)


def _is_over(session: WriteSession, run: Run) -> bool:
    """Whether its end was committed before, and only the answer to that was lost: nothing counts twice."""
    return session.scalar(select(JobRun.state).where(JobRun.id == run.run_id)) != "running"


def _count(session: WriteSession, run: Run, processor_s: float) -> None:
    """What this execution took. Of one that died nothing is known but the time on the clock. The steps of a retraining
    are compute already, by the clock (`training`): its thread would count them a second time."""
    now = clock.now()
    processor_s = 0.0 if run.job == RETRAIN else processor_s
    began = session.scalar(select(JobRun.started_at).where(JobRun.id == run.run_id)) or now
    add_run(
        session, subject=run.subject, processor_s=processor_s, clock_s=(now - began).total_seconds(), ended_at=now
    )  # fmt: skip


def record_failure(session: WriteSession, run_id: str, *, job: str, reason: str, worker_id: str) -> None:
    """Mark a run failed with the reason, and put that in the audit log, in one transaction."""
    session.execute(
        update(JobRun)
        .where(JobRun.id == run_id)
        .values(state="failed", error=reason, finished_at=clock.now())
    )
    record(
        session, system_actor("worker"), Action.JOB_FAILED,
        object_kind="job_run", object_id=run_id,
        payload={"job": job, "reason": reason, "worker": worker_id},
    )  # fmt: skip
    fire_failed_work(
        session, system_actor("worker"), job=job, title=JOBS[job].title, reason=reason, run_id=run_id,
        subject=session.scalar(select(JobRun.subject).where(JobRun.id == run_id)) or "",
    )  # fmt: skip


def _require_token(session: WriteSession, run_id: str, token: str) -> None:
    if not is_owner(session, run_id, token):
        raise DBOSWorkflowConflictIDError(run_id)


def reason_of(error: Exception) -> str:
    """What went wrong, in words a person can act on, and that can be written down whatever is in them."""
    if isinstance(error, WarrantError):
        return storable(error.message)
    text = storable(without_credentials(str(error))).strip()
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def persistently(function: Callable[..., Any], *args: Any) -> Any:
    """Call `function`, again after a pause when the database refused. It must be idempotent.

    A database that is away or locked is waited for: an outage must not decide what becomes of a run, whose failure
    could not even be recorded meanwhile. Any other refusal is believed after a few tries.
    """
    given_up_at = time.monotonic() + PATIENCE_S
    attempt = 0
    while True:
        try:
            return function(*args)
        except (OperationalError, InterfaceError) as error:
            tries_left = attempt < len(RETRY_PAUSES_S)
            if not tries_left and not (database_is_away(error) and time.monotonic() < given_up_at):
                raise
            pause_s = RETRY_PAUSES_S[attempt if tries_left else -1]
            log.warning("the database did not answer, trying again in %g s: %s", pause_s, error.orig)
            time.sleep(pause_s)
            attempt += 1


def database_is_away(error: DBAPIError) -> bool:
    """Whether the database cannot be reached or is locked, as opposed to having refused this statement."""
    return connection_is_lost(error) or retriable_sqlite_exception(error)


def connection_is_lost(error: Exception) -> bool:
    """Whether PostgreSQL cannot be reached, or ended the session.

    The engine (DBOS 3.4) knows a connection that cannot be made by the words "connection failed". Where the socket is
    gone or the name does not resolve, psycopg says "connection is bad", and the engine would take a restart of the
    server for the failure of whatever run happened to record a step. So it is given this test instead.
    """
    if retriable_postgres_exception(error):
        return True
    driver_error = getattr(error, "orig", None)
    # Without a code of the server's the server has not spoken.
    return isinstance(driver_error, psycopg.OperationalError) and driver_error.sqlstate is None


_sys_db.retriable_postgres_exception = connection_is_lost  # type: ignore[assignment, attr-defined]


def engine_config(worker_id: str) -> DBOSConfig:
    """DBOS on our own database: JSON only, pinned version, fixed executor, and nothing that calls out."""
    target = database()
    config: DBOSConfig = {
        "name": APPLICATION,
        "system_database_url": target.url,
        "sys_db_pool_size": 8,
        "serializer": workflow_serializer(),
        "application_version": APPLICATION_VERSION,
        "executor_id": worker_id,
        "run_migrations": False,
        "enable_otlp": False,
        "log_level": "WARNING",
        "max_executor_threads": 64,
    }
    schema = workflow_schema(target)
    if schema is not None:
        config["dbos_system_schema"] = schema
    return config
