"""Whether accounts are open, and have the roles by which they count, by the log as well as by the tables.

Who owns the database can open a closed account again, or give a role, and decide with it moments later. Asked at each
decision that lets a change go on, when the glass is broken, and before what was approved begins. An account without an
entry, and an entry whose text was erased, are not compared here; reconciliation tells of the first.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from backend.audit.actions import Action
from backend.audit.entries_about import Said, entries_about
from backend.database.session import ReadSession
from backend.errors import NotAllowed

ROLES_OF: Final = {Action.PERSON_CREATED: "roles", Action.ROLES_CHANGED: "after"}
_READ: Final = (*ROLES_OF, Action.TEAM_ROLES_CHANGED, Action.PERSON_DISABLED)


def counted_by(person: str, on_behalf_of: str | None, role: str) -> list[tuple[str, str | None]]:
    """What a decision rests on: the account that gave it, and the one whose role makes it count."""
    return [(person, role)] if on_behalf_of is None else [(person, None), (on_behalf_of, role)]


def accounts_otherwise(
    session: ReadSession, needed: Iterable[tuple[str, str | None]], *, model: str | None = None
) -> list[str]:
    """What the log says otherwise of these accounts, in words. needed: each with a role that it must have, or None;
    for the whole house, or in the team to which the log says that `model` belongs."""
    wanted = list(needed)
    entries = entries_about(session, "person", [person for person, _ in wanted], _READ) if wanted else {}
    found = []
    for person, role in dict.fromkeys(wanted):
        differs = _differs(person, role, entries.get(person, []))
        if differs and role is not None and _is_closed(entries[person]) is None:
            differs = "" if _has_in_team(session, role, model, entries[person]) else differs
        found.append(differs)
    return [one for one in found if one]


def _is_closed(entries: list[Said]) -> int | None:
    return next((one.seq for one in entries if one.action is Action.PERSON_DISABLED), None)


def _differs(person: str, role: str | None, entries: list[Said]) -> str:
    closed = _is_closed(entries)
    if closed is not None:
        return f"the account {person} is open in the table, and entry {closed} closed it"
    last = next((one for one in reversed(entries) if one.action in ROLES_OF), None)
    roles = last.payload.get(ROLES_OF[last.action]) if last is not None and last.payload is not None else None
    if role is None or last is None or roles is None or role in roles:
        return ""
    said = ", ".join(roles) or "none"
    return f"the account {person} has the role {role} in the table, and entry {last.seq} says {said}"


def _has_in_team(session: ReadSession, role: str, model: str | None, entries: list[Said]) -> bool:
    """Whether, by the log, the role was given in the team to which the model was given last. What an entry said whose
    text was erased is not compared."""
    if model is None:
        return False
    moved = entries_about(session, "model", [model], (Action.MODEL_MOVED,)).get(model, [])
    last = moved[-1].payload if moved else {"after": None}
    teams = [one for one in entries if one.action is Action.TEAM_ROLES_CHANGED]
    if last is not None:
        team = last.get("after")
        teams = [one for one in teams if one.payload is None or one.payload.get("team") == team]
        if team is None:
            return False
    return bool(teams) and (teams[-1].payload is None or role in teams[-1].payload["after"])


def refuse_otherwise(
    session: ReadSession, needed: Iterable[tuple[str, str | None]], *, model: str | None = None
) -> None:
    """`NotAllowed` where the log says that one of these accounts is closed, or has not that role."""
    differs = accounts_otherwise(session, needed, model=model)
    if differs:
        raise NotAllowed(
            f"{differs[0]}: it counts for nothing. Have its roles set anew, or the account closed, on the page People, "
            "and find out who wrote to the database"
        )
