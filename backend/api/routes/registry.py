"""The registry as others keep it: inventory, moves made elsewhere, what to do about them; and what served when."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from backend.api.idempotency import body_of, once
from backend.api.pages import Offset
from backend.api.parameters import Moment, RowId
from backend.api.security import current_actor
from backend.database.session import reading
from backend.deployment.timeline import read_moment, read_timeline, timeline_view
from backend.errors import BadInput
from backend.governance.asking import LONGEST_TEXT
from backend.governance.move_answers import (
    preview_regularisation,
    regularise,
    request_restore,
    set_enforcement,
)
from backend.governance.registry_moves import get_move, list_moves, move_view, report_view
from backend.governance.views import change_detail, preview_view
from backend.identity.actor import Actor
from backend.registry.inventory import ModelEntry, VersionEntry, list_inventory
from backend.settings import settings

router = APIRouter(tags=["registry"])
Caller = Annotated[Actor, Depends(current_actor)]
Body = Annotated[bytes, Depends(body_of)]
Text = Annotated[str, Field(max_length=LONGEST_TEXT, pattern=r"^[^\x00]*$")]  # PostgreSQL stores no NUL
Name = Annotated[str, Query(max_length=200, pattern=r"^[^\x00]*$")]


class EnforcementRequest(BaseModel):
    enforcement: Literal["enforce", "observe"]
    why: Text = ""


class ReasonedRequest(BaseModel):
    reason: Text = ""


class RegularisationRequest(BaseModel):
    reason: Text
    digest: str = Field(description="the digest of the preview you looked at")


def _version(entry: VersionEntry) -> dict[str, Any]:
    imported = entry.imported
    return {
        "version": entry.version, "registered": entry.registered is not None, "aliases": list(entry.aliases),
        "gaps": list(entry.gaps),
        "imported": None if imported is None else {
            "run_id": imported.run_id or None, "source": imported.source, "status": imported.status,
            "description": imported.description, "tags": imported.tags, "run": imported.run,
            "signature": imported.signature, "created_at": imported.created_at, "imported_at": imported.imported_at,
            "found": imported.found,
        },
    }  # fmt: skip


def _model(entry: ModelEntry) -> dict[str, Any]:
    model, imported = entry.model, entry.imported
    return {
        "name": model.name, "title": model.title, "tier": model.tier, "enforcement": model.enforcement,
        "described": model.described, "gaps": list(entry.gaps),
        "imported": None if imported is None else {
            "from": imported.read_from, "description": imported.description, "tags": imported.tags,
            "created_at": imported.created_at, "updated_at": imported.updated_at, "imported_at": imported.imported_at,
            "found": imported.found,
        },
        "versions": [_version(one) for one in entry.versions],
    }  # fmt: skip


@router.get("/registry/inventory")
def inventory(
    actor: Caller, after: Name = "", limit: Annotated[int, Query(ge=1, le=500)] = 100
) -> dict[str, Any]:
    """Models and versions with what MLflow says of them and what nobody knows. Pass `next` as `after`."""
    with reading() as session:
        found = list_inventory(session, actor, after=after, limit=limit)
        following = found[-1].model.name if len(found) == limit else None
        return {"models": [_model(one) for one in found], "next": following}


@router.get("/registry/moves")
def moves(
    actor: Caller, since: Moment | None = None, until: Moment | None = None, model: str | None = None,
    state: Annotated[list[str] | None, Query()] = None, offset: Offset = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> dict[str, Any]:  # fmt: skip
    """Moves of aliases made elsewhere, newest first, and how many of them the rules would have refused."""
    _with_zone(since=since, until=until)
    with reading() as session:
        report = list_moves(
            session,
            actor,
            since=since,
            until=until,
            model=model,
            states=state or (),
            limit=limit,
            offset=offset,
        )
    return {**report_view(report), "next": offset + limit if report.truncated else None}


@router.get("/registry/moves/{move_id}")
def move(actor: Caller, move_id: RowId) -> dict[str, Any]:
    """One move made elsewhere, with what the rules would have said of it."""
    with reading() as session:
        return move_view(get_move(session, actor, move_id))


@router.post("/registry/moves/{move_id}/restoration", status_code=202)
def restore(request: Request, actor: Caller, body: Body, move_id: RowId, asked: ReasonedRequest) -> Response:
    """Have the alias put back to what serves; answers with the job's run id. Nothing that serves changes."""
    return once(
        request, actor, body,
        lambda session: {"run_id": request_restore(session, actor, move_id, why=asked.reason).id},
        status=202,
    )  # fmt: skip


@router.get("/registry/moves/{move_id}/regularisation")
def regularisation(actor: Caller, move_id: RowId) -> dict[str, Any]:
    """The preview of the promotion to the version that the alias names."""
    with reading() as session:
        return preview_view(preview_regularisation(session, actor, move_id), actor)


@router.post("/registry/moves/{move_id}/regularisation", status_code=201)
def ask_to_regularise(
    request: Request, actor: Caller, body: Body, move_id: RowId, asked: RegularisationRequest
) -> Response:
    """Ask for the promotion that the move took for granted; it is decided on like any other."""
    return once(
        request, actor, body,
        lambda session: change_detail(
            session, actor,
            regularise(session, actor, move_id, reason=asked.reason, seen_digest=asked.digest),
        ),
        status=201,
    )  # fmt: skip


@router.post("/models/{model}/enforcement", status_code=201)
def enforcement(
    request: Request, actor: Caller, body: Body, model: str, asked: EnforcementRequest
) -> Response:
    """Make the rules of a model hold. To only observe it again, ask for a change of kind `observe`."""

    def act(session: Any) -> dict[str, Any]:
        found = set_enforcement(session, actor, model, enforcement=asked.enforcement, why=asked.why)
        return {"model": found.name, "enforcement": found.enforcement}

    return once(request, actor, body, act, status=201)


@router.get("/models/{model}/timeline")
def timeline(
    actor: Caller, model: str, environment: str | None = None,
    since: Annotated[Moment | None, Query(alias="from")] = None, until: Moment | None = None,
    at: Moment | None = None,
) -> dict[str, Any]:  # fmt: skip
    """What served when, with changes, approvals and incidents; with `at` what served at that moment, and why."""
    _with_zone(**{"from": since, "until": until, "at": at})
    environment = environment or settings().environment
    with reading() as session:
        if at is not None:
            return read_moment(session, actor, model, environment, at)
        return timeline_view(read_timeline(session, actor, model, environment, since=since, until=until))


def _with_zone(**moments: datetime | None) -> None:
    for name, moment in moments.items():
        if moment is not None and moment.tzinfo is None:
            raise BadInput(f"{name}: write the time with its zone, as 2026-03-01T09:05:00Z", field=name)
