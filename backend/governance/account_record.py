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
_READ: Final = (*ROLES_OF, Action.PERSON_DISABLED)


def counted_by(person: str, on_behalf_of: str | None, role: str) -> list[tuple[str, str | None]]:
    """What a decision rests on: the account that gave it, and the one whose role makes it count."""
    return [(person, role)] if on_behalf_of is None else [(person, None), (on_behalf_of, role)]


def accounts_otherwise(session: ReadSession, needed: Iterable[tuple[str, str | None]]) -> list[str]:
    """What the log says otherwise of these accounts, in words. needed: each with a role that it must have, or None."""
    wanted = list(needed)
    entries = entries_about(session, "person", [person for person, _ in wanted], _READ) if wanted else {}
    found = (_differs(person, role, entries.get(person, [])) for person, role in dict.fromkeys(wanted))
    return [one for one in found if one]


def _differs(person: str, role: str | None, entries: list[Said]) -> str:
    closed = next((one.seq for one in entries if one.action is Action.PERSON_DISABLED), None)
    if closed is not None:
        return f"the account {person} is open in the table, and entry {closed} closed it"
    last = next((one for one in reversed(entries) if one.action in ROLES_OF), None)
    roles = last.payload.get(ROLES_OF[last.action]) if last is not None and last.payload is not None else None
    if role is None or last is None or roles is None or role in roles:
        return ""
    said = ", ".join(roles) or "none"
    return f"the account {person} has the role {role} in the table, and entry {last.seq} says {said}"


def refuse_otherwise(session: ReadSession, needed: Iterable[tuple[str, str | None]]) -> None:
    """`NotAllowed` where the log says that one of these accounts is closed, or has not that role."""
    differs = accounts_otherwise(session, needed)
    if differs:
        raise NotAllowed(
            f"{differs[0]}: it counts for nothing. Have its roles set anew, or the account closed, on the page People, "
            "and find out who wrote to the database"
        )
