"""People, sessions and tokens."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app.data.governance import changes
from app.data.rows import MOST_CHOSEN, MOST_READ, row_of
from app.data.scope import Scope, scope_of
from backend.database.session import reading
from backend.governance import machine
from backend.governance.digests import digest_of
from backend.identity import sessions as identity_sessions
from backend.identity import tokens as identity_tokens
from backend.identity.actor import Actor
from backend.identity.people import count_people, list_people, person_by_id
from backend.identity.role_rules import dry_run, read_rules, rules_for
from backend.identity.roles import Permission
from backend.identity.teams import TeamView, list_teams
from backend.identity.trust_rules import list_rules
from backend.identity.ways_in import has_local_password


def teams(scope: Scope) -> list[TeamView]:
    """The teams that the viewer may know of, by name, as they are now."""
    with reading() as session:
        return list_teams(session, scope.actor(), limit=MOST_READ)


def sessions(actor: Actor) -> list[dict[str, Any]]:
    """The open sessions of the person who looks, as they are now."""
    with reading() as session:
        found = identity_sessions.list_sessions(session, actor, actor.person_id, limit=MOST_READ)
        return [row_of(one) for one in found]


def has_password(actor: Actor) -> bool:
    """Whether the person who looks has a password of their own here."""
    with reading() as session:
        person = person_by_id(session, actor.person_id)
    return has_local_password(person) and not person.is_demo


def tokens(actor: Actor) -> list[dict[str, Any]]:
    with reading() as session:
        return [
            row_of(one) | {"open": identity_tokens.is_open(one), "ends_soon": identity_tokens.ends_soon(one)}
            for one in identity_tokens.list_tokens(session, actor, limit=MOST_READ)
        ]


@st.cache_data(ttl=60, show_spinner=False, max_entries=200)
def tokens_ending(scope: Scope) -> list[str]:
    """Names of the tokens of this person that end soon without one that takes over."""
    actor = scope.actor()
    if not actor.may(Permission.MANAGE_OWN_TOKENS):
        return []
    with reading() as session:
        return [
            one.name
            for one in identity_tokens.list_tokens(session, actor, limit=MOST_READ)
            if identity_tokens.ends_soon(one)
        ]


def trust_rules(actor: Actor) -> list[dict[str, Any]]:
    """Which jobs of CI systems are let in."""
    with reading() as session:
        return [row_of(one) for one in list_rules(session, actor, limit=MOST_READ)]


def people_counted(actor: Actor) -> tuple[int, int]:
    """How many accounts there are, and how many of them are not disabled."""
    with reading() as session:
        return count_people(session, actor)


def people(
    actor: Actor, *, limit: int = MOST_CHOSEN, offset: int = 0, username: str | None = None
) -> list[dict[str, Any]]:
    """Who may or might come in, by user name; `digest` changes with their roles and state."""
    with reading() as session:
        found = list_people(session, actor, limit=limit, offset=offset, username=username)
    return [
        {
            "id": one.id, "username": one.username, "display_name": one.display_name, "kind": one.kind,
            "roles": sorted(role.value for role in one.roles), "disabled_at": one.disabled_at,
            "expires_at": one.expires_at, "models": one.models, "has_password": one.has_password,
            "by_rule": sorted(role.value for role in one.by_rule),
            "by_hand": sorted(role.value for role in one.by_hand),
            "digest": digest_of([one.id, sorted(one.roles), one.disabled_at is None]),
        }
        for one in found
    ]  # fmt: skip


def role_rules(actor: Actor) -> dict[str, Any]:
    """The rules that give roles by sign-on, as text and rows, and the changes that ask for others."""
    with reading() as session:
        now = rules_for(session, actor)
    scope = scope_of(actor)
    return {
        "revision": now.revision, "digest": now.digest, "text": now.document.as_yaml(),
        "rules": now.document.as_dict()["rules"],
        "open": [one for one in changes(scope, tuple(machine.OPEN), 200) if one["kind"] == "roles"],
    }  # fmt: skip


def role_rules_dry_run(actor: Actor, text: str) -> list[dict[str, Any]]:
    """Who would gain or lose which role by a draft."""
    wanted = read_rules(text)
    with reading() as session:
        return [
            {"display_name": one.display_name, "username": one.username, "said_at": one.said_at,
             "gains": ", ".join(one.gains), "loses": ", ".join(one.loses)}
            for one in dry_run(session, actor, wanted)
        ]  # fmt: skip
