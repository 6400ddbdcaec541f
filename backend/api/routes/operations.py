"""Alerts, incidents, jobs, and who is calling."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from backend import jobs_service
from backend.alerting.service import acknowledge, close_by_hand, firing_alerts, recent_incidents
from backend.alerting.tables import Alert, Incident
from backend.api.idempotency import body_of, once
from backend.api.parameters import RowId
from backend.api.security import COOKIE, current_actor
from backend.database.session import reading
from backend.identity.actor import Actor
from backend.identity.roles import Permission
from backend.identity.sessions import session_of
from backend.queue import JobRun, recent_runs

router = APIRouter(tags=["operations"])
Caller = Annotated[Actor, Depends(current_actor)]
Body = Annotated[bytes, Depends(body_of)]


def _alert(alert: Alert) -> dict[str, Any]:
    return {
        "id": alert.id, "model": alert.model, "environment": alert.environment, "version": alert.version,
        "kind": alert.kind, "level": alert.level, "state": alert.state, "title": alert.title,
        "details": alert.details, "since": alert.since, "fired_at": alert.fired_at,
        "last_seen_at": alert.last_seen_at, "incident_id": alert.incident_id,
    }  # fmt: skip


def _incident(incident: Incident) -> dict[str, Any]:
    return {
        "id": incident.id, "model": incident.model, "environment": incident.environment, "state": incident.state,
        "title": incident.title, "opened_at": incident.opened_at, "acknowledged_at": incident.acknowledged_at,
        "closed_at": incident.closed_at, "closed_by_change": incident.closed_by_change,
        "closed_because": incident.closed_because,
    }  # fmt: skip


def _run(run: JobRun) -> dict[str, Any]:
    return {
        "id": run.id, "name": run.name, "queue": run.queue, "subject": run.subject, "state": run.state,
        "progress": run.progress, "step": run.step, "error": run.error, "requested_at": run.requested_at,
        "started_at": run.started_at, "finished_at": run.finished_at, "attempts": run.attempts,
    }  # fmt: skip


@router.get("/me")
def me(request: Request, actor: Caller) -> dict[str, Any]:
    """Who this token or session belongs to; for a session also the token that its changing requests must carry."""
    found = None if "Authorization" in request.headers else session_of(request.cookies.get(COOKIE))
    return {
        "csrf_token": None if found is None else found.csrf,
        "id": actor.person_id,
        "name": actor.display_name,
        "roles": sorted(role.value for role in actor.roles),
    }


@router.get("/alerts")
def alerts(actor: Caller) -> dict[str, Any]:
    """What fires now, worst first."""
    with reading() as session:
        return {"alerts": [_alert(alert) for alert in firing_alerts(session, actor)]}


@router.get("/incidents")
def incidents(actor: Caller, model: str | None = None) -> dict[str, Any]:
    with reading() as session:
        return {"incidents": [_incident(one) for one in recent_incidents(session, actor, model=model)]}


@router.post("/incidents/{incident_id}/acknowledgement", status_code=201)
def acknowledgement(request: Request, actor: Caller, body: Body, incident_id: RowId) -> Response:
    return once(
        request, actor, body, lambda session: _incident(acknowledge(session, actor, incident_id)), status=201
    )


class ClosureRequest(BaseModel):
    why: str = Field(max_length=4000)


@router.post("/incidents/{incident_id}/closure", status_code=201)
def closure(
    request: Request, actor: Caller, body: Body, incident_id: int, closing: ClosureRequest
) -> Response:
    """Close an incident under which nothing fires any more."""
    return once(
        request, actor, body,
        lambda session: _incident(close_by_hand(session, actor, incident_id, why=closing.why)), status=201,
    )  # fmt: skip


@router.get("/jobs")
def jobs(
    actor: Caller,
    state: Annotated[list[str] | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> dict[str, Any]:
    actor.require(Permission.READ_JOBS)
    with reading() as session:
        return {"jobs": [_run(run) for run in recent_runs(session, limit=limit, states=tuple(state or ()))]}


@router.post("/jobs/{run_id}/retry", status_code=202)
def retry(request: Request, actor: Caller, body: Body, run_id: str) -> Response:
    """Queue a failed run's work again."""
    return once(
        request, actor, body, lambda session: _run(jobs_service.retry(session, actor, run_id)), status=202
    )
