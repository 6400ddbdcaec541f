"""Who joined, moved and left in a period, from the log: accounts made, roles given and taken, in the house and in
teams, accounts closed. Whose account ended by itself is known from its day.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import func, select

from backend import clock
from backend.audit.actions import Action
from backend.audit.entries_about import Said, entries_between
from backend.audit.population import Period
from backend.database.session import ReadSession
from backend.identity.actor import Actor
from backend.identity.people import names_of
from backend.identity.roles import Permission
from backend.identity.tables import ApiToken, Person, SignInSession, Team

Kind = Literal["join", "move", "leave"]
_KINDS: Final[dict[Action, Kind]] = {
    Action.PERSON_CREATED: "join", Action.AUDITOR_INVITED: "join", Action.ROLES_CHANGED: "move",
    Action.TEAM_ROLES_CHANGED: "move", Action.AUDITOR_LIMITED: "move", Action.PERSON_DISABLED: "leave",
}  # fmt: skip


@dataclass(frozen=True)
class Movement:
    """One thing that changed what somebody can do. seq: its entry; None for an account that ended by its day."""

    at: datetime
    kind: Kind
    person_id: str
    name: str
    username: str
    gained: tuple[str, ...]
    lost: tuple[str, ...]
    team: str | None
    by: str
    what: str
    last_here_at: datetime | None
    seq: int | None

    def as_dict(self) -> dict[str, Any]:
        return dict(self.__dict__) | {"gained": list(self.gained), "lost": list(self.lost)}


def movements_in(session: ReadSession, viewer: Actor, period: Period) -> list[Movement]:
    """Every movement of the period, oldest first."""
    viewer.require(Permission.REVIEW_ACCESS)
    entries = list(entries_between(session, "person", tuple(_KINDS), period.start, period.end))
    ended = session.execute(
        select(Person.id, Person.expires_at).where(
            Person.expires_at >= period.start, Person.expires_at < min(period.end, clock.now())
        )
    ).all()
    concerned = {person for person, _ in entries} | {row.id for row in ended}
    rows = {one.id: one for one in session.scalars(select(Person).where(Person.id.in_(concerned)))}
    names = names_of(session, concerned | {said.actor for _, said in entries})
    teams = {row.id: row.name for row in session.execute(select(Team.id, Team.name))}
    here = _last_here(session, concerned)
    found = []
    for person, said in entries:
        gained, lost, what = _told(said)
        team = (said.payload or {}).get("team")
        found.append(
            Movement(
                clock.from_iso(said.at), _KINDS[said.action], person, names.get(person, person),
                _username(rows, person),
                gained, lost, teams.get(team, team) if team else None, names.get(said.actor, said.actor), what,
                here.get(person), said.seq,
            )
        )  # fmt: skip
    found += [
        Movement(
            row.expires_at, "leave", row.id, names.get(row.id, row.id), _username(rows, row.id), (), (), None, "",
            "the account ended by its day", here.get(row.id), None,
        )
        for row in ended
    ]  # fmt: skip
    return sorted(found, key=lambda one: (one.at, one.seq or 0))


def _told(said: Said) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """Roles gained and lost by an entry, and what it says in words."""
    payload: Mapping[str, Any] | None = said.payload
    if payload is None:
        return (), (), "the text of its entry was erased"
    if said.action is Action.PERSON_CREATED:
        return tuple(payload.get("roles", ())), (), f"{payload.get('kind', 'person')} account made"
    if said.action in (Action.AUDITOR_INVITED, Action.AUDITOR_LIMITED):
        models = ", ".join(payload.get("models") or ())
        return (), (), f"auditor of {models} until {str(payload.get('expires_at', ''))[:10]}"
    if said.action is Action.PERSON_DISABLED:
        return (), (), "account disabled"
    before, after = set(payload.get("before", ())), set(payload.get("after", ()))
    what = "roles in a team changed" if said.action is Action.TEAM_ROLES_CHANGED else "roles changed"
    return tuple(sorted(after - before)), tuple(sorted(before - after)), what


def _last_here(session: ReadSession, people: set[str]) -> dict[str, datetime]:
    """When each was last here, by a session or a token."""
    found: dict[str, datetime] = {}
    for who, when in (
        (SignInSession.person_id, SignInSession.last_seen_at),
        (ApiToken.person_id, ApiToken.last_used_at),
    ):
        used = select(who, func.max(when)).where(who.in_(people), when.is_not(None)).group_by(who)
        for person, at in session.execute(used):
            if at is not None:
                found[person] = max(at, found.get(person, at))
    return found


def _username(rows: Mapping[str, Person], person: str) -> str:
    return rows[person].username if person in rows else ""


def counted(found: list[Movement]) -> Iterator[tuple[Kind, int]]:
    """How many of each kind, in the order in which a life goes."""
    kinds: tuple[Kind, ...] = ("join", "move", "leave")
    for kind in kinds:
        yield kind, sum(one.kind == kind for one in found)
