"""Deletes what nobody needs any more: finished runs and their workflow rows, old sign-in attempts, dead beats, what
rollouts that are long over left behind, and files that were handed in and that nobody had imported."""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import delete, select

from backend import clock
from backend.audit.retention import erase_old_payloads, purge_words
from backend.database.session import WriteSession, reading, writing
from backend.governance.asking import expire_late_changes
from backend.governance.trials import delete_tallies, models_on_trial, models_with_old_shadows
from backend.holds.rows import any_hold_on_rows
from backend.identity.oidc_logout import forget_id_tokens
from backend.identity.tables import IdempotencyKey
from backend.identity.throttle import prune_attempts
from backend.leases import WRITER, give_back, take_lease
from backend.onboarding.given_files import forget_old_given
from backend.queue import (
    EVALUATE_SLOS,
    MIRROR_REGISTRY,
    PRUNE,
    RECONCILE_AUDIT,
    RECONCILE_TARGET,
    SIGN_AUDIT,
    STREAM_AUDIT,
    WATCH_SELF,
    JobRun,
    WorkerBeat,
)
from backend.serving.outcome_log import sum_up_outcomes
from backend.serving.usage_log import forget_usage
from backend.settings import settings
from jobs.ownership import record_tables, workflow_table
from jobs.runtime import Run, workflow

log = logging.getLogger("warrant.jobs")

STEPS = (
    "delete_runs",
    "delete_attempts",
    "compact_counts",
    "expire_changes",
    "delete_trials",
    "delete_shadows",
    "erase_payloads",
    "sum_up_requests",
    "forget_given",
)

KEEP_RUNS: Final = timedelta(days=30)
# These run every half minute to minute; only their last result matters, and failures are kept as long as others.
KEEP_ROUTINE: Final = timedelta(hours=1)
ROUTINE: Final = (
    EVALUATE_SLOS.name, MIRROR_REGISTRY.name, RECONCILE_TARGET.name, SIGN_AUDIT.name, STREAM_AUDIT.name,
    RECONCILE_AUDIT.name, WATCH_SELF.name,
)  # fmt: skip
KEEP_ANSWERS: Final = timedelta(days=2)
KEEP_BEATS: Final = timedelta(days=1)
BATCH: Final = 500
WRITER_LASTS: Final = timedelta(minutes=2)
WRITER_TRIES: Final = 20
WRITER_PAUSE_S: Final = 0.5


@workflow(PRUNE)
def prune(run: Run) -> None:
    """Delete in small transactions, so that nobody waits for the database."""
    run.progress(0.1, "deleting old runs")
    deleted = run.step("delete_runs", delete_runs)
    run.progress(0.8, f"{deleted} runs deleted, deleting old sign-in attempts")
    run.step("delete_attempts", delete_attempts)
    run.step("compact_counts", compact_slots, run)
    run.step("expire_changes", expire_changes)
    run.progress(0.9, "deleting what is left of old rollouts")
    run.step("delete_trials", delete_trials)
    run.step("delete_shadows", delete_shadows, run.run_id)
    run.progress(0.95, "erasing payloads of the audit log that are no longer kept")
    run.step("erase_payloads", erase_payloads, run)
    run.step("sum_up_requests", sum_up_requests)
    run.step("forget_given", forget_old_given)


def sum_up_requests() -> int:
    """Hours of the request-outcome log from their minutes, which then may go. Returns how many hours."""
    with writing() as session:
        forget_usage(session, clock.now())
        return sum_up_outcomes(session, clock.now())


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


def delete_trials() -> int:
    """Delete what gateways counted in rollouts that ended `WARRANT_KEEP_TRIALS_DAYS` ago. Returns how many rows."""
    with writing() as session:
        return delete_tallies(session, before=clock.now() - timedelta(days=settings().keep_trials_days))


def delete_shadows(holder: str) -> int:
    """Delete what shadows scored on days so long ago, where nothing open may ask for it and no hold keeps it. Returns
    how many files.

    Under the writer's lease. A writer that is busy all the time is not waited for; there is another hour.
    """
    from backend.observations.schema import shadow_table, table_path
    from backend.observations.writer import WriterBusy, trim_shadows

    observations = settings().observations
    oldest = (clock.now() - timedelta(days=settings().keep_trials_days)).date()
    with reading() as session:
        models = models_with_old_shadows(session)
    count = 0
    for model in models:
        if not table_path(observations, shadow_table(model), "predictions").is_dir():
            continue
        for _ in range(WRITER_TRIES):
            with writing() as session:
                free = take_lease(session, WRITER, holder=holder, lasts=WRITER_LASTS) is not None
                wanted = model in models_on_trial(session) or any_hold_on_rows(session, model) is not None
            if free:
                try:
                    if not wanted:
                        count += trim_shadows(observations, settings().spool, model, before=oldest)
                    break
                except WriterBusy:
                    log.debug("the spool is being moved; its writer lost the lease")
                finally:
                    with writing() as session:
                        give_back(session, WRITER, holder=holder)
            time.sleep(WRITER_PAUSE_S)
    return count


def erase_payloads(run: Run) -> int:
    """Erase payloads older than `WARRANT_AUDIT_KEEP_PAYLOADS_DAYS`, where no hold keeps them, and what is left of the
    words of those that were erased since the last time, by whomever. Returns how many were erased now."""
    days, count = settings().audit_keep_payloads_days, 0
    before = clock.now() - timedelta(days=days or 0)
    while days is not None:
        with writing() as session:
            run.require_owned(session)
            erased = erase_old_payloads(session, run.actor, before=before)
        count += erased
        if not erased:
            break
    with writing() as session:
        run.require_owned(session)
        purge_words(session)
    return count


def compact_slots(run: Run) -> int:
    """Add up the slots that objectives counted some time ago, one objective a transaction. Returns how many went."""
    from backend.slo.compaction import compact_objective, objectives_to_compact

    with reading() as session:
        keys = objectives_to_compact(session)
    gone = 0
    for key in keys:
        with writing() as session:
            run.require_owned(session)
            gone += compact_objective(session, key, now=clock.now())
    return gone


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
        forget_id_tokens(session)
        session.execute(delete(IdempotencyKey).where(IdempotencyKey.created_at < now - KEEP_ANSWERS))
        session.execute(delete(WorkerBeat).where(WorkerBeat.seen_at < now - KEEP_BEATS))
    return 0
