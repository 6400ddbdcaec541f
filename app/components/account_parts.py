"""One's sessions and API tokens: what is open, since when, from where, and the way to end or replace each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import streamlit as st

from app import data
from app.components.actions import Field, Submission, action_form
from app.components.code_block import copied_text
from app.components.facts import key_values
from app.components.links import viewer_zone
from app.components.tables import open_point
from app.formats import format_when
from app.plain_text import plain
from app.session import perform
from backend.identity.actor import Actor
from backend.identity.devices import device_words
from backend.identity.roles import Permission
from backend.identity.sessions import revoke, revoke_all
from backend.identity.tables import ApiToken
from backend.identity.tokens import create_token, revoke_token, rotate_token

_NEW: Final = "_new_token"


def show_sessions(actor: Actor, rows: Sequence[Mapping[str, Any]]) -> None:
    st.header("Signed-in browsers", anchor=False)
    for one in rows:
        here = one["id"] == actor.session_id
        with st.container(horizontal=True, vertical_alignment="center", key=f"session-{one['id']}"):
            key_values(
                {
                    "this browser" if here else "browser": device_words(one["user_agent"]),
                    "since": one["created_at"],
                    "address": one["address"],
                    "last used": one["last_seen_at"],
                    "signed in freshly": one["authenticated_at"],
                }
            )
            if not here and st.button("End", key=f"end:{one['id']}"):
                _end_session(str(one["id"]))
        moved = _moved(one)
        if moved:
            open_point(f"{moved}; if that was not you, end it and change your password")
    if st.button("Sign out everywhere else", key="end-others"):
        ended = perform(
            lambda session, me: revoke_all(session, me, me.person_id, except_this=True),
            done="All other browsers are signed out.",
        )
        if ended is not None:
            st.rerun()
    if st.button("Sign out everywhere, here too", key="end-all"):
        perform(lambda session, me: revoke_all(session, me, me.person_id), done="")
        st.rerun()


def show_password(actor: Actor) -> None:
    """The way to another password, for who signs in with one here."""
    if not data.has_password(actor):
        return
    st.header("Password", anchor=False)
    st.html('<p><a href="/signin/password?next=/account" target="_self">Choose another password</a></p>')


def _end_session(session_id: str) -> None:
    perform(lambda session, me: revoke(session, me, session_id), done="That browser is signed out.")
    st.rerun()


def _moved(one: Mapping[str, Any]) -> str:
    """Another address or browser than it was begun with: a phone that left the house, or a stolen cookie."""
    parts = []
    if one["last_address"] and one["last_address"] != one["address"]:
        parts.append(f"from {one['last_address']}, not from {one['address'] or 'an unknown address'}")
    if one["last_user_agent"] and one["last_user_agent"] != one["user_agent"]:
        parts.append(f"by {device_words(one['last_user_agent'])}, not by {device_words(one['user_agent'])}")
    return f"last used {' and '.join(parts)}" if parts else ""


def show_tokens(actor: Actor, rows: Sequence[Mapping[str, Any]]) -> None:
    st.header("API tokens", anchor=False)
    raw = st.session_state.pop(_NEW, None)
    if raw:
        st.warning("Copy it now: it is shown once and stored nowhere.", icon=":material/key:")
        copied_text(raw)
    for token in rows:
        _show_token(token)
    with st.expander("Create a token"):
        _offer_token(actor)


def _show_token(token: Mapping[str, Any]) -> None:
    ended = "revoked" if token["revoked_at"] else "over" if not token["open"] else ""
    until = f"valid until {format_when(token['expires_at'], viewer_zone())}"
    with st.container(horizontal=True, vertical_alignment="center", key=f"token-{token['id']}"):
        key_values(
            {
                token["name"]: ended or until,
                "token": f"{token['hint']}…",
                "for": ", ".join(token["scopes"])
                if token["scopes"] is not None
                else "all that its holder may",
                "models": ", ".join(token["models"])
                if token["models"] is not None
                else "every one of its holder",
                "last used": token["last_used_at"],
                "from": token["last_address"],
            }
        )
        if not ended and st.button("Revoke", key=f"revoke:{token['id']}"):
            perform(
                lambda session, me: revoke_token(session, me, str(token["id"])), done="The token is revoked."
            )
            st.rerun()
    if token["ends_soon"]:
        open_point(
            f"{token['name']} ends {format_when(token['expires_at'], viewer_zone())}: replace it before"
        )
    if not ended and token["replaced_by"] is None and token["trust_rule"] is None:
        with st.expander(f"Replace {plain(token['name'])}"):
            _offer_rotation(token)


def _offer_rotation(token: Mapping[str, Any]) -> None:
    sent = action_form(
        "rotate-token", label=f"Replace {token['name']}", object_id=str(token["id"]), digest=str(token["hint"]),
        fields=[Field("overlap", "Hours that the old one stays valid", "number", value=24),
                Field("days", "The new one is valid for, days", "number", value=90)],
    )  # fmt: skip
    if sent is not None:
        _keep_new(
            perform(
                lambda session, me: rotate_token(
                    session, me, sent.object_id, overlap_h=_whole(sent, "overlap", 24),
                    valid_days=_whole(sent, "days", 90),
                ),
                done="The token is replaced; the old one ends by itself.", sent=sent,
            )
        )  # fmt: skip


def _offer_token(actor: Actor) -> None:
    every = sorted(one.value for one in Permission if actor.may(one))
    scopes = st.multiselect(
        "What it may do", every, placeholder="all that you may, but what needs a fresh sign-in"
    )
    models = st.text_input("Models it is for (optional)", placeholder="flights, churn; else all that you see")
    sent = action_form(
        "create-token", label="Create token", object_id=actor.person_id, digest="new",
        fields=[Field("name", "What will use it", required=True, max_chars=100),
                Field("days", "Valid for, days", "number", value=90)],
    )  # fmt: skip
    if sent is not None:
        named = [one.strip() for one in models.split(",") if one.strip()]
        _keep_new(
            perform(
                lambda session, me: create_token(
                    session, me, name=sent.values["name"], valid_days=_whole(sent, "days", 90),
                    scopes=scopes or None, models=named or None,
                ),
                done="The token is created.", sent=sent,
            )
        )  # fmt: skip


def _whole(sent: Submission, name: str, otherwise: int) -> int:
    told = sent.values[name]
    return otherwise if told is None else int(told)


def _keep_new(made: tuple[ApiToken, str] | None) -> None:
    if made is not None:
        st.session_state[_NEW] = made[1]
        st.rerun()
