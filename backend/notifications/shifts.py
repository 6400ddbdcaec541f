"""Who is on call when, set in the console: shifts of rotas, beside what the contacts file says.

Channels, with their secrets, and routes stay in the file: whoever sets a shift chooses among the channels that there
are, and can have nothing read or sent elsewhere. A rota of the file is not changed here. As a file, shifts are exported
and imported (`warrant contacts export`, `import`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from pydantic import ValidationError
from sqlalchemy import select

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput, NotFound
from backend.identity.actor import Actor
from backend.identity.reach import allow
from backend.identity.roles import Permission
from backend.identity.teams import team_names
from backend.notifications.contacts import Contacts, Rota, Shift, current_contacts
from backend.notifications.contacts_within import within
from backend.notifications.tables import ShiftRow

MOST_SHIFTS = 500
_EVERY: Final = select(ShiftRow).order_by(ShiftRow.rota, ShiftRow.id)


def contacts_now(session: ReadSession) -> Contacts:
    """The contacts of this home with the shifts that were set here. Raises `BadInput` as reading the file does."""
    contacts = current_contacts()
    rotas = dict(contacts.rotas)
    for name, (route, shifts) in _by_rota(session.scalars(_EVERY)).items():
        if name not in rotas:
            rotas[name] = Rota(
                shifts=tuple(Shift.model_validate(one.document) for one in shifts), route=route
            )
    return contacts.model_copy(update={"rotas": rotas})


def contacts_for(session: ReadSession, viewer: Actor) -> Contacts:
    """The same, as far as it concerns what the viewer sees."""
    contacts, reach = contacts_now(session), viewer.models_with(Permission.READ_JOBS)
    return contacts if reach is None else within(contacts, reach, set(team_names(session, reach).values()))


def _seen(session: ReadSession, viewer: Actor) -> list[ShiftRow]:
    """The shifts of rotas that answer every route, or one that the viewer sees."""
    rows = list(session.scalars(_EVERY))
    if viewer.models_with(Permission.READ_JOBS) is None:
        return rows
    try:
        routes = {one.name for one in contacts_for(session, viewer).routes}
    except BadInput:  # what cannot be read names no route
        routes = set()
    return [one for one in rows if one.route is None or one.route in routes]


def list_shifts(session: ReadSession, viewer: Actor) -> list[ShiftRow]:
    """In the order of their rotas, and in which they were set."""
    allow(session, viewer, Permission.READ_JOBS)
    return _seen(session, viewer)


def add_shift(
    session: WriteSession, actor: Actor, *, rota: str, shift: dict[str, Any], route: str | None = None
) -> ShiftRow:
    """Put somebody on call. `shift`: who, channel, from, to, days, zone, as the contacts file has them. The same again
    is one. `route`: whose incidents the rota answers, the same for all of its shifts."""
    actor.require(Permission.SET_ROTAS)
    checked = _checked(rota, shift, route)
    known = list(session.scalars(select(ShiftRow).order_by(ShiftRow.id).with_for_update()))
    if len(known) >= MOST_SHIFTS:
        raise BadInput(f"there are {MOST_SHIFTS} shifts; remove one that is over first", field="rota")
    document = checked.model_dump(mode="json", by_alias=True)
    for one in known:
        if one.rota == rota and one.document == document and one.route == route:
            return one
        if one.rota == rota and one.route != route:
            other = f"route {one.route!r}" if one.route else "every route"
            raise BadInput(f"rota {rota!r} answers {other}; all of its shifts do", field="route")
    row = ShiftRow(
        rota=rota, route=route, document=document, made_by=actor.person_row, made_at=clock.now()
    )  # fmt: skip
    session.add(row)
    session.flush()
    record(
        session, actor, Action.SHIFT_SET, object_kind="shift", object_id=row.id,
        payload={"rota": rota, "route": route, "shift": document},
    )  # fmt: skip
    return row


def remove_shift(session: WriteSession, actor: Actor, shift_id: int) -> None:
    actor.require(Permission.SET_ROTAS)
    row = session.get(ShiftRow, shift_id, with_for_update=True)
    if row is None:
        raise NotFound(f"there is no shift {shift_id}; somebody has removed it")
    record(
        session, actor, Action.SHIFT_REMOVED, object_kind="shift", object_id=row.id,
        payload={"rota": row.rota, "route": row.route, "shift": row.document},
    )  # fmt: skip
    session.delete(row)
    session.flush()


def shifts_document(session: ReadSession, viewer: Actor) -> dict[str, Any]:
    """`rotas` as the contacts file would have them."""
    allow(session, viewer, Permission.READ_JOBS)
    return {
        "rotas": {
            name: {"shifts": [one.document for one in shifts], **({"route": route} if route else {})}
            for name, (route, shifts) in _by_rota(_seen(session, viewer)).items()
        }
    }


def replace_shifts(session: WriteSession, actor: Actor, document: Any) -> int:
    """Have exactly the shifts of a document as it is exported; gives how many. What is the same stays untouched."""
    actor.require(Permission.SET_ROTAS)
    rotas = document.get("rotas") if isinstance(document, dict) and set(document) <= {"rotas"} else None
    if not isinstance(rotas, dict):
        raise BadInput("the document has `rotas` alone, each with `shifts`", field="document")
    wanted = []
    for name, rota in rotas.items():
        if (
            not isinstance(rota, dict)
            or set(rota) - {"shifts", "route"}
            or not isinstance(rota.get("shifts"), list)
        ):
            raise BadInput(
                f"rota {name!r} has `shifts`, and perhaps `route`; nothing else is set here", field="rotas"
            )
        for shift in rota["shifts"]:
            checked = _checked(name, shift, rota.get("route"))
            wanted.append((name, rota.get("route"), checked.model_dump(mode="json", by_alias=True)))
    for row in session.scalars(select(ShiftRow).order_by(ShiftRow.id)).all():
        if (row.rota, row.route, row.document) not in wanted:
            remove_shift(session, actor, row.id)
    for name, route, shift in wanted:
        add_shift(session, actor, rota=name, shift=shift, route=route)
    return len(wanted)


def _checked(rota: str, shift: Any, route: str | None) -> Shift:
    contacts = current_contacts()
    try:
        checked = Shift.model_validate(shift)
        Contacts(rotas={rota: Rota(shifts=(checked,), route=route)})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"] if part not in ("[key]", "rotas"))
        raise BadInput(
            f"{place or 'shift'}: {str(first['msg']).removeprefix('Value error, ')}", field="shift"
        ) from error
    if rota in contacts.rotas:
        raise BadInput(
            f"the contacts file has a rota {rota!r}; change it there, or take another name", field="rota"
        )
    if checked.channel not in contacts.channels:
        there = ", ".join(contacts.channels) or "none, and WARRANT_CONTACTS names the file that would"
        raise BadInput(
            f"{checked.channel!r} is no channel of the contacts; there are {there}", field="channel"
        )
    if route is not None and route not in {one.name for one in contacts.routes}:
        raise BadInput(f"{route!r} is no route of the contacts", field="route")
    return checked


def _by_rota(rows: Iterable[ShiftRow]) -> dict[str, tuple[str | None, list[ShiftRow]]]:
    found: dict[str, tuple[str | None, list[ShiftRow]]] = {}
    for row in rows:
        found.setdefault(row.rota, (row.route, []))[1].append(row)
    return found
