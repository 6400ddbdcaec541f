"""What changed in a window, and where it is worst: reading an analysis, and asking for one."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from backend import clock
from backend.api.idempotency import body_of, once
from backend.api.parameters import Moment
from backend.api.security import current_actor
from backend.database.session import reading
from backend.errors import BadInput, NotFound
from backend.identity.actor import Actor
from backend.monitoring.analysis_service import analysis_view, find_analysis, request_analysis

router = APIRouter(tags=["models"])
Caller = Annotated[Actor, Depends(current_actor)]
Body = Annotated[bytes, Depends(body_of)]


def _aware(start: datetime) -> datetime:
    if start.tzinfo is None:
        raise BadInput("start: write the time with its zone, as 2026-03-01T09:05:00Z")
    return start


@router.get("/models/{model}/windows/{start}/analysis")
def analysis(
    actor: Caller, model: str, start: Moment, size: str | None = None, environment: str | None = None
) -> dict[str, Any]:
    """The newest analysis of a window: the parts of the change, the worst slices, what happened before."""
    with reading() as session:
        found = find_analysis(
            session, actor, model=model, start=_aware(start), size=size, environment=environment
        )
        if found is None:
            raise NotFound(
                f"the window of {model} that starts at {clock.to_iso(start)} has not been analysed; "
                "POST to this address, or `warrant analyse`, has it done"
            )
        return analysis_view(found)


@router.post("/models/{model}/windows/{start}/analysis", status_code=202)
def analyse(
    request: Request, actor: Caller, body: Body, model: str, start: Moment, size: str | None = None
) -> Response:
    """Have a window analysed now; answers with the job's run id."""
    return once(
        request, actor, body,
        lambda session: {
            "run_id": request_analysis(session, actor, model=model, start=_aware(start), size=size).id
        },
        status=202,
    )  # fmt: skip
