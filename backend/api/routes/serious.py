"""Serious incidents: marking one, its clocks, and the draft of the report on it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, Field

from backend import clock
from backend.api.idempotency import body_of, once
from backend.api.parameters import RowId, ZonedMoment
from backend.api.routes.assurance import Short, Text
from backend.api.security import current_actor
from backend.assurance.report_draft import report_draft
from backend.assurance.serious import (
    mark_serious,
    meet_clock,
    replace_rules,
    rules_now,
    set_clock,
    snapshots_of,
)
from backend.assurance.serious_views import clock_view, serious_view
from backend.database.session import WriteSession, reading
from backend.identity.actor import Actor
from backend.identity.roles import Permission

router = APIRouter(tags=["serious incidents"])
Caller = Annotated[Actor, Depends(current_actor)]
Body = Annotated[bytes, Depends(body_of)]


class SeriousRequest(BaseModel):
    why: Text
    aware_at: ZonedMoment
    clocks: list[Short] = Field(min_length=1, max_length=20)


class ClockRequest(BaseModel):
    starts_at: ZonedMoment
    why: Text


class MetRequest(BaseModel):
    evidence: Text


class RulesRequest(BaseModel):
    document: str = Field(max_length=100_000, description="the clocks as YAML")
    note: Text


@router.get("/serious-rules")
def rules(actor: Caller) -> dict[str, Any]:
    """The clocks that a serious incident can start."""
    actor.require_some(Permission.READ_MODELS)
    with reading() as session:
        revision, found = rules_now(session)
        return {"revision": revision, "clocks": found.model_dump(mode="json")["clocks"]}


@router.post("/serious-rules", status_code=201)
def replace(request: Request, actor: Caller, body: Body, asked: RulesRequest) -> Response:
    """Put other clocks in force; those that run keep what they were started with."""
    return once(
        request, actor, body,
        lambda session: {"revision": replace_rules(session, actor, text=asked.document, note=asked.note).revision},
        status=201,
    )  # fmt: skip


@router.get("/incidents/{incident_id}/serious")
def serious(actor: Caller, incident_id: RowId) -> dict[str, Any]:
    """Whether an incident is serious, with its clocks and what was kept of the state."""
    with reading() as session:
        return serious_view(session, actor, incident_id)


@router.get("/incidents/{incident_id}/report-draft", response_class=PlainTextResponse)
def draft(actor: Caller, incident_id: RowId) -> PlainTextResponse:
    """A draft of the report, as Markdown, filled from the record."""
    with reading() as session:
        text = report_draft(session, actor, incident_id)
    return PlainTextResponse(text, media_type="text/markdown; charset=utf-8")


@router.get("/incidents/{incident_id}/snapshots/{snapshot_id}")
def snapshot(actor: Caller, incident_id: RowId, snapshot_id: RowId) -> dict[str, Any]:
    """The state that was kept, with the digest it was entered in the log under."""
    from backend.errors import NotFound

    with reading() as session:
        for one in snapshots_of(session, actor, incident_id):
            if one.id == snapshot_id:
                return {
                    "id": one.id, "digest": one.digest, "taken_at": one.taken_at, "change_id": one.change_id,
                    "document": one.document,
                }  # fmt: skip
    raise NotFound(f"INC-{incident_id} has no snapshot {snapshot_id} that you may see")


@router.post("/incidents/{incident_id}/serious", status_code=201)
def mark(request: Request, actor: Caller, body: Body, incident_id: RowId, asked: SeriousRequest) -> Response:
    """Mark an incident serious: clocks start, holds are placed, the state is kept."""

    def act(session: WriteSession) -> dict[str, Any]:
        mark_serious(session, actor, incident_id, why=asked.why, aware_at=asked.aware_at, clocks=asked.clocks)
        return serious_view(session, actor, incident_id)

    return once(request, actor, body, act, status=201)


@router.post("/serious-clocks/{clock_id}/start", status_code=201)
def start(request: Request, actor: Caller, body: Body, clock_id: RowId, asked: ClockRequest) -> Response:
    """Set from when a clock runs."""

    def act(session: WriteSession) -> dict[str, Any]:
        row = set_clock(session, actor, clock_id, starts_at=asked.starts_at, why=asked.why)
        return clock_view(row, clock.now())

    return once(request, actor, body, act, status=201)


@router.post("/serious-clocks/{clock_id}/meeting", status_code=201)
def met(request: Request, actor: Caller, body: Body, clock_id: RowId, asked: MetRequest) -> Response:
    """Say that what a clock asks for was done, and where that can be seen."""
    return once(
        request, actor, body,
        lambda session: clock_view(meet_clock(session, actor, clock_id, evidence=asked.evidence), clock.now()),
        status=201,
    )  # fmt: skip
