"""People and services: who may come in, and as what. For administrators."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from backend.api.idempotency import body_of, once
from backend.api.pages import Part
from backend.api.parameters import ZonedMoment
from backend.api.security import current_actor
from backend.database.session import reading
from backend.identity.actor import Actor
from backend.identity.auditors import invite_auditor, limit_auditor
from backend.identity.own_password import give_password
from backend.identity.passwords import hash_password
from backend.identity.people import create_person, disable_person, list_people, set_roles
from backend.identity.roles import Permission, Role

router = APIRouter(tags=["people"])
Caller = Annotated[Actor, Depends(current_actor)]
Body = Annotated[bytes, Depends(body_of)]


class NewPerson(BaseModel):
    username: str = Field(max_length=64)
    display_name: str = Field(max_length=100)
    password: str = Field(max_length=200, description="told to the person; argon2id is what is stored")
    roles: list[Role]


class Invitation(BaseModel):
    username: str = Field(max_length=64)
    display_name: str = Field(max_length=100)
    password: str = Field(max_length=200)
    models: list[str] = Field(min_length=1, max_length=1000)
    expires_at: ZonedMoment
    why: str = Field(max_length=4000)


class Limits(BaseModel):
    models: list[str] = Field(min_length=1, max_length=1000)
    expires_at: ZonedMoment
    why: str = Field(max_length=4000)


class NewRoles(BaseModel):
    roles: list[Role]
    why: str = Field(default="", max_length=4000)


class NewPassword(BaseModel):
    password: str = Field(max_length=200, description="told to the person, who chooses another one with it")
    why: str = Field(max_length=4000)


class Disablement(BaseModel):
    why: str = Field(default="", max_length=4000)


@router.get("/people")
def people(actor: Caller, part: Part) -> dict[str, Any]:
    with reading() as session:
        return part.answer("people", list_people(session, actor, **part.more), asdict)


@router.post("/people", status_code=201)
def add(request: Request, actor: Caller, body: Body, new: NewPerson) -> Response:
    """Add a person with a first password, which opens nothing until they have chosen their own."""
    actor.require(Permission.MANAGE_PEOPLE)
    hashed = hash_password(new.password, username=new.username)  # before the transaction: it takes tens of ms

    def act(session: Any) -> dict[str, str]:
        person = create_person(
            session, actor, username=new.username, display_name=new.display_name, password_hash=hashed,
            roles=set(new.roles),
        )  # fmt: skip
        return {"id": person.id, "username": person.username}

    return once(request, actor, body, act, status=201)


@router.post("/auditors", status_code=201)
def invite(request: Request, actor: Caller, body: Body, new: Invitation) -> Response:
    """Let somebody from outside read what concerns these models, until a day."""
    actor.require(Permission.MANAGE_PEOPLE)
    hashed = hash_password(new.password, username=new.username)

    def act(session: Any) -> dict[str, Any]:
        person = invite_auditor(
            session, actor, username=new.username, display_name=new.display_name, password_hash=hashed,
            models=new.models, expires_at=new.expires_at, why=new.why,
        )  # fmt: skip
        return {"id": person.id, "models": person.models, "expires_at": person.expires_at}

    return once(request, actor, body, act, status=201)


@router.post("/auditors/{person_id}/limits", status_code=201)
def limits(request: Request, actor: Caller, body: Body, person_id: str, given: Limits) -> Response:
    """Give an auditor other models or another end; it holds from their next request on."""

    def act(session: Any) -> dict[str, Any]:
        person = limit_auditor(
            session, actor, person_id, models=given.models, expires_at=given.expires_at, why=given.why
        )
        return {"id": person.id, "models": person.models, "expires_at": person.expires_at}

    return once(request, actor, body, act, status=201)


@router.post("/people/{person_id}/password", status_code=201)
def password(request: Request, actor: Caller, body: Body, person_id: str, given: NewPassword) -> Response:
    """Set the password of somebody who forgot theirs; they choose another one as they sign in."""
    actor.require(Permission.MANAGE_PEOPLE)
    hashed = hash_password(given.password)

    def act(session: Any) -> dict[str, str]:
        return {"id": give_password(session, actor, person_id, password_hash=hashed, why=given.why).id}

    return once(request, actor, body, act, status=201)


@router.post("/people/{person_id}/roles", status_code=201)
def roles(request: Request, actor: Caller, body: Body, person_id: str, given: NewRoles) -> Response:
    """Replace someone's roles; it holds from their next request on."""

    def act(session: Any) -> dict[str, Any]:
        person = set_roles(session, actor, person_id, set(given.roles), why=given.why)
        return {"id": person.id, "roles": sorted(entry.role for entry in person.roles)}

    return once(request, actor, body, act, status=201)


@router.post("/people/{person_id}/disablement", status_code=201)
def disablement(request: Request, actor: Caller, body: Body, person_id: str, ending: Disablement) -> Response:
    """End someone's access at once."""
    return once(
        request, actor, body,
        lambda session: {"id": disable_person(session, actor, person_id, why=ending.why).id}, status=201,
    )  # fmt: skip
