"""What happens by the clock. One row of `SCHEDULES` is one kind of work.

A tick asks for a run whose id says what it is for and when (`evaluate_slos-2026-11-21T11:30:00Z`), so asking twice is
one run. Only the present slot is ever asked for, and not while an earlier run for the same subject is still queued or
running, or has just failed: after a suspend nothing has piled up. One worker at a time ticks (lease `scheduler`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from backend import clock
from backend.alerting.own_work import stumbled_schedules, tell_stumbled
from backend.alerting.tables import Alert
from backend.audit import checkpoints
from backend.database.session import ReadSession, reading, writing
from backend.deployment.tables import Deployment
from backend.errors import BadInput
from backend.explain.tables import ShapSummary
from backend.identity.actor import system_actor
from backend.leases import SCHEDULER, give_back, take_lease
from backend.monitoring.columns import parse_spec
from backend.monitoring.examination_service import windows_to_examine
from backend.monitoring.tables import WindowState
from backend.monitoring.windows import window_of
from backend.monitoring.windows_service import is_due, is_unjudged
from backend.queue import (
    ANALYSE_WINDOW,
    CHECK_CONDITIONS,
    CHECK_REVIEWS,
    COMPUTE_JOINT,
    COMPUTE_METRICS,
    COMPUTE_SHAP,
    EVALUATE_SLOS,
    EXPLAIN_SAMPLE,
    KEEP_DATA,
    KEEP_STANDINGS,
    MAKE_BACKUP,
    MEASURE_COSTS,
    MIRROR_REGISTRY,
    OPEN_RETRAINING,
    PRUNE,
    RECONCILE_AUDIT,
    RECONCILE_TARGET,
    REMIND_DECIDERS,
    RESTORE_DRILL,
    SIGN_AUDIT,
    STREAM_AUDIT,
    TEND_ALERTS,
    TEND_CHANGES,
    VERIFY_AUDIT,
    WATCH_SELF,
    Job,
    JobRun,
    request_job,
)
from backend.registry.service import described_models
from backend.registry.tables import Model
from backend.settings import settings
from jobs.runtime import reason_of

log = logging.getLogger("warrant.scheduler")

SCHEDULE_EVERY_S: Final = 5.0
LEASE_LASTS: Final = timedelta(seconds=20)
# What has just failed will fail again: without a pause it would fill the audit log.
PAUSE_AFTER_FAILURE: Final = timedelta(minutes=5)


@dataclass(frozen=True)
class Due:
    """One run to ask for. `about` tells it from others of the same job in its slot."""

    subject: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    about: str = ""


@dataclass(frozen=True)
class Schedule:
    """Ask for `job` once in every slot of `every_s` seconds, for everything that `due` names."""

    job: Job
    every_s: int
    due: Callable[[ReadSession, datetime], list[Due]]
    pause: timedelta = PAUSE_AFTER_FAILURE

    def slot(self, now: datetime) -> datetime:
        """The start of the slot that `now` lies in, counted from 1970."""
        return datetime.fromtimestamp(int(now.timestamp()) // self.every_s * self.every_s, UTC)

    def run_id(self, due: Due, now: datetime) -> str:
        parts = [self.job.name, due.subject, due.about, self.slot(now).strftime("%Y-%m-%dT%H:%M:%SZ")]
        return "-".join(part for part in parts if part)


def models_due(session: ReadSession, now: datetime) -> list[Due]:
    """Models with a window to compute: rows or labels of it have come, it has ended since it was last computed, its
    labels may speak by now, or it is compared with something else than the spec says.

    Also one whose newest window is followed by a whole window without any row: "no traffic" is a finding. That is
    asked for once a window.
    """
    waiting = select(WindowState.model).where(is_due(now))
    due = set(session.scalars(waiting.distinct()))
    for model in described_models(session):
        spec = parse_spec(model.spec)
        size = spec.live_window or spec.window
        unjudged = select(WindowState.id).where(WindowState.model == model.name, is_unjudged(spec)).limit(1)
        if model.name not in due and session.scalar(unjudged) is not None:
            due.add(model.name)
        if model.name in due or spec.window_rows is not None:
            continue
        present = window_of(now, size, spec.timezone).start
        newest = session.scalar(
            select(func.max(WindowState.end)).where(WindowState.model == model.name, WindowState.size == size)
        )
        looked = session.scalar(
            select(func.max(JobRun.finished_at)).where(
                JobRun.name == COMPUTE_METRICS.name, JobRun.subject == model.name, JobRun.state == "succeeded"
            )
        )
        if newest is not None and newest < present and (looked is None or looked < present):
            due.add(model.name)
    return [Due(name) for name in sorted(due)]


def models_not_noted(session: ReadSession, _now: datetime) -> list[Due]:
    """Once, while some model that serves has no standing, or one of another champion."""
    from backend.monitoring.standings import models_without_standing  # with it comes pandas

    return [Due()] if models_without_standing(session, settings().environment) else []


def models_unexamined(session: ReadSession, _now: datetime) -> list[Due]:
    """Models with a finished window whose rows have not been examined, or that has got rows since."""
    environment = settings().environment
    return [
        Due(model.name)
        for model in described_models(session)
        if windows_to_examine(session, model=model.name, environment=environment, spec=parse_spec(model.spec))
    ]


def models_unanalysed(session: ReadSession, now: datetime) -> list[Due]:
    """Models with a window whose realised performance fell and whose rows, as they are, have not been analysed."""
    from backend.monitoring.analysis_service import models_to_analyse  # with it comes pandas

    return [Due(name) for name in models_to_analyse(session, now)]


def unexplained_champions(session: ReadSession, _now: datetime) -> list[Due]:
    """Versions that serve and have no explanation yet."""
    explained = select(ShapSummary.version).where(
        ShapSummary.model == Deployment.model, ShapSummary.version == Deployment.version
    )
    open_champions = (
        select(Deployment.model, Deployment.version)
        .where(Deployment.ended_at.is_(None), Deployment.role == "champion", ~explained.exists())
        .distinct()
        .order_by(Deployment.model, Deployment.version)
    )
    return [
        Due(model, {"version": version}, f"v{version}") for model, version in session.execute(open_champions)
    ]


def models_unexplained(session: ReadSession, _now: datetime) -> list[Due]:
    """Models whose spec asks for explanations, with a finished window of which none are stored."""
    from backend.explain.windows import windows_to_explain

    environment = settings().environment
    return [
        Due(model.name)
        for model in described_models(session)
        if windows_to_explain(session, model=model.name, environment=environment, spec=parse_spec(model.spec))
    ]


def models_with_conditions(session: ReadSession, _now: datetime) -> list[Due]:
    """Models whose approval holds under conditions, while their deployment is open or an alert of one fires."""
    from backend.governance.conditions import models_to_check  # with it comes pandas

    return [Due(name) for name in models_to_check(session)]


def targets_unsettled(session: ReadSession, now: datetime) -> list[Due]:
    """Models whose target, or MLflow's alias, may not be as the record says, and that no rollout moves now."""
    from backend.governance.reconciling import places_due
    from backend.governance.withdrawing import places_left

    places = [*places_due(session, now, target=settings().target), *places_left(session, now)]
    return [
        Due(f"{model}/{environment}", {"model": model, "environment": environment})
        for model, environment in places
    ]


def deciders_to_remind(session: ReadSession, now: datetime) -> list[Due]:
    """One run, where a change has waited so long that those who can still decide are reminded."""
    from backend.governance.reminders import changes_to_remind

    return [Due()] if changes_to_remind(session, now) else []


def changes_to_tend(session: ReadSession, now: datetime) -> list[Due]:
    """One run, where a freeze or an owed review held what was approved, the time of a break-glass is over, or a run
    that executed a change was given up."""
    from backend.governance.abandoned import abandoned_changes
    from backend.governance.tables import Change
    from backend.governance.time_boxes import boxes_due  # with it comes pandas

    held = select(Change.id).where(Change.state == "approved", Change.run_id.is_(None)).limit(1)
    is_held = session.scalars(held).first() is not None
    return [Due()] if is_held or abandoned_changes(session) or boxes_due(session, now) else []


def alerts_to_tend(session: ReadSession, now: datetime) -> list[Due]:
    """One run, where an alert that comes and goes was held and has long been quiet, a gateway is silent, an incident
    that a change answered is to be closed or reopened, or a page is muted no longer."""
    from backend.alerting.gateways import is_anything_silent
    from backend.alerting.mitigation import to_tend
    from backend.alerting.unmuted import unheard

    held = select(Alert.id).where(Alert.state == "firing", Alert.held_until <= now).limit(1)
    is_held = session.scalars(held).first() is not None
    due = is_held or is_anything_silent(session, now) or to_tend(session) or unheard(session)
    return [Due()] if due else []


def retraining_wanted(session: ReadSession, now: datetime) -> list[Due]:
    """One run, where a trigger of a model's spec has a cause, or something of a retraining is to be closed."""
    from backend.retraining.triggers import causes_now, lost_runs, promotions_told  # with them comes pandas

    wanted = causes_now(session, now) or lost_runs(session) or promotions_told(session)
    return [Due()] if wanted else []


def reviews_overdue(session: ReadSession, now: datetime) -> list[Due]:
    """One run, where a review of access was not answered by its day and no finding says so yet."""
    from backend.access.reviews import overdue_reviews

    return [Due()] if overdue_reviews(session, now) else []


def followers_behind(session: ReadSession, _now: datetime) -> list[Due]:
    """One run, where the log is sent somewhere and a destination has not taken all of it."""
    if not settings().audit_streams.strip():
        return []
    from backend.audit.streaming import is_behind

    try:
        return [Due()] if is_behind(session) else []
    except BadInput:  # the run says what is wrong with the setting
        return [Due()]


def any_objective(session: ReadSession, _now: datetime) -> list[Due]:
    """One run, where there is an objective to judge."""
    from backend.slo.tables import ObjectiveRevision

    active = select(ObjectiveRevision.id).where(
        ObjectiveRevision.superseded_at.is_(None), ObjectiveRevision.state == "active"
    )
    return [Due()] if session.scalars(active.limit(1)).first() is not None else []


def self_unwatched(session: ReadSession, now: datetime) -> list[Due]:
    """One run, where a heartbeat is waited for outside."""
    from backend.heartbeat import is_look_due

    return [Due()] if is_look_due(session, now) else []


def backup_due(session: ReadSession, now: datetime) -> list[Due]:
    """One run, where a folder for backups is set and the newest one is as old as they may get."""
    from backend.backups.state import is_backup_due

    return [Due()] if is_backup_due(session, now) else []


def drill_due(session: ReadSession, now: datetime) -> list[Due]:
    """One run, where the newest backup is to be tried, or it is to be said or no longer to be said that one is late."""
    from backend.backups.state import is_drill_due, is_lateness_untold

    return [Due()] if is_drill_due(session, now) or is_lateness_untold(session, now) else []


def _any_model(session: ReadSession, _now: datetime) -> list[Due]:
    return [Due()] if session.scalars(select(Model.name).limit(1)).first() is not None else []


def _always(_session: ReadSession, _now: datetime) -> list[Due]:
    return [Due()]


SCHEDULES: Final = (
    Schedule(COMPUTE_METRICS, 60, models_due),
    Schedule(EVALUATE_SLOS, 60, any_objective),
    Schedule(MIRROR_REGISTRY, 60, _any_model),
    Schedule(COMPUTE_JOINT, 300, models_unexamined),
    Schedule(ANALYSE_WINDOW, 300, models_unanalysed),
    Schedule(COMPUTE_SHAP, 300, unexplained_champions),
    Schedule(EXPLAIN_SAMPLE, 300, models_unexplained),
    Schedule(CHECK_CONDITIONS, 300, models_with_conditions),
    Schedule(CHECK_REVIEWS, 3_600, reviews_overdue),
    Schedule(KEEP_STANDINGS, 60, models_not_noted),
    Schedule(RECONCILE_TARGET, 60, targets_unsettled),
    Schedule(REMIND_DECIDERS, 60, deciders_to_remind),
    Schedule(TEND_CHANGES, 60, changes_to_tend),
    Schedule(TEND_ALERTS, 30, alerts_to_tend),
    Schedule(OPEN_RETRAINING, 60, retraining_wanted),
    Schedule(SIGN_AUDIT, int(checkpoints.EVERY.total_seconds()), _always),
    Schedule(STREAM_AUDIT, 30, followers_behind),
    Schedule(RECONCILE_AUDIT, 900, _always),
    Schedule(VERIFY_AUDIT, 21_600, _always),
    Schedule(WATCH_SELF, 5, self_unwatched, pause=timedelta(0)),
    Schedule(KEEP_DATA, 86_400, _always),
    Schedule(MAKE_BACKUP, 900, backup_due),
    Schedule(RESTORE_DRILL, 3_600, drill_due),
    Schedule(MEASURE_COSTS, 3_600, _always),
    Schedule(PRUNE, 3_600, _always),
)


def request_due(now: datetime) -> list[str]:
    """Ask for everything that is due in its present slot. Returns the ids of the runs that this call made."""
    made: list[str] = []
    wanted = _due_now(now)
    with reading() as session:
        known = set(
            session.scalars(select(JobRun.id).where(JobRun.id.in_([run_id for *_, run_id in wanted])))
        )
        busy = {
            (name, subject)
            for name, subject in session.execute(
                select(JobRun.name, JobRun.subject).where(JobRun.state.in_(("queued", "running")))
            )
        }
        pauses = {schedule.job.name: schedule.pause for schedule in SCHEDULES}
        failed = session.execute(
            select(JobRun.name, JobRun.subject, JobRun.finished_at).where(
                JobRun.state == "failed",
                JobRun.requested_by.is_(None),
                JobRun.finished_at > now - PAUSE_AFTER_FAILURE,
            )
        )
        busy |= {
            (name, subject)
            for name, subject, at in failed
            if at is not None and at > now - pauses.get(name, PAUSE_AFTER_FAILURE)
        }
    for schedule, due, run_id in wanted:
        if run_id in known or (schedule.job.name, due.subject) in busy:
            continue
        try:
            with writing() as session:
                request_job(
                    session, schedule.job, subject=due.subject, arguments=dict(due.arguments), run_id=run_id
                )
        except IntegrityError:  # another scheduler, whose lease overlapped ours, asked first
            continue
        made.append(run_id)
    return made


def _due_now(now: datetime) -> list[tuple[Schedule, Due, str]]:
    """What every schedule names, with the ids of the runs. One that stumbles, over one model perhaps, holds up no
    other: it is a ticket until it does not."""
    found: list[tuple[Schedule, Due, str]] = []
    stumbled: dict[str, str] = {}
    with reading() as session:
        for schedule in SCHEDULES:
            try:
                found += [(schedule, due, schedule.run_id(due, now)) for due in schedule.due(session, now)]
            except SQLAlchemyError:  # the database is away: of all of them
                raise
            except Exception as error:
                log.exception("what is due of %s cannot be told; the others go on", schedule.job.name)
                stumbled[schedule.job.name] = reason_of(error)
        told = stumbled_schedules(session)
    if stumbled.keys() != told:
        with writing() as session:
            tell_stumbled(session, system_actor("worker"), stumbled)
    return found


class Scheduler:
    """Ticks while this worker has the lease."""

    def __init__(self, worker_id: str) -> None:
        self._worker_id = worker_id

    def tick(self) -> list[str]:
        with writing() as session:
            if take_lease(session, SCHEDULER, holder=self._worker_id, lasts=LEASE_LASTS) is None:
                return []
        made = request_due(clock.now())
        if made:
            log.debug("asked for %s", ", ".join(made))
        return made

    def give_back(self) -> None:
        with writing() as session:
            give_back(session, SCHEDULER, holder=self._worker_id)
