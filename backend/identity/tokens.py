"""API tokens `wrt_…`: the bearer secrets of scripts and service accounts. Hashed, expiring, revocable."""

from __future__ import annotations

import secrets
from datetime import timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import aliased

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession, reading, writing
from backend.errors import BadInput, NotAllowed, NotFound
from backend.identity.actor import Actor
from backend.identity.people import person_by_id
from backend.identity.roles import Permission
from backend.identity.sessions import TOUCH_EVERY, actor_of, hash_token, may_sign_in
from backend.identity.tables import ApiToken, Person

PREFIX = "wrt_"
LONGEST_DAYS = 366


def create_token(
    session: WriteSession,
    actor: Actor,
    *,
    name: str,
    valid_days: int = 90,
    person_id: str | None = None,
) -> tuple[ApiToken, str]:
    """A new token for oneself, or for a service account one owns (`person_id`). Returns its row and the raw
    token, which is shown once and stored nowhere.

    A token cannot make tokens: a stolen one would outlive its revocation.
    """
    actor.require(Permission.MANAGE_OWN_TOKENS)
    if (actor.session_id or "").startswith("tok_"):
        raise NotAllowed("a token cannot create tokens; sign in and create it there")
    holder = person_by_id(session, person_id or actor.person_id)
    if holder.id != actor.person_id and holder.owner_id != actor.person_id:
        raise NotAllowed("tokens are created for oneself or for one's own service account")
    name = " ".join(name.split())
    if not 1 <= len(name) <= 100 or not name.isprintable():
        raise BadInput("the token needs a name of 1 to 100 printable characters, such as what will use it")
    if not 1 <= valid_days <= LONGEST_DAYS:
        raise BadInput(f"a token is valid for 1 to {LONGEST_DAYS} days, not {valid_days}")
    raw, moment = PREFIX + secrets.token_urlsafe(32), clock.now()
    row = ApiToken(
        token_hash=hash_token(raw),
        person_id=holder.id,
        name=name,
        created_at=moment,
        expires_at=moment + timedelta(days=valid_days),
    )
    session.add(row)
    session.flush()
    record(
        session, actor, Action.TOKEN_CREATED, object_kind="token", object_id=row.id,
        payload={"name": name, "holder": holder.id, "expires_at": clock.to_iso(row.expires_at)},
    )  # fmt: skip
    return row, raw


def revoke_token(session: WriteSession, actor: Actor, token_id: str, *, why: str = "") -> None:
    """End a token at once: one's own, one's service account's, or anyone's with the right to manage people."""
    row = session.get(ApiToken, token_id, with_for_update=True)
    holder = session.get(Person, row.person_id) if row else None
    if row is None or holder is None or not _may_manage(actor, holder):
        raise NotFound(f"there is no token {token_id} of yours")
    if row.revoked_at is not None:
        return
    row.revoked_at = clock.now()
    session.flush()
    record(
        session, actor, Action.TOKEN_REVOKED, object_kind="token", object_id=row.id, why=why,
        payload={"name": row.name, "holder": holder.id},
    )  # fmt: skip


def list_tokens(session: ReadSession, viewer: Actor) -> list[ApiToken]:
    """The viewer's tokens and those of service accounts they own, newest first; ended ones too."""
    viewer.require(Permission.MANAGE_OWN_TOKENS)
    return list(
        session.scalars(
            select(ApiToken)
            .join(Person, Person.id == ApiToken.person_id)
            .where((Person.id == viewer.person_id) | (Person.owner_id == viewer.person_id))
            .order_by(ApiToken.created_at.desc(), ApiToken.id)
        )
    )


def resolve_token(
    session: ReadSession, raw: str, *, request_id: str | None = None, address: str | None = None
) -> Actor | None:
    """Who holds this token now, or None. A service account stops with its owner."""
    if not raw.startswith(PREFIX):
        return None
    owner = aliased(Person)
    found = session.execute(
        select(ApiToken, Person, owner)
        .join(Person, Person.id == ApiToken.person_id)
        .outerjoin(owner, owner.id == Person.owner_id)
        .where(ApiToken.token_hash == hash_token(raw))
    ).one_or_none()
    if found is None:
        return None
    row, person, behind = found
    if row.revoked_at is not None or clock.now() >= row.expires_at or not may_sign_in(person):
        return None
    if behind is not None and not may_sign_in(behind):
        return None
    return actor_of(person, session_id=row.id, request_id=request_id, address=address)


def touch_token(token_id: str) -> None:
    """Note when a token was last used; writes at most once a minute."""
    moment = clock.now()
    due = (
        ApiToken.id == token_id,
        (ApiToken.last_used_at.is_(None)) | (ApiToken.last_used_at < moment - TOUCH_EVERY),
    )
    with reading() as session:
        if session.scalar(select(ApiToken.id).where(*due)) is None:
            return
    with writing() as session:
        session.execute(update(ApiToken).where(*due).values(last_used_at=moment))


def _may_manage(actor: Actor, holder: Person) -> bool:
    own = actor.person_id in (holder.id, holder.owner_id)
    return own or actor.may(Permission.MANAGE_PEOPLE) or actor.may(Permission.REVIEW_ACCESS)
