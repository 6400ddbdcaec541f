"""API tokens `wrt_…`: the bearer secrets of scripts and service accounts. Hashed, scoped, expiring, revocable."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import select, update
from sqlalchemy.orm import aliased

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.many import among
from backend.database.session import ReadSession, WriteSession, reading, writing
from backend.errors import BadInput, Conflict, NotAllowed, NotFound
from backend.identity.actor import Actor
from backend.identity.freshness import require_fresh
from backend.identity.people import person_by_id
from backend.identity.reach import allow
from backend.identity.roles import Permission
from backend.identity.sessions import TOUCH_EVERY, actor_of, hash_token, may_sign_in
from backend.identity.tables import ApiToken, Person
from backend.identity.token_text import HINT_LENGTH, is_token_text, make_token_text

LONGEST_DAYS: Final = 366
LONGEST_OVERLAP_H: Final = 24 * 14
WARNED: Final = timedelta(days=14)


def create_token(
    session: WriteSession,
    actor: Actor,
    *,
    name: str,
    valid_days: int = 90,
    person_id: str | None = None,
    scopes: Collection[str] | None = None,
    models: Collection[str] | None = None,
) -> tuple[ApiToken, str]:
    """A new token for oneself, or for a service account one owns (`person_id`). Returns its row and the raw
    token, which is shown once and stored nowhere.

    `scopes`: the permissions it has of its holder's (None: all, but for what asks for a fresh sign-in); `models`: those
    it may see of its holder's (None: all). A token cannot make tokens: a stolen one would outlive its revocation.
    """
    allow(session, actor, Permission.MANAGE_OWN_TOKENS)
    _require_person_here(actor)
    holder = person_by_id(session, person_id or actor.person_id)
    if holder.id != actor.person_id and holder.owner_id != actor.person_id:
        raise NotAllowed("tokens are created for oneself or for one's own service account")
    name = " ".join(name.split())
    if not 1 <= len(name) <= 100 or not name.isprintable():
        raise BadInput("the token needs a name of 1 to 100 printable characters, such as what will use it")
    row, raw = issue(
        session, holder, name=name, expires_at=_end(valid_days), scopes=checked_scopes(holder, scopes),
        models=checked_models(session, models),
    )  # fmt: skip
    record(session, actor, Action.TOKEN_CREATED, object_kind="token", object_id=row.id, payload=_told(row))
    return row, raw


def issue(
    session: WriteSession,
    holder: Person,
    *,
    name: str,
    expires_at: datetime,
    scopes: list[str] | None,
    models: list[str] | None,
    trust_rule: str | None = None,
) -> tuple[ApiToken, str]:
    """Write a new token down. The caller has checked that it may be made, and records it."""
    raw = make_token_text()
    row = ApiToken(
        token_hash=hash_token(raw), person_id=holder.id, name=name, created_at=clock.now(), expires_at=expires_at,
        scopes=scopes, models=models, hint=raw[:HINT_LENGTH], trust_rule=trust_rule,
    )  # fmt: skip
    session.add(row)
    session.flush()
    return row, raw


def rotate_token(
    session: WriteSession, actor: Actor, token_id: str, *, overlap_h: int = 24, valid_days: int = 90
) -> tuple[ApiToken, str]:
    """A token like this one that takes over from it; the old one ends after `overlap_h` hours, or before by itself."""
    allow(session, actor, Permission.MANAGE_OWN_TOKENS)
    _require_person_here(actor)
    old = session.get(ApiToken, token_id, with_for_update=True)
    holder = session.get(Person, old.person_id) if old else None
    if old is None or holder is None or actor.person_id not in (holder.id, holder.owner_id):
        raise NotFound(f"there is no token {token_id} of yours")
    if not is_open(old) or old.trust_rule is not None:
        raise Conflict("only a token that is valid can be replaced, and none of a pipeline's job; create one")
    if old.replaced_by is not None:
        raise Conflict(f"{old.name} was replaced already, by {old.replaced_by}; revoke that, or rotate it")
    if not 0 <= overlap_h <= LONGEST_OVERLAP_H:
        raise BadInput(f"the old token stays valid for 0 to {LONGEST_OVERLAP_H} hours, not {overlap_h}")
    row, raw = issue(
        session, holder, name=old.name, expires_at=_end(valid_days), scopes=old.scopes, models=old.models
    )
    old.replaced_by = row.id
    old.expires_at = min(old.expires_at, clock.now() + timedelta(hours=overlap_h))
    session.flush()
    record(
        session, actor, Action.TOKEN_ROTATED, object_kind="token", object_id=row.id,
        payload={**_told(row), "replaces": old.id, "old_until": clock.to_iso(old.expires_at)},
    )  # fmt: skip
    return row, raw


def is_open(row: ApiToken) -> bool:
    return row.revoked_at is None and clock.now() < row.expires_at


def ends_soon(row: ApiToken) -> bool:
    """Whether somebody should see to it: it ends within two weeks, it is in use, and nothing takes over from it."""
    is_meant_to = row.replaced_by is not None or row.trust_rule is not None
    return is_open(row) and not is_meant_to and row.expires_at <= clock.now() + WARNED


def tokens_ending_soon(session: ReadSession) -> list[tuple[ApiToken, Person]]:
    """Those of everybody, with who holds each, the next to end first: for Warrant's own look at itself."""
    rows = session.execute(
        select(ApiToken, Person)
        .join(Person, Person.id == ApiToken.person_id)
        .where(ApiToken.revoked_at.is_(None), ApiToken.expires_at <= clock.now() + WARNED)
        .order_by(ApiToken.expires_at, ApiToken.id)
    )
    return [(token, holder) for token, holder in rows if ends_soon(token) and may_sign_in(holder)]


def checked_scopes(holder: Person, scopes: Collection[str] | None) -> list[str] | None:
    """Raises `BadInput` for a permission that is none, or that the holder does not have."""
    if scopes is None:
        return None
    may = actor_of(holder, session_id=None).may
    held = {one.value for one in Permission if may(one)}
    strange = sorted(set(scopes) - held)
    if strange or not scopes:
        raise BadInput(
            f"a token has some of the permissions of {holder.username}; not among them: {', '.join(strange)}"
            if strange
            else "name at least one permission that the token is for",
            field="scopes",
        )
    return sorted(set(scopes))


def checked_models(session: ReadSession, models: Collection[str] | None) -> list[str] | None:
    from backend.registry.tables import Model

    if models is None:
        return None
    known = set(session.scalars(select(Model.name).where(among(Model.name, sorted(set(models))))))
    if not models or set(models) - known:
        missing = ", ".join(sorted(set(models) - known)) or "none is named"
        raise BadInput(f"name the models that the token is for; not there: {missing}", field="models")
    return sorted(known)


def _require_person_here(actor: Actor) -> None:
    if actor.is_token:
        raise NotAllowed("a token cannot create tokens; sign in and create it there")
    require_fresh(actor, "create an API token")


def _end(valid_days: int) -> datetime:
    if not 1 <= valid_days <= LONGEST_DAYS:
        raise BadInput(f"a token is valid for 1 to {LONGEST_DAYS} days, not {valid_days}")
    return clock.now() + timedelta(days=valid_days)


def _told(row: ApiToken) -> dict[str, Any]:
    return {
        "name": row.name, "holder": row.person_id, "expires_at": clock.to_iso(row.expires_at),
        "scopes": row.scopes, "models": row.models,
    }  # fmt: skip


def revoke_token(session: WriteSession, actor: Actor, token_id: str, *, why: str = "") -> None:
    """End a token at once: one's own, one's service account's, or anyone's with the right to manage people. Any token
    may end itself."""
    ends_anybodys = _may_end_anybodys(actor)
    if not ends_anybodys and token_id != actor.session_id:
        actor.require_scope(Permission.MANAGE_OWN_TOKENS)
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


def list_tokens(
    session: ReadSession, viewer: Actor, *, limit: int | None = None, offset: int = 0
) -> list[ApiToken]:
    """The viewer's tokens and those of service accounts they own, newest first; ended ones too."""
    viewer.require_some(Permission.MANAGE_OWN_TOKENS)
    return list(
        session.scalars(
            select(ApiToken)
            .join(Person, Person.id == ApiToken.person_id)
            .where((Person.id == viewer.person_id) | (Person.owner_id == viewer.person_id))
            .order_by(ApiToken.created_at.desc(), ApiToken.id)
            .limit(limit)
            .offset(offset)
        )
    )


def resolve_token(
    session: ReadSession, raw: str, *, request_id: str | None = None, address: str | None = None
) -> Actor | None:
    """Who holds this token now, or None. A service account stops with its owner."""
    if not is_token_text(raw):
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
    if not is_open(row) or not may_sign_in(person):
        return None
    if behind is not None and not may_sign_in(behind):
        return None
    actor = actor_of(person, session_id=row.id, request_id=request_id, address=address)
    return replace(
        actor, scopes=_scopes_of(row), models=_models_of(row, actor), is_limited=row.models is not None
    )


def _scopes_of(row: ApiToken) -> frozenset[Permission] | None:
    return None if row.scopes is None else frozenset(one for one in Permission if one.value in row.scopes)


def _models_of(row: ApiToken, actor: Actor) -> frozenset[str] | None:
    if row.models is None:
        return actor.models
    own = frozenset(row.models)
    return own if actor.models is None else own & actor.models


def touch_token(token_id: str, *, address: str | None = None) -> None:
    """Note when a token was last used, and from where; writes at most once a minute."""
    moment = clock.now()
    due = (
        ApiToken.id == token_id,
        (ApiToken.last_used_at.is_(None)) | (ApiToken.last_used_at < moment - TOUCH_EVERY),
    )
    with reading() as session:
        if session.scalar(select(ApiToken.id).where(*due)) is None:
            return
    with writing() as session:
        session.execute(update(ApiToken).where(*due).values(last_used_at=moment, last_address=address))


def _may_manage(actor: Actor, holder: Person) -> bool:
    return actor.person_id in (holder.id, holder.owner_id) or _may_end_anybodys(actor)


def _may_end_anybodys(actor: Actor) -> bool:
    return actor.may(Permission.MANAGE_PEOPLE) or actor.may(Permission.REVIEW_ACCESS)
