"""Asking for metrics and reports by hand, as jobs in the caller's transaction."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import WriteSession
from backend.errors import NotFound
from backend.explain import reports
from backend.identity.actor import Actor
from backend.identity.reach import allow
from backend.identity.roles import Permission
from backend.monitoring.tables import WindowState
from backend.queue import COMPUTE_METRICS, JobRun, request_job
from backend.registry.service import get_model
from backend.settings import settings


def request_metrics(session: WriteSession, actor: Actor, *, model: str) -> JobRun:
    """Compute every due window of a model now."""
    allow(session, actor, Permission.COMPUTE_METRICS)
    get_model(session, actor, model)
    run = request_job(
        session, COMPUTE_METRICS, subject=model, arguments={"model": model}, requested_by=actor.person_row
    )
    record(
        session,
        actor,
        Action.METRICS_REQUESTED,
        object_kind="model",
        object_id=model,
        payload={"run": run.id},
    )
    return run


def request_report(
    session: WriteSession, actor: Actor, *, model: str, window_start: datetime, size: str | None = None
) -> JobRun:
    """Have Evidently's report of one window written. Raises `NotFound` where there is no such window."""
    allow(session, actor, Permission.WRITE_REPORT)
    found = get_model(session, actor, model)
    size = size or str(found.spec["window"])
    window = session.scalars(
        select(WindowState).where(
            WindowState.model == model, WindowState.environment == settings().environment,
            WindowState.size == size, WindowState.start == window_start,
        )
    ).one_or_none()  # fmt: skip
    if window is None:
        raise NotFound(f"{model} has no {size} window that starts at {clock.to_iso(window_start)}")
    return reports.request_report(
        session,
        actor,
        model=model,
        environment=window.environment,
        start=window.start,
        end=window.end,
    )
