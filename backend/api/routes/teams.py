"""Teams: who is in them, and which models are theirs."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from backend.api.idempotency import body_of, once
from backend.api.pages import Part
from backend.api.security import current_actor
from backend.database.session import reading
from backend.identity.actor import Actor
from backend.identity.roles import Role
from backend.identity.teams import (
    TeamView,
    get_team,
    list_teams,
    make_team,
    move_model,
    rename_team,
    set_team_roles,
)

router = APIRouter(tags=["teams"])
Caller = Annotated[Actor, Depends(current_actor)]
Body = Annotated[bytes, Depends(body_of)]


class TeamName(BaseModel):
    name: str = Field(max_length=200)


class MemberRoles(BaseModel):
    roles: list[Role] = Field(description="in this team; none takes the person out of it")
    why: str = Field(default="", max_length=4000)


class Move(BaseModel):
    team: str | None = Field(description="the id of the team; null: of none")
    why: str = Field(max_length=4000)


@router.get("/teams")
def teams(actor: Caller, part: Part) -> dict[str, Any]:
    """Every team, for administrators and whoever moves models in the whole house; else one's own."""
    with reading() as session:
        return part.answer("teams", list_teams(session, actor, **part.more), _team)


@router.get("/teams/{team_id}")
def team(actor: Caller, team_id: str) -> dict[str, Any]:
    """One team with its members and models."""
    with reading() as session:
        return _team(get_team(session, actor, team_id))


@router.post("/teams", status_code=201)
def add(request: Request, actor: Caller, body: Body, new: TeamName) -> Response:
    """Make a team, without members and models yet."""

    def act(session: Any) -> dict[str, str]:
        made = make_team(session, actor, name=new.name)
        return {"id": made.id, "name": made.name}

    return once(request, actor, body, act, status=201)


@router.post("/teams/{team_id}/name", status_code=201)
def rename(request: Request, actor: Caller, body: Body, team_id: str, new: TeamName) -> Response:
    """Give a team another name."""

    def act(session: Any) -> dict[str, str]:
        named = rename_team(session, actor, team_id, name=new.name)
        return {"id": named.id, "name": named.name}

    return once(request, actor, body, act, status=201)


@router.post("/teams/{team_id}/members/{person_id}", status_code=201)
def member(
    request: Request, actor: Caller, body: Body, team_id: str, person_id: str, given: MemberRoles
) -> Response:
    """Replace somebody's roles in a team; they hold for its models, from the person's next request on."""

    def act(session: Any) -> dict[str, Any]:
        held = set_team_roles(session, actor, team_id, person_id, set(given.roles), why=given.why)
        return {"team": team_id, "person": person_id, "roles": [role.value for role in held]}

    return once(request, actor, body, act, status=201)


@router.post("/models/{model}/team", status_code=201)
def move(request: Request, actor: Caller, body: Body, model: str, to: Move) -> Response:
    """Give a model to a team, or to none; for whoever may move models on both sides."""

    def act(session: Any) -> dict[str, Any]:
        held = move_model(session, actor, model=model, team_id=to.team, why=to.why)
        return {"model": model, "team": held.team_id if held is not None else None}

    return once(request, actor, body, act, status=201)


def _team(one: TeamView) -> dict[str, Any]:
    return {
        "id": one.id, "name": one.name, "models": list(one.models),
        "members": [
            {"person": each.person_id, "name": each.name, "roles": [role.value for role in each.roles]}
            for each in one.members
        ],
    }  # fmt: skip
