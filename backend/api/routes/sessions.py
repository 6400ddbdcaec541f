"""Sign-in sessions: one's own, and for administrators anybody's."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from backend.api.idempotency import body_of, once
from backend.api.pages import Part
from backend.api.security import current_actor
from backend.database.session import WriteSession, reading
from backend.identity.actor import Actor
from backend.identity.devices import device_words
from backend.identity.people import person_by_id
from backend.identity.sessions import list_sessions, revoke, revoke_all
from backend.identity.tables import SignInSession

router = APIRouter(tags=["people"])
Caller = Annotated[Actor, Depends(current_actor)]
Body = Annotated[bytes, Depends(body_of)]


class Ending(BaseModel):
    why: str = Field(default="", max_length=4000)


class Everywhere(Ending):
    keep_this: bool = Field(default=True, description="whether the session that asks stays")


def session_facts(row: SignInSession, actor: Actor) -> dict[str, Any]:
    return {
        "id": row.id, "this": row.id == actor.session_id, "device": device_words(row.user_agent),
        "address": row.address, "created_at": row.created_at, "signed_in_at": row.authenticated_at,
        "last_seen_at": row.last_seen_at, "last_address": row.last_address,
        "last_device": device_words(row.last_user_agent), "expires_at": row.expires_at,
    }  # fmt: skip


@router.get("/sessions")
def sessions(actor: Caller, part: Part) -> dict[str, Any]:
    """One's open sessions, newest first; `last_address` and `last_device`: where each was used last."""
    with reading() as session:
        found = list_sessions(session, actor, actor.person_id, **part.more)
        return part.answer("sessions", found, lambda one: session_facts(one, actor))


@router.post("/sessions/revocation", status_code=201)
def end_all(request: Request, actor: Caller, body: Body, asked: Everywhere) -> Response:
    """Sign out everywhere, but for this session unless `keep_this` is false."""
    return once(
        request, actor, body,
        lambda session: {
            "ended": revoke_all(session, actor, actor.person_id, except_this=asked.keep_this, why=asked.why)
        },
        status=201,
    )  # fmt: skip


@router.post("/sessions/{session_id}/revocation", status_code=201)
def end(request: Request, actor: Caller, body: Body, session_id: str, asked: Ending) -> Response:
    """End one session at once: one's own, or as an administrator anybody's."""

    def act(session: WriteSession) -> dict[str, str]:
        revoke(session, actor, session_id, why=asked.why)
        return {"id": session_id}

    return once(request, actor, body, act, status=201)


@router.get("/people/{person_id}/sessions")
def of_person(actor: Caller, person_id: str, part: Part) -> dict[str, Any]:
    """The open sessions of somebody, for administrators."""
    with reading() as session:
        found = list_sessions(session, actor, person_id, **part.more)
        return part.answer("sessions", found, lambda one: session_facts(one, actor))


@router.post("/people/{person_id}/sessions/revocation", status_code=201)
def end_of_person(request: Request, actor: Caller, body: Body, person_id: str, asked: Ending) -> Response:
    """Sign somebody out everywhere."""

    def act(session: WriteSession) -> dict[str, int]:
        ended = revoke_all(session, actor, person_id, why=asked.why)
        person_by_id(session, person_id)
        return {"ended": ended}

    return once(request, actor, body, act, status=201)
