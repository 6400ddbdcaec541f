"""/healthz and /metrics for machines, and the icon: without a session."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge, PlatformCollector, ProcessCollector, generate_latest
from sqlalchemy import func, select
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from app.theme import STATIC
from backend import clock
from backend.alerting.tables import Alert, Incident
from backend.audit.tables import AuditHead
from backend.database.session import reading
from backend.governance.tables import Change
from backend.queue import JobRun, WorkerBeat, worker_dead_after


def routes() -> list[BaseRoute]:
    icons = [Route(path, icon) for path in ("/favicon.png", "/favicon.ico")]
    return [Route("/healthz", healthz), Route("/metrics", metrics), *icons]


def icon(_request: Request) -> Response:
    """Our icon under the names browsers and Streamlit ask for."""
    return FileResponse(
        STATIC / "icon.svg", media_type="image/svg+xml", headers={"Cache-Control": "max-age=86400"}
    )


def healthz(_request: Request) -> Response:
    """200 when pages can be served: the process answers and the database reads."""
    try:
        with reading() as session:
            session.execute(select(1))
    except Exception as error:  # noqa: BLE001 - whatever the database raises, it is away
        return JSONResponse({"status": "no database", "reason": type(error).__name__}, status_code=503)
    return JSONResponse({"status": "ok"})


def metrics(_request: Request) -> Response:
    """Prometheus text: this process, and how many things wait. Totals only: anybody may read them."""
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
    return Response(generate_latest(registry), media_type="text/plain; version=0.0.4; charset=utf-8")
