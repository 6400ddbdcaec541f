"""My sessions, the right to decide that I lend, and API tokens."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import Field, action_form, key_values, title, viewer_zone
from app.components.lending import show_lending
from app.formats import format_when
from app.session import perform, viewer
from backend.identity.sessions import revoke, revoke_all
from backend.identity.tokens import create_token, revoke_token

actor = viewer()
title(actor.display_name, detail=", ".join(sorted(role.value.replace("_", " ") for role in actor.roles)))

st.subheader("Signed-in browsers", anchor=False)
for one in data.sessions(actor):
    here = one["id"] == actor.session_id
    with st.container(horizontal=True, vertical_alignment="center", key=f"session-{one['id']}"):
        key_values(
            {
                "this browser" if here else "browser": one["user_agent"] or "unknown",
                "since": one["created_at"],
                "last used": one["last_seen_at"],
                "address": one["address"],
            }
        )
        if not here and st.button("End", key=f"end:{one['id']}"):
            perform(
                lambda session, me, sid=one["id"]: revoke(session, me, sid),
                done="That browser is signed out.",
            )
            st.rerun()
if st.button("Sign out everywhere else", key="end-others"):
    ended = perform(
        lambda session, me: revoke_all(session, me, me.person_id, except_this=True),
        done="All other browsers are signed out.",
    )
    if ended is not None:
        st.rerun()

show_lending()

st.subheader("API tokens", anchor=False)
raw = st.session_state.pop("_new_token", None)
if raw:
    st.warning("Copy it now: it is shown once and stored nowhere.", icon=":material/key:")
    st.code(raw, language=None)
for token in data.tokens(actor):
    state = (
        "revoked" if token["revoked_at"] else f"valid until {format_when(token['expires_at'], viewer_zone())}"
    )
    with st.container(horizontal=True, vertical_alignment="center", key=f"token-{token['id']}"):
        key_values({token["name"]: state, "last used": token["last_used_at"]})
        if not token["revoked_at"] and st.button("Revoke", key=f"revoke:{token['id']}"):
            perform(
                lambda session, me, tid=token["id"]: revoke_token(session, me, tid),
                done="The token is revoked.",
            )
            st.rerun()
with st.expander("Create a token"):
    sent = action_form(
        "create-token", label="Create token", object_id=actor.person_id, digest="new",
        fields=[Field("name", "What will use it", required=True, max_chars=100),
                Field("days", "Valid for, days", "number", value=90)],
    )  # fmt: skip
    if sent is not None:
        made = perform(
            lambda session, me: create_token(
                session, me, name=sent.values["name"], valid_days=int(sent.values["days"] or 90)
            ),
            done="The token is created.",
        )
        if made is not None:
            st.session_state["_new_token"] = made[1]
            st.rerun()
st.caption(
    "Who is told of incidents, and how, is said on the page Notifications; what needs you is on the overview."
)
