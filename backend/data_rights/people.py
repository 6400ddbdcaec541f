"""Erasing somebody who used Warrant: who they were goes, what they did stays, and the log verifies."""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import CursorResult, Result, delete, select, update

from backend import clock
from backend.audit.erasure import destroy_key
from backend.database.session import ReadSession, WriteSession
from backend.errors import Conflict
from backend.holds.payloads import hold_on_entries_of
from backend.holds.service import refusal, require_free
from backend.identity.actor import Actor
from backend.identity.people import disable_person, person_by_id
from backend.identity.tables import ApiToken, IdempotencyKey, Person, SignInSession

ERASED_NAME = "Erased person"


class AlreadyErased(Conflict):
    title = "Already erased"


def require_erasable(session: ReadSession, person_id: str) -> Person:
    """The account, if nothing stands against erasing it. Raises `NotFound`, `AlreadyErased`, `Held`, `Conflict`."""
    person = person_by_id(session, person_id)
    if person.display_name == ERASED_NAME and person.username == person.id.lower():
        raise AlreadyErased(f"{person_id} is erased already")
    if person.kind != "person":
        raise Conflict(f"{person.display_name} is a service account; nobody's person hides behind it")
    owned = session.scalar(
        select(Person.display_name).where(Person.owner_id == person_id, Person.disabled_at.is_(None))
    )
    if owned is not None:
        raise Conflict(f"the service account {owned} acts for this person; give it another owner first")
    require_free(session, "person", person_id)
    hold = hold_on_entries_of(session, person_id)
    if hold is not None:
        raise refusal(hold)
    return person


def erase_person(
    session: WriteSession, actor: Actor, person_id: str, *, why: str, request: str
) -> dict[str, int]:
    """Close the account, take name, sign-in and addresses away, and destroy the key of their values in the log.

    Returns how many rows went. Ids stay: they are what decisions and entries point at.
    """
    person = require_erasable(session, person_id)
    disable_person(session, actor, person_id, why=why)
    counts = {
        # ids of sessions are in the log's leaves; only what names the browser goes
        "sessions": _rows(
            session.execute(
                update(SignInSession)
                .where(SignInSession.person_id == person_id)
                .values(address=None, user_agent=None)
            )
        ),
        "tokens": _rows(session.execute(delete(ApiToken).where(ApiToken.person_id == person_id))),
        "stored answers": _rows(
            session.execute(delete(IdempotencyKey).where(IdempotencyKey.person_id == person_id))
        ),
    }
    person.display_name, person.username = ERASED_NAME, person.id.lower()
    person.password_hash = person.oidc_issuer = person.oidc_subject = None
    person.disabled_at = person.disabled_at or clock.now()
    session.flush()
    destroy_key(session, actor, person_id, why=why, request=request)
    return counts


def _rows(result: Result[Any]) -> int:
    return int(cast(CursorResult[Any], result).rowcount)
