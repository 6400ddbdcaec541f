"""Searches of the log that a person keeps under a name. Each sees and changes only their own."""

from __future__ import annotations

from typing import Final

from sqlalchemy import func, select

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.audit.searching import Search, as_recorded
from backend.audit.tables import SavedSearch
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput, NotFound
from backend.identity.actor import Actor
from backend.identity.reach import see
from backend.identity.roles import Permission

MOST: Final = 50
LONGEST_NAME: Final = 80


def save_search(session: WriteSession, actor: Actor, *, name: str, wanted: Search) -> SavedSearch:
    """Keep a search under a name; one of that name is replaced. Raises `BadInput` for a name or number beyond what is
    kept."""
    see(session, actor, Permission.READ_AUDIT)
    name = name.strip()
    if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
        raise BadInput(f"name the search in 1 to {LONGEST_NAME} characters", field="name")
    row = session.get(SavedSearch, (actor.person_id, name))
    if row is None:
        mine = select(func.count()).where(SavedSearch.person_id == actor.person_id)
        if (session.scalar(mine) or 0) >= MOST:
            raise BadInput(f"you keep {MOST} searches already; delete one first", field="name")
        row = SavedSearch(person_id=actor.person_id, name=name)
        session.add(row)
    row.search, row.saved_at = wanted.to_json(), clock.now()
    session.flush()
    record(
        session, actor, Action.SEARCH_SAVED, object_kind="search", object_id=actor.person_id,
        payload={"name": name, "search": as_recorded(session, wanted)},
    )  # fmt: skip
    return row


def delete_search(session: WriteSession, actor: Actor, *, name: str) -> None:
    """Raises `NotFound`."""
    see(session, actor, Permission.READ_AUDIT)
    row = session.get(SavedSearch, (actor.person_id, name))
    if row is None:
        raise NotFound(f"you keep no search named {name!r}")
    session.delete(row)
    session.flush()
    record(
        session, actor, Action.SEARCH_DELETED, object_kind="search", object_id=actor.person_id,
        payload={"name": name},
    )  # fmt: skip


def saved_searches(
    session: ReadSession, viewer: Actor, *, limit: int | None = None, offset: int = 0
) -> list[SavedSearch]:
    """The viewer's own, by name."""
    see(session, viewer, Permission.READ_AUDIT)
    mine = select(SavedSearch).where(SavedSearch.person_id == viewer.person_id).order_by(SavedSearch.name)
    return list(session.scalars(mine.limit(limit).offset(offset)))
