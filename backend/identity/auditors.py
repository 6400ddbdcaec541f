"""Accounts of external auditors: they read, for a time, and only what concerns the models they are to look at."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput, NotFound
from backend.identity.actor import Actor
from backend.identity.freshness import require_fresh_access
from backend.identity.people import add_account, person_by_id
from backend.identity.roles import Permission, Role
from backend.identity.tables import Person

LONGEST: Final = timedelta(days=366)


def invite_auditor(
    session: WriteSession,
    actor: Actor,
    *,
    username: str,
    display_name: str,
    password_hash: str,
    models: Collection[str],
    expires_at: datetime,
    why: str,
) -> Person:
    """An account that reads what concerns these models until then, and ends by itself. It has no other role."""
    actor.require(Permission.MANAGE_PEOPLE)
    named = _checked(session, models, expires_at, why)
    person = add_account(
        session, actor, username=username, display_name=display_name, password_hash=password_hash,
        roles={Role.AUDITOR},
    )  # fmt: skip
    person.models, person.expires_at = named, expires_at
    session.flush()
    _record(session, actor, Action.AUDITOR_INVITED, person, why)
    return person


def limit_auditor(
    session: WriteSession,
    actor: Actor,
    person_id: str,
    *,
    models: Collection[str],
    expires_at: datetime,
    why: str,
) -> Person:
    """Give an auditor other models or another end; it holds from their next request on."""
    actor.require(Permission.MANAGE_PEOPLE)
    require_fresh_access(actor)
    person = person_by_id(session, person_id)
    if Role.AUDITOR not in {entry.role for entry in person.roles}:
        raise NotFound(f"{person.display_name} is no external auditor")
    person.models, person.expires_at = _checked(session, models, expires_at, why), expires_at
    session.flush()
    _record(session, actor, Action.AUDITOR_LIMITED, person, why)
    return person


def _checked(session: ReadSession, models: Collection[str], expires_at: datetime, why: str) -> list[str]:
    from backend.registry.tables import Model

    if not why.strip():
        raise BadInput("write why somebody from outside is let in: others will read it", field="why")
    now = clock.now()
    if not now < expires_at <= now + LONGEST:
        raise BadInput(f"an auditor's account ends within {LONGEST.days} days", field="expires_at")
    named = sorted(set(models))
    known = set(session.scalars(select(Model.name).where(Model.name.in_(named))))
    if not named or set(named) - known:
        missing = ", ".join(sorted(set(named) - known)) or "none is named"
        raise BadInput(f"name the models that may be seen; not there: {missing}", field="models")
    return named


def _record(session: WriteSession, actor: Actor, action: Action, person: Person, why: str) -> None:
    assert person.expires_at is not None  # noqa: S101 - just set
    record(
        session, actor, action, object_kind="person", object_id=person.id, why=why.strip(),
        payload={"models": person.models, "expires_at": clock.to_iso(person.expires_at)},
    )  # fmt: skip
