"""Passwords that only their person knows: choosing one's own, and giving one to somebody who forgot theirs.

Who was given a password by somebody else has come in with it nowhere yet: `sessions.sign_in` answers `ChooseAPassword`,
and `choose_password` opens the first session. So nobody decides under a name whose password another one still knows.
"""

from __future__ import annotations

from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import WriteSession, reading, writing
from backend.errors import BadInput, NotAllowed
from backend.identity.actor import Actor
from backend.identity.freshness import require_fresh_access
from backend.identity.passwords import hash_password, verify_password
from backend.identity.people import normalise_username, person_by_id
from backend.identity.roles import Permission
from backend.identity.sessions import (
    REFUSED,
    OpenedSession,
    SignInRefused,
    account_to_sign_in,
    actor_of,
    may_sign_in,
    open_session,
    record_refusal,
    revoke_all,
)
from backend.identity.tables import Person
from backend.identity.throttle import count_attempt, forget_attempts
from backend.identity.ways_in import require_local_accounts


def choose_password(
    *,
    username: str,
    password: str,
    new: str,
    address: str | None = None,
    user_agent: str | None = None,
    request_id: str | None = None,
) -> OpenedSession:
    """Replace one's own password. Every session of theirs ends, and this browser gets a new one.

    Whoever knows the present password may, as at the sign-in: guesses count with those there. Raises `SignInRefused`,
    `SignInThrottled`, `LocalAccountsOff`, `PasswordTooWeak`, and `NotAllowed` for an account of the demo.
    """
    require_local_accounts()
    username = normalise_username(username[:256])
    with writing() as session:
        attempt = count_attempt(session, username=username, address=address)
    with reading() as session:
        found = account_to_sign_in(session, username)
    stored = found.password_hash if found else None
    right = verify_password(stored, password)
    if right and verify_password(stored, new):
        raise BadInput("the new password is the one you have; choose another")
    hashed = hash_password(new, username=username) if right else ""
    with writing() as session:
        person = session.get(Person, found.id, with_for_update=True) if found else None
        if person is not None and right and person.password_hash == stored and may_sign_in(person):
            if person.is_demo:
                raise NotAllowed("the accounts of the demo share the password that the sign-in page shows")
            forget_attempts(session, attempt)
            return _with_password(
                session, person, hashed, address=address, user_agent=user_agent, request_id=request_id
            )
        record_refusal(session, person, attempt, address=address, request_id=request_id)
    raise SignInRefused(REFUSED)


def _with_password(
    session: WriteSession,
    person: Person,
    hashed: str,
    *,
    address: str | None,
    user_agent: str | None,
    request_id: str | None,
) -> OpenedSession:
    was_given_by, person.password_hash, person.password_known_to = person.password_known_to, hashed, None
    actor = actor_of(person, session_id=None, request_id=request_id, address=address)
    revoke_all(session, actor, person.id, why="chose another password")
    record(
        session, actor, Action.PASSWORD_CHOSEN, object_kind="person", object_id=person.id,
        payload={"given_by": was_given_by},
    )  # fmt: skip
    return open_session(session, person, address=address, user_agent=user_agent, request_id=request_id)


def give_password(
    session: WriteSession, actor: Actor, person_id: str, *, password_hash: str, why: str
) -> Person:
    """Set the password of somebody who forgot theirs. It opens nothing until they have chosen another one at the
    sign-in; their sessions end.

    Whoever may manage people and signed in freshly, with a reason that the log keeps; never one's own. Raises
    `NotAllowed`, `BadInput`, `NotFound`, `LocalAccountsOff`.
    """
    actor.require(Permission.MANAGE_PEOPLE)
    require_fresh_access(actor)
    require_local_accounts()
    person = person_by_id(session, person_id)
    if person.kind != "person" or person.password_hash is None or person.is_demo:
        raise BadInput(f"{person.display_name} has no password of their own here")
    if person.id == actor.person_id:
        raise BadInput("choose your own password on the page Account")
    if not why.strip():
        raise BadInput("write why: the log keeps it", field="why")
    person.password_hash, person.password_known_to = password_hash, actor.person_id
    revoke_all(session, actor, person.id, why="got another password")
    record(session, actor, Action.PASSWORD_GIVEN, object_kind="person", object_id=person.id, why=why.strip())
    return person
