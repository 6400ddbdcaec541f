"""API tokens: one's own, and those of the service accounts one owns."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from backend.api.idempotency import HEADER, body_of, once
from backend.api.pages import Part
from backend.api.security import current_actor
from backend.database.session import WriteSession, reading, writing
from backend.errors import BadInput
from backend.identity.actor import Actor
from backend.identity.people import create_person
from backend.identity.reach import narrow
from backend.identity.roles import Permission, Role
from backend.identity.tables import ApiToken
from backend.identity.tokens import create_token, ends_soon, is_open, list_tokens, revoke_token, rotate_token

router = APIRouter(tags=["people"])
Caller = Annotated[Actor, Depends(current_actor)]
Body = Annotated[bytes, Depends(body_of)]
Short = Annotated[str, Field(max_length=100)]


class NewToken(BaseModel):
    name: Short = Field(description="what will use it")
    valid_days: int = 90
    scopes: list[Permission] | None = Field(default=None, description="default: all that its holder may")
    models: list[Short] | None = Field(
        default=None, max_length=1000, description="default: those of its holder"
    )
    person_id: Short | None = Field(default=None, description="a service account of yours; default: yourself")


class Rotation(BaseModel):
    overlap_h: int = Field(default=24, description="hours that the old one stays valid")
    valid_days: int = 90


class Revocation(BaseModel):
    why: str = Field(default="", max_length=4000)


class NewServiceAccount(BaseModel):
    username: str = Field(max_length=64)
    display_name: Short
    roles: list[Role]
    owner_id: Short


def token_facts(row: ApiToken) -> dict[str, Any]:
    """A token without its secret."""
    return {
        "id": row.id, "hint": row.hint, "name": row.name, "holder": row.person_id, "scopes": row.scopes,
        "models": row.models, "created_at": row.created_at, "expires_at": row.expires_at,
        "last_used_at": row.last_used_at, "last_address": row.last_address, "revoked_at": row.revoked_at,
        "replaced_by": row.replaced_by, "open": is_open(row), "ends_soon": ends_soon(row),
    }  # fmt: skip


def _made(made: tuple[ApiToken, str]) -> dict[str, Any]:
    return {**token_facts(made[0]), "token": made[1]}


@router.get("/tokens")
def tokens(actor: Caller, part: Part) -> dict[str, Any]:
    """One's tokens and those of one's service accounts, newest first, without the secrets."""
    with reading() as session:
        return part.answer("tokens", list_tokens(session, actor, **part.more), token_facts)


@router.post("/tokens", status_code=201)
def create(request: Request, actor: Caller, body: Body, new: NewToken) -> Response:
    """Create a token; it is in this answer and nowhere else. With a session that signed in freshly, not by token."""
    return _shown_once(
        request, actor,
        lambda session: _made(
            create_token(
                session, actor, name=new.name, valid_days=new.valid_days, person_id=new.person_id,
                scopes=new.scopes, models=new.models,
            )
        ),
    )  # fmt: skip


@router.post("/tokens/{token_id}/rotation", status_code=201)
def rotate(request: Request, actor: Caller, body: Body, token_id: str, asked: Rotation) -> Response:
    """A token that takes over; the old one stays valid until a stated end."""
    return _shown_once(
        request, actor,
        lambda session: _made(
            rotate_token(session, actor, token_id, overlap_h=asked.overlap_h, valid_days=asked.valid_days)
        ),
    )  # fmt: skip


@router.post("/tokens/{token_id}/revocation", status_code=201)
def revoke(request: Request, actor: Caller, body: Body, token_id: str, asked: Revocation) -> Response:
    """End a token at once."""

    def act(session: WriteSession) -> dict[str, str]:
        revoke_token(session, actor, token_id, why=asked.why)
        return {"id": token_id}

    return once(request, actor, body, act, status=201)


@router.post("/service-accounts", status_code=201)
def add_service(request: Request, actor: Caller, body: Body, new: NewServiceAccount) -> Response:
    """An account for programs, which acts for its owner and stops with them."""

    def act(session: WriteSession) -> dict[str, str]:
        made = create_person(
            session, actor, username=new.username, display_name=new.display_name, roles=set(new.roles),
            kind="service", owner_id=new.owner_id,
        )  # fmt: skip
        return {"id": made.id, "username": made.username}

    return once(request, actor, body, act, status=201)


def _shown_once(request: Request, actor: Actor, act: Any) -> Response:
    """Answered without being remembered: an idempotency key would keep the secret."""
    if request.headers.get(HEADER) is not None:
        raise BadInput(f"a request whose answer is a secret takes no {HEADER}: nothing of it is kept")
    with writing() as session:
        narrow(session, actor)
        answer = jsonable_encoder(act(session))
    return JSONResponse(answer, status_code=201, headers={"Cache-Control": "no-store"})
