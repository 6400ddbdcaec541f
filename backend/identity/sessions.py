"""Sign-in sessions: rows that can be revoked, found by the hash of a token only the browser holds.

`resolve` and `session_of` only read, and check at every call that the session is neither revoked nor idle
nor too old, and that the person may still come in. `touch` moves the idle clock, at most once a minute, so
that reading a page does not write.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import ColumnElement, or_, select, true, update

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.audit.sealing import Personal
from backend.database.session import ReadSession, WriteSession, reading, writing
from backend.errors import NotFound, NotSignedIn
from backend.identity.actor import Actor, TeamRole, system_actor
from backend.identity.held_roles import roles_held
from backend.identity.passwords import verify_password
from backend.identity.people import USERNAME, normalise_username
from backend.identity.roles import Permission, Role
from backend.identity.tables import Person, SignInSession
from backend.identity.throttle import Attempt, count_attempt, forget_attempts
from backend.identity.ways_in import require_local_accounts
from backend.settings import settings

TOUCH_EVERY = timedelta(minutes=1)
REFUSED = "the user name or the password is not right"


class SignInRefused(NotSignedIn):
    """One message for every reason: which names exist is nobody's business."""

    title = "Not signed in"


class ChooseAPassword(NotSignedIn):
    """The password is right and somebody else knows it: it opens nothing until its person has chosen another."""

    title = "Choose a password"


class SignedIn(NamedTuple):
    """A valid session: who acts, the CSRF token its forms must carry, and its row."""

    actor: Actor
    csrf: str
    row: SignInSession


@dataclass(frozen=True)
class OpenedSession:
    """A session just opened. `token` goes into the cookie and exists nowhere else."""

    token: str
    csrf: str
    session_id: str
    person_id: str
    expires_at: datetime


def new_token() -> tuple[str, str]:
    """A new session token, and what is stored of it."""
    token = secrets.token_urlsafe(32)
    return token, hash_token(token)


def hash_token(token: str) -> str:
    """What is stored of a random token: SHA-256, hex. Tokens have 256 random bits, so no salt is needed."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def csrf_of(token: str) -> str:
    """The CSRF token of a session token: derived, so that it is stored nowhere."""
    return hmac.new(token.encode("utf-8", "replace"), b"warrant csrf", hashlib.sha256).hexdigest()


def actor_of(
    person: Person,
    *,
    session_id: str | None,
    request_id: str | None = None,
    address: str | None = None,
    signed_in_at: datetime | None = None,
) -> Actor:
    roles = roles_held(person)
    teams = _team_roles(person) if Role.AUDITOR not in roles else ()
    models = frozenset(person.models or ()) if Role.AUDITOR in roles else None
    if not roles:  # without any, and in no team, no model at all
        models = frozenset().union(*(one.models for one in teams))
    return Actor(
        person_id=person.id,
        kind=person.kind,
        roles=roles,
        models=models,
        team_roles=teams,
        session_id=session_id,
        request_id=request_id,
        address=address,
        acting_for=person.owner_id,
        display_name=person.display_name,
        signed_in_at=signed_in_at,
    )


def _team_roles(person: Person) -> tuple[TeamRole, ...]:
    return tuple(
        TeamRole(one.team_id, Role(one.role), frozenset(owned.model for owned in one.team.models))
        for one in sorted(person.team_roles, key=lambda one: (one.team_id, one.role))
    )


def may_sign_in(person: Person) -> bool:
    """Whether the account is open: neither disabled nor over, and a demo account only in demo mode."""
    if person.expires_at is not None and clock.now() >= person.expires_at:
        return False
    return person.disabled_at is None and (not person.is_demo or settings().demo)


def open_accounts() -> list[ColumnElement[bool]]:
    """Conditions on people: `may_sign_in`, asked of the database."""
    conditions = [
        Person.disabled_at.is_(None),
        or_(Person.expires_at.is_(None), Person.expires_at > clock.now()),
    ]
    return conditions if settings().demo else [*conditions, Person.is_demo.is_(False)]


def sign_in(
    *,
    username: str,
    password: str,
    address: str | None = None,
    user_agent: str | None = None,
    request_id: str | None = None,
) -> OpenedSession:
    """Check a name and password and open a session. Raises `SignInRefused`, `SignInThrottled` or
    `LocalAccountsOff`.

    Three transactions, because hashing takes tens of milliseconds and must not hold the write lock: count
    the attempt, check the password outside any transaction, then record what came of it.
    """
    require_local_accounts()
    username = normalise_username(username[:256])
    with writing() as session:
        attempt = count_attempt(session, username=username, address=address)
    with reading() as session:
        person = account_to_sign_in(session, username)
    right = verify_password(person.password_hash if person else None, password)
    with writing() as session:
        person = session.get(Person, person.id) if person else None
        if person is not None and right and may_sign_in(person):
            forget_attempts(session, attempt)
            if person.password_known_to is None:
                return open_session(
                    session, person, address=address, user_agent=user_agent, request_id=request_id
                )
        else:
            record_refusal(session, person, attempt, address=address, request_id=request_id)
            right = False
    if right:
        raise ChooseAPassword("somebody else set this password for you: choose one that only you know")
    raise SignInRefused(REFUSED)


def open_session(
    session: WriteSession,
    person: Person,
    *,
    address: str | None,
    user_agent: str | None,
    request_id: str | None = None,
    method: str = "password",
    authenticated_at: datetime | None = None,
) -> OpenedSession:
    """A new session with a new token, whatever cookie the browser came with. The caller has checked who it is.

    `authenticated_at`: when a sign-on provider last asked them, which it need not say; a password was given now.
    """
    if not may_sign_in(person):
        raise SignInRefused(REFUSED)
    (token, hashed), moment = new_token(), clock.now()
    row = SignInSession(
        token_hash=hashed,
        person_id=person.id,
        created_at=moment,
        last_seen_at=moment,
        expires_at=moment + timedelta(hours=settings().session_absolute_h),
        address=address,
        user_agent=_short(user_agent),
        authenticated_at=authenticated_at if method == "oidc" else moment,
        last_address=address,
        last_user_agent=_short(user_agent),
    )
    session.add(row)
    session.flush()
    record(
        session, actor_of(person, session_id=row.id, request_id=request_id, address=address),
        Action.SIGNED_IN, object_kind="session", object_id=row.id,
        payload={"method": method, "user_agent": Personal(person.id, row.user_agent)},
    )  # fmt: skip
    return OpenedSession(token, csrf_of(token), row.id, person.id, row.expires_at)


def resolve(
    session: ReadSession,
    token: str | None,
    *,
    request_id: str | None = None,
    address: str | None = None,
) -> Actor | None:
    """Who holds this session token now, or None when nobody does any more."""
    found = _find(session, token, request_id=request_id, address=address)
    return found.actor if found else None


def session_of(
    token: str | None, *, request_id: str | None = None, address: str | None = None
) -> SignedIn | None:
    """The session of a cookie's token, for pages: one short read, no write. None: not signed in (any more)."""
    if not token:
        return None
    with reading() as session:
        return _find(session, token, request_id=request_id, address=address)


def touch(found: SignedIn, *, address: str | None = None, user_agent: str | None = None) -> None:
    """Note that the session was used, and from where. Writes at most once a minute, and at once where address or
    browser are others than before; never revives an ended session."""
    moment, row, browser = clock.now(), found.row, _short(user_agent)
    moved = (address or row.last_address, browser or row.last_user_agent) != (
        row.last_address,
        row.last_user_agent,
    )
    if moment - row.last_seen_at < TOUCH_EVERY and not moved:
        return
    with writing() as session:
        session.execute(
            update(SignInSession)
            .where(
                SignInSession.id == found.row.id,
                SignInSession.revoked_at.is_(None),
                true() if moved else SignInSession.last_seen_at <= moment - TOUCH_EVERY,
            )
            .values(
                last_seen_at=moment,
                last_address=address or row.last_address,
                last_user_agent=browser or row.last_user_agent,
            )
        )


def revoke(session: WriteSession, actor: Actor, session_id: str, *, why: str = "") -> None:
    """End a session at once: one's own, or anyone's with the right to manage people. Twice is once."""
    row = session.get(SignInSession, session_id, with_for_update=True)
    if not actor.may(Permission.MANAGE_PEOPLE):
        if row is not None and row.person_id != actor.person_id:
            row = None
        actor.require_scope(Permission.MANAGE_OWN_TOKENS)
    if row is None:
        raise NotFound(f"there is no session {session_id} of yours")
    if row.revoked_at is not None:
        return
    row.revoked_at = clock.now()
    session.flush()
    own = session_id == actor.session_id
    record(
        session, actor, Action.SIGNED_OUT if own else Action.SESSION_REVOKED,
        object_kind="session", object_id=row.id, why=why, payload={"person": row.person_id},
    )  # fmt: skip


def revoke_all(
    session: WriteSession, actor: Actor, person_id: str, *, except_this: bool = False, why: str = ""
) -> int:
    """End every session of a person (one's own, or with the right to manage people); how many ended.

    `except_this` keeps the session the actor is using.
    """
    ends_anybodys = actor.may(Permission.MANAGE_PEOPLE)
    if person_id != actor.person_id:
        actor.require(Permission.MANAGE_PEOPLE)
    elif not ends_anybodys:
        actor.require_scope(Permission.MANAGE_OWN_TOKENS)
    open_ids = session.scalars(
        select(SignInSession.id).where(
            SignInSession.person_id == person_id, SignInSession.revoked_at.is_(None)
        )
    ).all()
    ending = [one for one in open_ids if not (except_this and one == actor.session_id)]
    for one in ending:
        revoke(session, actor, one, why=why)
    return len(ending)


def revoke_everybodys(session: WriteSession, actor: Actor, *, why: str) -> int:
    """End every session that is not over, with the right to manage people; how many ended."""
    actor.require(Permission.MANAGE_PEOPLE)
    moment = clock.now()
    rows = session.scalars(
        select(SignInSession).where(SignInSession.revoked_at.is_(None)).order_by(SignInSession.id)
    )
    ending = [row.id for row in rows if _is_alive(row, moment)]
    for one in ending:
        revoke(session, actor, one, why=why)
    return len(ending)


def list_sessions(
    session: ReadSession, viewer: Actor, person_id: str, *, limit: int | None = None, offset: int = 0
) -> list[SignInSession]:
    """Sessions of a person that are not over, newest first; one's own, or with the right to manage people."""
    if person_id != viewer.person_id:
        viewer.require(Permission.MANAGE_PEOPLE)
    moment = clock.now()
    idle = timedelta(minutes=settings().session_idle_min)
    return list(
        session.scalars(
            select(SignInSession)
            .where(
                SignInSession.person_id == person_id, SignInSession.revoked_at.is_(None),
                SignInSession.expires_at > moment, SignInSession.last_seen_at > moment - idle,
            )
            .order_by(SignInSession.created_at.desc(), SignInSession.id)
            .limit(limit)
            .offset(offset)
        )
    )  # fmt: skip


def account_to_sign_in(session: ReadSession, username: str) -> Person | None:
    if not USERNAME.fullmatch(username):  # text that the database may not even be able to hold
        return None
    return session.scalars(
        select(Person).where(Person.username == username, Person.kind == "person")
    ).one_or_none()


def _find(
    session: ReadSession, token: str | None, *, request_id: str | None, address: str | None
) -> SignedIn | None:
    if not token:
        return None
    found = session.execute(
        select(SignInSession, Person)
        .join(Person, Person.id == SignInSession.person_id)
        .where(SignInSession.token_hash == hash_token(token))
    ).one_or_none()
    if found is None:
        return None
    row, person = found
    if not _is_alive(row, clock.now()) or not may_sign_in(person):
        return None
    return SignedIn(
        actor_of(
            person,
            session_id=row.id,
            request_id=request_id,
            address=address,
            signed_in_at=row.authenticated_at,
        ),
        csrf_of(token),
        row,
    )


def _is_alive(row: SignInSession, moment: datetime) -> bool:
    idle = timedelta(minutes=settings().session_idle_min)
    return row.revoked_at is None and moment < row.expires_at and moment < row.last_seen_at + idle


def _short(user_agent: str | None) -> str | None:
    return (user_agent or "")[:300] or None


def _refusal_reason(person: Person | None) -> str:
    if person is None:
        return "no such account"
    if person.disabled_at is not None:
        return "the account is disabled"
    if person.expires_at is not None and clock.now() >= person.expires_at:
        return "the account is over"
    if not may_sign_in(person):
        return "a demo account outside demo mode"
    return "wrong password"


def record_refusal(
    session: WriteSession,
    person: Person | None,
    attempt: Attempt,
    *,
    address: str | None,
    request_id: str | None,
) -> None:
    if not attempt.recordable:
        return
    # What was typed as a name is not recorded: it may be a password.
    record(
        session, replace(system_actor("sign-in"), address=address, request_id=request_id),
        Action.SIGN_IN_REFUSED, object_kind="person", object_id=person.id if person else "unknown",
        payload={"reason": _refusal_reason(person), "throttled": attempt.begins_throttle,
                 "address": Personal(person.id, address) if person else address},
    )  # fmt: skip
