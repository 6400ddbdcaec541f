"""/healthz and /metrics for machines, and the icon: without a session."""

from __future__ import annotations

import threading
import time
from typing import Final

from anyio import CapacityLimiter, to_thread
from prometheus_client import CollectorRegistry, Gauge, PlatformCollector, ProcessCollector, generate_latest
from sqlalchemy import func, select
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from app.answers import answered
from app.theme import STATIC
from backend import clock
from backend.alerting.tables import Alert, Incident
from backend.audit.tables import AuditHead
from backend.backups.state import backup_state
from backend.database.session import ReadSession, reading
from backend.governance.tables import Change
from backend.own_objectives import read_objectives
from backend.queue import JobRun, WorkerBeat, worker_dead_after

COUNTED_EVERY_S: Final = 5.0
_PROBES: Final = CapacityLimiter(2)


def routes() -> list[BaseRoute]:
    icons = [Route(path, icon) for path in ("/favicon.png", "/favicon.ico")]
    return [Route("/healthz", healthz), Route("/metrics", metrics), *icons]


def icon(_request: Request) -> Response:
    """Our icon under the names browsers and Streamlit ask for."""
    return FileResponse(
        STATIC / "icon.svg", media_type="image/svg+xml", headers={"Cache-Control": "max-age=86400"}
    )


async def healthz(_request: Request) -> Response:
    """200 when pages can be served: the process answers and the database reads. In threads of its own, so that a proxy
    hears it however busy the others are."""
    return await to_thread.run_sync(_health, limiter=_PROBES)


def _health() -> Response:
    try:
        with reading() as session:
            session.execute(select(1))
    except Exception as error:  # noqa: BLE001 - whatever the database raises, it is away
        return JSONResponse({"status": "no database", "reason": type(error).__name__}, status_code=503)
    return JSONResponse({"status": "ok"})


def metrics(_request: Request) -> Response:
    """Prometheus text: this process, and how many things wait. Totals only: anybody may read them.

    They are counted once in `COUNTED_EVERY_S`, by one request, while others get what was counted before: whoever asks
    without end costs the database no more than a scraper does.
    """
    return Response(_KEPT.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


class _Kept:
    """What was counted last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._text: bytes | None = None
        self._at = 0.0

    def text(self) -> bytes:
        if self._is_due() and self._lock.acquire(blocking=self._text is None):
            try:
                if self._is_due():
                    self._text, self._at = count_metrics(), time.monotonic()
            finally:
                self._lock.release()
        return self._text or b""

    def _is_due(self) -> bool:
        return self._text is None or time.monotonic() - self._at >= COUNTED_EVERY_S


_KEPT: Final = _Kept()


def count_metrics() -> bytes:
    """The text as it is now."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    alerts = Gauge("warrant_firing_alerts", "Alerts that fire now", ["level"], registry=registry)
    jobs = Gauge("warrant_job_runs", "Job runs by state", ["state"], registry=registry)
    changes = Gauge("warrant_open_changes", "Changes that are not finished", ["state"], registry=registry)
    incidents = Gauge("warrant_open_incidents", "Incidents that are open", registry=registry)
    workers = Gauge("warrant_live_workers", "Workers whose heartbeat is fresh", registry=registry)
    entries = Gauge("warrant_audit_entries", "Entries of the audit log", registry=registry)
    for level in ("page", "ticket", "info"):
        alerts.labels(level).set(0)
    with reading() as session:
        firing = select(Alert.level, func.count()).where(Alert.state == "firing").group_by(Alert.level)
        for level, count in session.execute(firing):
            alerts.labels(level).set(count)
        for state, count in session.execute(select(JobRun.state, func.count()).group_by(JobRun.state)):
            jobs.labels(state).set(count)
        waiting = select(Change.state, func.count()).where(
            Change.state.in_(("waiting", "approved", "executing"))
        )
        for state, count in session.execute(waiting.group_by(Change.state)):
            changes.labels(state).set(count)
        incidents.set(session.scalar(select(func.count()).where(Incident.state == "open")) or 0)
        alive = WorkerBeat.seen_at >= clock.now() - worker_dead_after()
        workers.set(session.scalar(select(func.count()).select_from(WorkerBeat).where(alive)) or 0)
        entries.set(session.scalar(select(AuditHead.size)) or 0)
        _count_backups(session, registry)
        _own_objectives(session, registry)
    return generate_latest(registry)


def _own_objectives(session: ReadSession, registry: CollectorRegistry) -> None:
    """Warrant's own figures and their limits; one that nobody can know now has a limit and no value."""
    value = Gauge(
        "warrant_own_value", "Warrant's own objectives: as they stand", ["objective"], registry=registry
    )
    limit = Gauge("warrant_own_limit", "Warrant's own objectives: at most", ["objective"], registry=registry)
    for one in read_objectives(session, answered()):
        limit.labels(one.objective.name).set(one.objective.limit)
        if one.value is not None:
            value.labels(one.objective.name).set(one.value)


def _count_backups(session: ReadSession, registry: CollectorRegistry) -> None:
    """When the newest backup is of, and what the last drill found; nothing before there is one. Whoever scrapes this
    sees that a backup or a drill is overdue also while no worker is alive to say so."""
    state = backup_state(session)
    told = []
    if state.newest is not None:
        told.append(
            (
                "backup_moment_seconds",
                "Moment that the newest backup holds",
                state.newest.snapshot_at.timestamp(),
            )
        )
    if state.drill is not None:
        told.append(("restore_drill_ok", "Whether the last restore drill passed", float(state.drill.ok)))
    if state.passed is not None:
        told += [
            ("restore_drill_moment_seconds", "When a restore drill last passed", state.passed.at.timestamp()),
            (
                "restore_drill_rto_seconds",
                "How long it took until it was verified",
                state.passed.rto_s or 0.0,
            ),
            (
                "restore_drill_rpo_seconds",
                "How old the moment was that it restored",
                state.passed.rpo_s or 0.0,
            ),
        ]
    for name, words, value in told:
        Gauge(f"warrant_{name}", words, registry=registry).set(value)
