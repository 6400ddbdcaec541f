"""The first administrator, and one for a day when the others cannot come in: a link that works once, printed where only
the operator reads."""

from __future__ import annotations

import secrets
from datetime import timedelta

from sqlalchemy import delete, select, update

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.errors import Conflict, NotFound
from backend.identity.actor import Actor, system_actor
from backend.identity.people import create_person
from backend.identity.roles import Role
from backend.identity.sessions import actor_of, hash_token
from backend.identity.tables import Person, SetUpLink
from backend.identity.ways_in import administrators_with_a_way_in

VALID_FOR = timedelta(hours=24)
BROKEN_FOR = timedelta(hours=24)


class AlreadySetUp(Conflict):
    title = "Already set up"


class SetUpLinkInvalid(NotFound):
    title = "This link does not work"


def has_administrator(session: ReadSession) -> bool:
    """Whether someone real can come in and administer; demo accounts do not count."""
    able = administrators_with_a_way_in(session)
    return (
        session.scalar(select(Person.id).where(Person.id.in_(able), Person.is_demo.is_(False)).limit(1))
        is not None
    )


def create_set_up_link(session: WriteSession, actor: Actor, *, break_glass: bool = False) -> str:
    """The raw token of a new link `/setup/<token>`; an earlier unused link stops working.

    Only one of Warrant's own processes (the command line beside the database) makes one, and only while
    no administrator can come in; `break_glass` also while some could, for one whose account ends after a day. Raises
    `AlreadySetUp`.
    """
    if actor.kind != "system":
        raise NotFound("set-up links are made on the command line: warrant setup-link")
    if not break_glass and has_administrator(session):
        raise AlreadySetUp(
            "there is an administrator already; they can create people. When none of them can come in, "
            "--break-glass makes one for a day"
        )
    session.execute(delete(SetUpLink).where(SetUpLink.used_at.is_(None)))
    raw, moment = secrets.token_urlsafe(32), clock.now()
    session.add(
        SetUpLink(
            token_hash=hash_token(raw),
            created_at=moment,
            expires_at=moment + VALID_FOR,
            break_glass=break_glass,
        )
    )
    session.flush()
    record(
        session, actor, Action.SET_UP_LINK_CREATED, object_kind="set_up",
        object_id="break_glass" if break_glass else "first_administrator",
    )  # fmt: skip
    return raw


def check_set_up_link(session: ReadSession, raw: str) -> None:
    """Raise `SetUpLinkInvalid` unless the link would work now."""
    row = session.get(SetUpLink, hash_token(raw))
    over = row is None or row.used_at is not None or row.expires_at <= clock.now()
    if row is None or over or (not row.break_glass and has_administrator(session)):
        raise SetUpLinkInvalid(
            "this set-up link was used, has expired or never existed; make a new one: warrant setup-link"
        )


def use_set_up_link(
    session: WriteSession,
    raw: str,
    *,
    username: str,
    display_name: str,
    password_hash: str,
    address: str | None = None,
    request_id: str | None = None,
) -> Person:
    """Create the first administrator, or one for a day. The link is used up with it, in one transaction.

    `password_hash` is made before the transaction begins (`backend.identity.passwords.hash_password`).
    """
    check_set_up_link(session, raw)
    used = session.execute(
        update(SetUpLink)
        .where(SetUpLink.token_hash == hash_token(raw), SetUpLink.used_at.is_(None))
        .values(used_at=clock.now())
    )
    if used.rowcount != 1:  # type: ignore[attr-defined]
        raise SetUpLinkInvalid("this set-up link has just been used")
    person = create_person(
        session, system_actor("set-up"), username=username, display_name=display_name,
        password_hash=password_hash, roles={Role.ADMIN},
    )  # fmt: skip
    if session.get_one(SetUpLink, hash_token(raw)).break_glass:
        person.expires_at = clock.now() + BROKEN_FOR
        session.flush()
    record(
        session, actor_of(person, session_id=None, request_id=request_id, address=address),
        Action.SET_UP_USED, object_kind="person", object_id=person.id,
    )  # fmt: skip
    return person
