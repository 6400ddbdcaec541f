"""Changes: preview, ask, decide, cancel. The same rules as the pages, because it is the same service."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from backend.api.idempotency import body_of, once
from backend.api.parameters import AlertNumber, Before, RowId, VersionNumber
from backend.api.security import current_actor
from backend.database.session import reading
from backend.governance.service import (
    LONGEST_TEXT,
    cancel_change,
    decide,
    get_change,
    list_changes,
    preview_change,
    request_change,
    waiting_for,
)
from backend.governance.views import change_detail, change_summary, preview_view
from backend.identity.actor import Actor
from backend.settings import settings

router = APIRouter(tags=["changes"])
Caller = Annotated[Actor, Depends(current_actor)]
Body = Annotated[bytes, Depends(body_of)]
Text = Annotated[str, Field(max_length=LONGEST_TEXT, pattern=r"^[^\x00]*$")]  # PostgreSQL stores no NUL


class ChangeRequest(BaseModel):
    kind: Literal["promote", "rollback"]
    model: str
    environment: str = Field(default_factory=lambda: settings().environment)
    to_version: VersionNumber = None
    alert_id: AlertNumber = None
    reason: Text
    digest: str = Field(description="the digest of the preview you looked at")


class DecisionRequest(BaseModel):
    verdict: Literal["approve", "reject"]
    comment: Text = ""
    digest: str = Field(description="the digest of the change you looked at")


class CancelRequest(BaseModel):
    reason: Text = ""


@router.get("/changes/preview")
def preview(
    actor: Caller,
    kind: Literal["promote", "rollback"],
    model: str,
    environment: str | None = None,
    to_version: VersionNumber = None,
    alert_id: AlertNumber = None,
) -> dict[str, Any]:
    """The diff, the policy and the digest of a change that has not been asked for."""
    with reading() as session:
        return preview_view(
            preview_change(
                session, actor, kind=kind, model=model, environment=environment or settings().environment,
                to_version=to_version, alert_id=alert_id,
            )
        )  # fmt: skip


@router.post("/changes", status_code=201)
def ask(request: Request, actor: Caller, body: Body, asked: ChangeRequest) -> Response:
    """Ask for a change, on the digest of its preview."""

    def act(session: Any) -> dict[str, Any]:
        change = request_change(
            session, actor, kind=asked.kind, model=asked.model, environment=asked.environment, reason=asked.reason,
            seen_digest=asked.digest, to_version=asked.to_version, alert_id=asked.alert_id,
        )  # fmt: skip
        return change_detail(session, actor, change)

    return once(request, actor, body, act, status=201)


@router.get("/changes")
def changes(
    actor: Caller,
    model: str | None = None,
    state: Annotated[list[str] | None, Query()] = None,
    waiting_for_me: bool = False,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    before: Before = None,
) -> dict[str, Any]:
    """Changes, newest first. Pass `next` of an answer as `before` for the following page."""
    with reading() as session:
        if waiting_for_me:
            return {
                "changes": [change_summary(session, one) for one in waiting_for(session, actor)],
                "next": None,
            }
        found = list_changes(
            session, actor, model=model, states=tuple(state or ()), limit=limit, before=before
        )
        following = found[-1].id if len(found) == limit else None
        return {"changes": [change_summary(session, one) for one in found], "next": following}


@router.get("/changes/{change_id}")
def change(actor: Caller, change_id: RowId) -> dict[str, Any]:
    """One change with its evidence, decisions and outcome."""
    with reading() as session:
        return change_detail(session, actor, get_change(session, actor, change_id))


@router.post("/changes/{change_id}/decisions", status_code=201)
def decision(
    request: Request, actor: Caller, body: Body, change_id: RowId, decided: DecisionRequest
) -> Response:
    """Approve or reject, on the digest you saw."""

    def act(session: Any) -> dict[str, Any]:
        found = decide(
            session,
            actor,
            change_id,
            verdict=decided.verdict,
            comment=decided.comment,
            seen_digest=decided.digest,
        )
        return change_detail(session, actor, found)

    return once(request, actor, body, act, status=201)


@router.post("/changes/{change_id}/cancellation", status_code=201)
def cancellation(
    request: Request, actor: Caller, body: Body, change_id: RowId, cancelled: CancelRequest
) -> Response:
    """Withdraw a change you asked for."""
    return once(
        request, actor, body,
        lambda session: change_detail(
            session, actor, cancel_change(session, actor, change_id, reason=cancelled.reason)
        ),
        status=201,
    )  # fmt: skip
