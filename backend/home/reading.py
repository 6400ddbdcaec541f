"""The rows of the blocks of the first page that no other service lists: at most `limit` each, with how many there are.

Each function narrows its session to what the viewer may see, so each is asked in a session of its own: one that was
narrowed by the right to read models stays so.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import aliased

from backend import clock
from backend.access.tables import AccessReview
from backend.assurance.inventory_tables import ModelFacts
from backend.assurance.tables import Finding
from backend.database.session import ReadSession
from backend.deployment.tables import Deployment
from backend.governance.machine import OPEN
from backend.governance.rollout_commands import current_step
from backend.governance.rollouts import paused_by
from backend.governance.tables import Change
from backend.identity.actor import Actor
from backend.identity.reach import allow, see
from backend.identity.roles import Permission
from backend.queue import JobRun
from backend.registry.tables import Version
from backend.slo.objectives_service import known_objective
from backend.slo.reading import standing_of
from backend.slo.tables import ObjectiveRevision, ObjectiveState

FEW: Final = 5
LATELY: Final = timedelta(hours=24)


@dataclass(frozen=True)
class Row:
    """One thing. `needs_somebody`: it does not go on by itself; `at` is what its function says."""

    id: str
    model: str | None
    text: str
    at: datetime | None
    needs_somebody: bool = False


@dataclass(frozen=True)
class Rows:
    """The first of them, and how many there are in all."""

    rows: tuple[Row, ...]
    total: int


def running_rollouts(session: ReadSession, viewer: Actor, environment: str, *, limit: int = FEW) -> Rows:
    """Promotions under way, the oldest first; `at` is when the present stage may end."""
    see(session, viewer)
    wanted = (Change.state == "executing", Change.environment == environment, Change.kind == "promote")
    rows = []
    for change in session.scalars(select(Change).where(*wanted).order_by(Change.id).limit(limit)):
        step = current_step(session, change.id)
        waits = step is not None and (step.verdict == "inconclusive" or paused_by(session, step) is not None)
        text = "is put into service" if step is None else f"{step.role}, {step.share:.0%} of requests"
        rows.append(
            Row(
                str(change.id),
                change.model,
                f"v{change.to_version}: {text}",
                step.bake_until if step else None,
                waits,
            )
        )
    return Rows(tuple(rows), _count(session, Change, *wanted))


def candidates(session: ReadSession, viewer: Actor, environment: str, *, limit: int = FEW) -> Rows:
    """The newest version of each model where it is newer than what serves, never served here, and no open change is
    about it; the newest first. `at` is when it was trained."""
    see(session, viewer)
    other = aliased(Version)
    newest = select(func.max(other.version)).where(other.model == Version.model).scalar_subquery()
    at = (Deployment.model == Version.model, Deployment.environment == environment)
    serving = select(func.max(Deployment.version)).where(
        *at, Deployment.role == "champion", Deployment.ended_at.is_(None)
    )
    champion = serving.scalar_subquery()
    served = select(Deployment.id).where(*at, Deployment.version == Version.version).exists()
    asked = (
        select(Change.id)
        .where(Change.model == Version.model, Change.to_version == Version.version, Change.state.in_(OPEN))
        .exists()
    )
    wanted = (Version.version == newest, or_(champion.is_(None), Version.version > champion), ~served, ~asked)
    found = session.execute(
        select(Version.model, Version.version, Version.trained_at, champion)
        .where(*wanted)
        .order_by(Version.trained_at.desc(), Version.model)
        .limit(limit)
    )
    rows = tuple(
        Row(
            f"{model}/{number}",
            model,
            f"v{number}, {f'v{now} serves' if now else 'nothing serves'}",
            trained_at,
        )
        for model, number, trained_at, now in found
    )
    return Rows(rows, _count(session, Version, *wanted))


def recent_changes(
    session: ReadSession, viewer: Actor, environment: str, *, limit: int = FEW, within: timedelta = LATELY
) -> Rows:
    """Changes that came to their end lately by being executed or failing, the newest first; `at` is when."""
    see(session, viewer)
    wanted = (
        Change.state.in_(("executed", "failed")), Change.environment == environment,
        Change.finished_at >= clock.now() - within,
    )  # fmt: skip
    found = session.execute(
        select(Change.id, Change.model, Change.summary, Change.finished_at, Change.state)
        .where(*wanted)
        .order_by(Change.finished_at.desc(), Change.id.desc())
        .limit(limit)
    )
    rows = tuple(
        Row(str(number), model, text if state == "executed" else f"failed: {text}", at, state == "failed")
        for number, model, text, at, state in found
    )
    return Rows(rows, _count(session, Change, *wanted))


def burning_budgets(session: ReadSession, viewer: Actor, environment: str, *, limit: int = FEW) -> Rows:
    """Objectives in danger, those with least of their budget first; `at` is since when. What cannot be judged is in
    danger of nothing, and is counted on the page of SLOs."""
    see(session, viewer)
    wanted = (
        ObjectiveState.objective == ObjectiveRevision.key, ObjectiveRevision.superseded_at.is_(None),
        ObjectiveRevision.state == "active", ObjectiveState.environment == environment,
        ObjectiveState.state == "breach",
    )  # fmt: skip
    found = session.execute(
        select(ObjectiveRevision, ObjectiveState)
        .where(*wanted)
        .order_by(ObjectiveState.remaining, ObjectiveRevision.id)
        .limit(limit)
    ).all()
    rows = tuple(
        Row(
            revision.key, revision.model, f"{revision.name}: {standing_of(revision, state).says}", state.since,
            needs_somebody=True,
        )
        for revision, state in found
        if known_objective(revision) is not None
    )  # fmt: skip
    total = session.scalar(
        select(func.count()).select_from(ObjectiveState).join(ObjectiveRevision, wanted[0]).where(*wanted[1:])
    )
    return Rows(rows, int(total or 0))


def overdue_findings(session: ReadSession, viewer: Actor, *, limit: int = FEW) -> Rows:
    """Findings that are not closed, those whose day is over or comes next first; `at` is that day. `needs_somebody`:
    it is over."""
    see(session, viewer)
    now = clock.now()
    wanted = (Finding.state.in_(("open", "answered")),)
    found = session.execute(
        select(Finding.id, Finding.model, Finding.title, Finding.severity, Finding.due_at)
        .where(*wanted)
        .order_by(Finding.due_at, Finding.id)
        .limit(limit)
    )
    rows = tuple(
        Row(str(number), model, f"{severity}: {title}", due, due <= now)
        for number, model, title, severity, due in found
    )
    return Rows(rows, _count(session, Finding, *wanted))


def overdue_model_reviews(session: ReadSession, viewer: Actor, *, limit: int = FEW) -> Rows:
    """Models whose next review should have been by now; `at` is its day."""
    see(session, viewer)
    wanted = (ModelFacts.next_review_at <= clock.now(),)
    found = session.execute(
        select(ModelFacts.model, ModelFacts.next_review_at)
        .where(*wanted)
        .order_by(ModelFacts.next_review_at, ModelFacts.model)
        .limit(limit)
    )
    rows = tuple(Row(model, model, "its review is overdue", at, needs_somebody=True) for model, at in found)
    return Rows(rows, _count(session, ModelFacts, *wanted))


def overdue_access_reviews(session: ReadSession, viewer: Actor, *, limit: int = FEW) -> Rows:
    """Reviews of who has which access that were not finished by their day."""
    viewer.require(Permission.REVIEW_ACCESS)
    wanted = (AccessReview.closed_at.is_(None), AccessReview.due_at <= clock.now())
    found = session.execute(
        select(AccessReview.id, AccessReview.title, AccessReview.due_at)
        .where(*wanted)
        .order_by(AccessReview.due_at)
        .limit(limit)
    )
    rows = tuple(Row(str(number), None, title, due, needs_somebody=True) for number, title, due in found)
    return Rows(rows, _count(session, AccessReview, *wanted))


def failed_jobs(session: ReadSession, viewer: Actor, *, limit: int = FEW, within: timedelta = LATELY) -> Rows:
    """Job runs that failed lately, the newest first; `at` is when."""
    allow(session, viewer, Permission.READ_JOBS)
    wanted = (JobRun.state == "failed", JobRun.finished_at >= clock.now() - within)
    found = session.execute(
        select(JobRun.id, JobRun.name, JobRun.subject, JobRun.finished_at)
        .where(*wanted)
        .order_by(JobRun.finished_at.desc())
        .limit(limit)
    )
    rows = tuple(
        Row(
            number,
            None,
            f"{name.replace('_', ' ')}{f' of {subject}' if subject else ''}",
            at,
            needs_somebody=True,
        )
        for number, name, subject, at in found
    )
    return Rows(rows, _count(session, JobRun, *wanted))


def _count(session: ReadSession, table: type[object], *wanted: ColumnElement[bool]) -> int:
    return int(session.scalar(select(func.count()).select_from(table).where(*wanted)) or 0)
