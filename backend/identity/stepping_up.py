"""Signing in again within a session: it gets another token, and what was being written waits until then."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession, reading, writing
from backend.errors import NotAllowed, NotSignedIn
from backend.identity.actor import Actor
from backend.identity.confirmation import confirm_account
from backend.identity.people import person_by_id
from backend.identity.sessions import OpenedSession, SignedIn, csrf_of, new_token
from backend.identity.tables import SignInSession
from backend.identity.ways_in import has_local_password


def sign_in_again(found: SignedIn, *, password: str) -> OpenedSession:
    """Prove with the password that it is still the same person, and give their session another token.

    Guesses count with those at the sign-in. Raises `NotConfirmed`, `SignInThrottled`. Who has no password here goes
    through the provider (`oidc.begin_sign_on`).
    """
    with reading() as session:
        person = person_by_id(session, found.actor.person_id)
    if not has_local_password(person):
        raise NotAllowed("this account has no password here; go through the sign-on provider")
    confirm_account(found.actor, username=person.username, password=password)
    with writing() as session:
        return renew(session, found.actor, method="password", at=clock.now())


def renew(session: WriteSession, actor: Actor, *, method: str, at: datetime) -> OpenedSession:
    """The same session under another token: whoever held the old one has nothing of the new sign-in."""
    row = session.get(SignInSession, actor.session_id, with_for_update=True)
    if row is None or row.revoked_at is not None or row.person_id != actor.person_id:
        raise NotSignedIn("your session has ended; sign in")
    token, row.token_hash = new_token()
    row.authenticated_at, row.last_seen_at = at, clock.now()
    session.flush()
    record(
        session, actor, Action.SIGNED_IN_AGAIN, object_kind="session", object_id=row.id,
        payload={"method": method, "signed_in_at": clock.to_iso(at)},
    )  # fmt: skip
    return OpenedSession(token, csrf_of(token), row.id, row.person_id, row.expires_at)


def keep_typed(actor: Actor, form: str, values: dict[str, Any]) -> None:
    """Keep what was written into a form that asked for a fresh sign-in, until they come back. One form a session."""
    with writing() as session:
        row = session.get(SignInSession, actor.session_id)
        if row is not None and row.person_id == actor.person_id:
            row.typed = {"form": form, "values": values}


def typed_in(session: ReadSession, actor: Actor) -> dict[str, Any] | None:
    """What `keep_typed` kept: its `form` and `values`."""
    row = session.get(SignInSession, actor.session_id) if actor.session_id else None
    return row.typed if row is not None and row.person_id == actor.person_id else None


def forget_typed(actor: Actor) -> None:
    with writing() as session:
        row = session.get(SignInSession, actor.session_id) if actor.session_id else None
        if row is not None and row.typed is not None:
            row.typed = None
