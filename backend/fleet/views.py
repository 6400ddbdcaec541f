"""Saved views: the filters, columns and order of a list under a name, for oneself or for everybody of the house."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import case, func, or_, select

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput, NotAllowed, NotFound
from backend.fleet.listing import COLUMNS, FILTERS, SORTS
from backend.fleet.tables import SavedView
from backend.identity.actor import Actor
from backend.identity.people import names_of
from backend.identity.reach import allow
from backend.identity.roles import Permission
from backend.identity.tables import Person

MODELS: Final = "models"
LONGEST_NAME: Final = 60
MOST_VALUES: Final = 50
MOST_VIEWS: Final = 100
"""Of one person"""


@dataclass(frozen=True)
class View:
    """A view as its reader sees it. `filters`: name -> values, names as in `FILTERS`."""

    id: int
    name: str
    owner: str
    is_mine: bool
    is_shared: bool
    filters: Mapping[str, Sequence[str]]
    columns: tuple[str, ...]
    sort: str
    saved_at: datetime


def save_view(
    session: WriteSession, actor: Actor, *, name: str, filters: Mapping[str, Sequence[str]],
    columns: Sequence[str] = (), sort: str = "", shared: bool = False,
) -> SavedView:  # fmt: skip
    """Keep a view of the list of models, in place of one's own of the same name. No columns: the usual ones.

    Sharing is for those whose roles hold for the whole house: a view names teams, owners and tags.
    """
    allow(session, actor, Permission.READ_MODELS)
    name = _checked_name(name)
    if shared and actor.models_with(Permission.READ_MODELS) is not None:
        raise NotAllowed("a view is shared by those who see every model; keep this one for yourself")
    query = {
        "filters": _checked_filters(filters), "columns": _known(columns, COLUMNS, "columns"),
        "sort": (_known([sort], SORTS, "sort") if sort else [""])[0],
    }  # fmt: skip
    # Whoever saves twice at the same time waits here: a row that is not there yet cannot be locked.
    session.execute(select(Person.id).where(Person.id == actor.person_id).with_for_update(key_share=True))
    mine = (SavedView.owner_id == actor.person_id, SavedView.page == MODELS)
    row = session.scalars(select(SavedView).where(*mine, SavedView.name == name)).one_or_none()
    if row is None:
        if (session.scalar(select(func.count()).select_from(SavedView).where(*mine)) or 0) >= MOST_VIEWS:
            raise BadInput(f"you have {MOST_VIEWS} views already; remove one first", field="name")
        row = SavedView(owner_id=actor.person_id, page=MODELS, name=name)
        session.add(row)
    row.is_shared, row.query, row.saved_at = shared, query, clock.now()
    session.flush()
    record(
        session, actor, Action.VIEW_SAVED, object_kind="view", object_id=row.id,
        payload={"name": name, "shared": shared, **query},
    )  # fmt: skip
    return row


def remove_view(session: WriteSession, actor: Actor, view_id: int) -> None:
    """Take a view away: one's own, or as an administrator one that is shared."""
    allow(session, actor, Permission.READ_MODELS)
    row = session.get(SavedView, view_id)
    if row is None or not _is_seen(row, actor):
        raise NotFound(f"there is no view {view_id} that you may see")
    if row.owner_id != actor.person_id and not actor.may_in_house(Permission.MANAGE_PEOPLE):
        raise NotAllowed("a view is removed by who saved it, or by an administrator")
    session.delete(row)
    session.flush()
    record(
        session, actor, Action.VIEW_REMOVED, object_kind="view", object_id=view_id, payload={"name": row.name}
    )


def list_views(
    session: ReadSession, viewer: Actor, *, offset: int = 0, limit: int | None = None
) -> list[View]:
    """One's own, then those that are shared; by name. Who sees some models alone has their own only."""
    viewer.require_some(Permission.READ_MODELS)
    query = select(SavedView).where(SavedView.page == MODELS)
    seen = SavedView.owner_id == viewer.person_id
    if viewer.models_with(Permission.READ_MODELS) is None:
        query = query.where(or_(seen, SavedView.is_shared.is_(True)))
    else:
        query = query.where(seen)
    mine_first = case((seen, 0), else_=1)
    query = query.order_by(mine_first, SavedView.name, SavedView.id)
    rows = list(session.scalars(query.offset(offset).limit(limit)))
    names = names_of(session, {row.owner_id for row in rows})
    return [
        View(
            row.id, row.name, names.get(row.owner_id, ""), row.owner_id == viewer.person_id, row.is_shared,
            row.query["filters"], tuple(row.query["columns"]), row.query["sort"], row.saved_at,
        )
        for row in rows
    ]  # fmt: skip


def _is_seen(row: SavedView, viewer: Actor) -> bool:
    sees_all = viewer.models_with(Permission.READ_MODELS) is None
    return row.owner_id == viewer.person_id or (row.is_shared and sees_all)


def _checked_name(name: str) -> str:
    name = " ".join(unicodedata.normalize("NFC", name).split())
    if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
        raise BadInput(f"a view needs a name of 1 to {LONGEST_NAME} printable characters", field="name")
    return name


def _checked_filters(filters: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    _known(list(filters), FILTERS, "filters")
    kept = {name: [str(one) for one in values if str(one)] for name, values in filters.items()}
    for name, values in kept.items():
        if len(values) > MOST_VALUES or any(len(one) > 200 for one in values):
            raise BadInput(f"{name}: at most {MOST_VALUES} values of 200 characters each", field="filters")
    return {name: values for name, values in kept.items() if values}


def _known(given: Sequence[str], known: Collection[str], field: str) -> list[str]:
    """These in their order, each once; `BadInput` names one that is not there."""
    wrong = [one for one in given if one not in known]
    if wrong:
        raise BadInput(f"{field}: {wrong[0]!r} is none of {', '.join(known)}", field=field)
    return list(dict.fromkeys(given))
