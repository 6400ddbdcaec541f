"""Evidence packs: asking for one, how far it is, and taking it away."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from backend.api.idempotency import body_of, once
from backend.api.pages import Cut, Limit, Offset, as_is
from backend.api.parameters import Moment
from backend.api.routes.assurance import Short, Text
from backend.api.security import current_actor
from backend.database.session import WriteSession, reading, writing
from backend.identity.actor import Actor
from backend.packs.making import making_of
from backend.packs.service import get_pack, list_packs, pack_views, request_pack, take_pack

router = APIRouter(tags=["evidence packs"])
Caller = Annotated[Actor, Depends(current_actor)]
Body = Annotated[bytes, Depends(body_of)]


class PackRequest(BaseModel):
    kind: Literal["model", "version", "change", "period"]
    model: Short | None = None
    version: int | None = Field(None, ge=1, lt=2**31)
    change: int | None = Field(None, ge=1, lt=2**63)
    period: str = Field("", max_length=60, description="2026Q3, 2026-07, 2026 or 2026-07-01..2026-09-30")
    as_of: Moment | None = Field(None, description="with its zone; left out: now")
    reason: Text


@router.get("/packs")
def packs(
    actor: Caller,
    model: str | None = None,
    change: Annotated[int | None, Query(ge=0, lt=2**63)] = None,
    offset: Offset = 0,
    limit: Limit = 100,
) -> dict[str, Any]:
    """Evidence packs, newest first, with how far each is."""
    with reading() as session:
        part = Cut(offset, limit)
        found = list_packs(session, actor, model=model, change=change, **part.more)
        return part.answer("packs", pack_views(session, found), as_is)


@router.get("/packs/{pack_id}")
def pack(actor: Caller, pack_id: str) -> dict[str, Any]:
    """One evidence pack: state, progress, digests, how many gaps it names."""
    with reading() as session:
        return pack_views(session, [get_pack(session, actor, pack_id)])[0]


@router.get("/packs/{pack_id}/file")
def file(actor: Caller, pack_id: str) -> Response:
    """The ZIP. That it was taken is an entry of the audit log."""
    with writing() as session:
        found, path = take_pack(session, actor, pack_id)
    return FileResponse(
        path, media_type="application/zip", filename=f"evidence-{found.id}.zip",
        headers={"Cache-Control": "no-store", "X-Warrant-Digest": found.digest},
    )  # fmt: skip


@router.get("/packs/{pack_id}/making")
def making(actor: Caller, pack_id: str) -> Response:
    """What shows who has no account here that the audit log records exactly this pack; goes beside the ZIP."""
    with reading() as session:
        found = making_of(session, actor, pack_id)
    return Response(found, media_type="application/json", headers={"Cache-Control": "no-store"})


@router.post("/packs", status_code=202)
def make(request: Request, actor: Caller, body: Body, asked: PackRequest) -> Response:
    """Have an evidence pack made about a model, a version, a change or a period. A job makes it."""

    def act(session: WriteSession) -> dict[str, Any]:
        made = request_pack(session, actor, **asked.model_dump())
        return pack_views(session, [made])[0]

    return once(request, actor, body, act, status=202)
