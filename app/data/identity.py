"""People, sessions and tokens."""

from __future__ import annotations

from typing import Any

from app.data.rows import row_of
from backend.database.session import reading
from backend.governance.digests import digest_of
from backend.identity import sessions as identity_sessions
from backend.identity import tokens as identity_tokens
from backend.identity.actor import Actor
from backend.identity.people import list_people


def sessions(actor: Actor) -> list[dict[str, Any]]:
    """The open sessions of the person who looks, as they are now."""
    with reading() as session:
        return [row_of(one) for one in identity_sessions.list_sessions(session, actor, actor.person_id)]


def tokens(actor: Actor) -> list[dict[str, Any]]:
    with reading() as session:
        return [row_of(one) for one in identity_tokens.list_tokens(session, actor)]


def people(actor: Actor) -> list[dict[str, Any]]:
    """Everyone who may or might come in; `digest` changes with their roles and state."""
    with reading() as session:
        found = list_people(session, actor)
    return [
        {
            "id": one.id, "username": one.username, "display_name": one.display_name, "kind": one.kind,
            "roles": sorted(role.value for role in one.roles), "disabled_at": one.disabled_at,
            "expires_at": one.expires_at, "models": one.models,
            "digest": digest_of([one.id, sorted(one.roles), one.disabled_at is None]),
        }
        for one in found
    ]  # fmt: skip
