"""Teams: people with roles for the models of the team, and for no others.

A model belongs to one team at most. Who has a role for the whole house has it for every model, as ever; who has roles
in teams alone sees nothing of other models (`backend.identity.reach`). All of it holds from the next request on.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.many import among
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput, Conflict, NotFound
from backend.identity.actor import Actor
from backend.identity.freshness import require_fresh, require_fresh_access
from backend.identity.people import is_auditor, names_of, person_by_id
from backend.identity.reach import allow, narrow
from backend.identity.roles import GIVEN_IN_TEAMS, Permission, Role, permissions_in_team
from backend.identity.tables import Person, Team, TeamMember, TeamModel

_LONGEST: Final = 100


@dataclass(frozen=True)
class Member:
    """Somebody of a team, with the roles that hold there."""

    person_id: str
    name: str
    roles: tuple[Role, ...]


@dataclass(frozen=True)
class TeamView:
    """A team as those see it who may: its models as far as the viewer sees them."""

    id: str
    name: str
    members: tuple[Member, ...]
    models: tuple[str, ...]


def make_team(session: WriteSession, actor: Actor, *, name: str) -> Team:
    """A team without members and models. For administrators."""
    actor.require(Permission.MANAGE_PEOPLE)
    team = Team(name=_free_name(session, name), created_at=clock.now())
    session.add(team)
    session.flush()
    record(
        session, actor, Action.TEAM_MADE, object_kind="team", object_id=team.id, payload={"name": team.name}
    )
    return team


def rename_team(session: WriteSession, actor: Actor, team_id: str, *, name: str) -> Team:
    actor.require(Permission.MANAGE_PEOPLE)
    team = _team(session, team_id)
    if " ".join(name.split()) == team.name:
        return team
    before, team.name = team.name, _free_name(session, name)
    session.flush()
    record(
        session, actor, Action.TEAM_RENAMED, object_kind="team", object_id=team.id,
        payload={"before": before, "after": team.name},
    )  # fmt: skip
    return team


def set_team_roles(
    session: WriteSession,
    actor: Actor,
    team_id: str,
    person_id: str,
    roles: Collection[Role],
    *,
    why: str = "",
) -> list[Role]:
    """Replace somebody's roles in a team; none takes them out of it. For administrators."""
    actor.require(Permission.MANAGE_PEOPLE)
    team, person = _team(session, team_id), person_by_id(session, person_id)
    granted = _checked(roles)
    if granted - _roles_in(session, team_id, person_id):
        require_fresh_access(actor)
    if granted and is_auditor(person):
        raise BadInput(f"{person.display_name} is an external auditor and has no other role")
    return _replace(session, actor, team, person, granted, why=why)


def take_team_role(
    session: WriteSession, actor: Actor, team_id: str, person_id: str, role: Role, *, why: str
) -> None:
    """Take one role in a team, as a review of access does. Taking one that is not there does nothing."""
    if not actor.may_in_house(Permission.REVIEW_ACCESS):
        actor.require(Permission.MANAGE_PEOPLE)
    team, person = _team(session, team_id), person_by_id(session, person_id)
    _replace(session, actor, team, person, _roles_in(session, team_id, person_id) - {role}, why=why)


def _replace(
    session: WriteSession, actor: Actor, team: Team, person: Person, granted: set[Role], *, why: str
) -> list[Role]:
    before = _roles_in(session, team.id, person.id)
    if before == granted:
        return sorted(granted)
    now = clock.now()
    for role in before - granted:
        session.delete(session.get_one(TeamMember, (team.id, person.id, role.value)))
    session.add_all(
        TeamMember(team_id=team.id, person_id=person.id, role=role.value, since=now)
        for role in granted - before
    )
    session.flush()
    session.expire(person, ["team_roles"])
    record(
        session, actor, Action.TEAM_ROLES_CHANGED, object_kind="person", object_id=person.id, why=why,
        payload={"team": team.id, "before": sorted(before), "after": sorted(granted)},
    )  # fmt: skip
    return sorted(granted)


def move_model(
    session: WriteSession, actor: Actor, *, model: str, team_id: str | None, why: str
) -> TeamModel | None:
    """Give a model to a team, or to none. Needs the right to move models in both: in the team that loses it and in the
    one that gets it; where there is no team on one side, for the whole house."""
    from backend.registry.tables import Model

    allow(session, actor, Permission.MOVE_MODELS)
    if not why.strip():
        raise BadInput("write why the model changes hands: others will read it", field="why")
    if session.get(Model, model) is None:
        raise NotFound(f"there is no model named {model!r} that you may see", model=model)
    held = session.get(TeamModel, model, with_for_update=True)
    before = held.team_id if held is not None else None
    for side in (before, team_id):
        _require_side(session, actor, side)
    if before == team_id:
        return held
    if team_id is not None:  # those who are in it get access
        require_fresh(actor, "give a model to a team", permission=Permission.MOVE_MODELS)
    if held is not None and team_id is not None:
        held.team_id = team_id
    elif held is not None:
        session.delete(held)
        held = None
    else:
        held = TeamModel(model=model, team_id=str(team_id))
        session.add(held)
    session.flush()
    session.expire_all()
    record(
        session, actor, Action.MODEL_MOVED, object_kind="model", object_id=model, why=why.strip(),
        payload={"before": before, "after": team_id},
    )  # fmt: skip
    return held


def _require_side(session: ReadSession, actor: Actor, team_id: str | None) -> None:
    """That the actor may move models there. A team that is not theirs is not there for them."""
    if actor.may_in_house(Permission.MOVE_MODELS):
        if team_id is not None:
            _team(session, team_id)
        return
    if team_id is None:
        actor.require(Permission.MOVE_MODELS)
    mine = {one.team for one in actor.team_roles if Permission.MOVE_MODELS in permissions_in_team(one.role)}
    if team_id not in mine:
        raise NotFound(f"there is no team {team_id} to which you may give models")


def list_teams(
    session: ReadSession, viewer: Actor, *, limit: int | None = None, offset: int = 0
) -> list[TeamView]:
    """Every team, by name, for administrators and whoever moves models; else the teams that one belongs to."""
    viewer.require_some(Permission.READ_MODELS)
    narrow(session, viewer)
    query = select(Team).order_by(Team.name)
    if not (viewer.may_in_house(Permission.MANAGE_PEOPLE) or viewer.may_in_house(Permission.MOVE_MODELS)):
        query = query.where(Team.id.in_({one.team for one in viewer.team_roles}))
    teams = list(session.scalars(query.limit(limit).offset(offset)))
    members: dict[str, dict[str, list[Role]]] = {}
    for one in session.scalars(select(TeamMember).where(TeamMember.team_id.in_([one.id for one in teams]))):
        members.setdefault(one.team_id, {}).setdefault(one.person_id, []).append(Role(one.role))
    names = names_of(session, {person for each in members.values() for person in each})
    owned: dict[str, list[str]] = {}
    for row in session.scalars(select(TeamModel).order_by(TeamModel.model)):
        owned.setdefault(row.team_id, []).append(row.model)
    return [
        TeamView(
            one.id, one.name,
            tuple(
                Member(person, names[person], tuple(sorted(roles)))
                for person, roles in sorted(
                    members.get(one.id, {}).items(), key=lambda item: (names[item[0]], item[0])
                )
            ),
            tuple(owned.get(one.id, ())),
        )
        for one in teams
    ]  # fmt: skip


def get_team(session: ReadSession, viewer: Actor, team_id: str) -> TeamView:
    """One team; `NotFound` also where the viewer may not know that it exists."""
    found = next((one for one in list_teams(session, viewer) if one.id == team_id), None)
    if found is None:
        raise NotFound(f"there is no team {team_id} that you may see")
    return found


def team_names(session: ReadSession, models: Iterable[str]) -> dict[str, str]:
    """Model -> the name of its team, of those that this session finds and that belong to one."""
    query = select(TeamModel.model, Team.name).join(Team, Team.id == TeamModel.team_id)
    return {
        row.model: row.name
        for row in session.execute(query.where(among(TeamModel.model, sorted(set(models)))))
    }


def _team(session: ReadSession, team_id: str) -> Team:
    found = session.get(Team, team_id)
    if found is None:
        raise NotFound(f"there is no team {team_id}")
    return found


def _roles_in(session: ReadSession, team_id: str, person_id: str) -> set[Role]:
    query = select(TeamMember.role).where(TeamMember.team_id == team_id, TeamMember.person_id == person_id)
    return {Role(one) for one in session.scalars(query)}


def _checked(roles: Collection[Role]) -> set[Role]:
    known = ", ".join(role.value for role in GIVEN_IN_TEAMS)
    try:
        granted = {Role(role) for role in roles}
    except ValueError as error:
        raise BadInput(f"{error}; in a team the roles are {known}", field="roles") from error
    if granted - set(GIVEN_IN_TEAMS):
        raise BadInput(f"in a team the roles are {known}; others are for the whole house", field="roles")
    return granted


def _free_name(session: ReadSession, name: str) -> str:
    name = " ".join(unicodedata.normalize("NFC", name).split())
    if not 1 <= len(name) <= _LONGEST or not name.isprintable():
        raise BadInput(f"a team needs a name of 1 to {_LONGEST} printable characters", field="name")
    if name.lower() in {one.lower() for one in session.scalars(select(Team.name))}:
        raise Conflict(f"there is a team {name!r} already; choose another name")
    return name
