"""Jobs, and who is calling."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from backend import jobs_service
from backend.api.idempotency import body_of, once
from backend.api.pages import Cut, Limit, Offset
from backend.api.security import COOKIE, current_actor
from backend.database.session import reading
from backend.identity.actor import Actor
from backend.identity.reach import see
from backend.identity.roles import Permission
from backend.identity.sessions import session_of
from backend.queue import JobRun, recent_runs

router = APIRouter(tags=["operations"])
Caller = Annotated[Actor, Depends(current_actor)]
Body = Annotated[bytes, Depends(body_of)]


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
        "roles": sorted(role.value for role in actor.every_role),
    }


@router.get("/jobs")
def jobs(
    actor: Caller,
    state: Annotated[list[str] | None, Query()] = None,
    offset: Offset = 0,
    limit: Limit = 100,
) -> dict[str, Any]:
    part = Cut(offset, limit)
    with reading() as session:
        see(session, actor, Permission.READ_JOBS)
        return part.answer("jobs", recent_runs(session, states=tuple(state or ()), **part.more), _run)


@router.post("/jobs/{run_id}/retry", status_code=202)
def retry(request: Request, actor: Caller, body: Body, run_id: str) -> Response:
    """Queue a failed run's work again."""
    return once(
        request, actor, body, lambda session: _run(jobs_service.retry(session, actor, run_id)), status=202
    )
