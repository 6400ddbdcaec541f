"""Who may come in, and as what. For administrators."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import Field, action_form, empty_state, key_values, title, viewer_zone
from app.formats import format_when
from app.session import perform, viewer
from backend.identity.passwords import hash_password
from backend.identity.people import create_person, disable_person, set_roles
from backend.identity.roles import Role

actor = viewer()
people = data.people(actor)
active = [one for one in people if one["disabled_at"] is None]
title(f"{len(active)} people and services may come in", detail=f"{len(people) - len(active)} disabled")
GIVEN = [role.value for role in Role if role is not Role.SYSTEM]

with st.expander("Add a person", expanded=len(active) == 1):
    sent = action_form(
        "add-person", label="Add person", object_id="new", digest="new",
        fields=[Field("username", "User name", required=True, max_chars=64),
                Field("display_name", "Name that others see", required=True, max_chars=100),
                Field("role", "Role", "select", required=True, options=GIVEN),
                Field("password", "First password, which you tell them", "password", required=True, max_chars=200)],
    )  # fmt: skip
    if sent is not None:
        values = sent.values

        def add(session, me):  # type: ignore[no-untyped-def]
            return create_person(
                session, me, username=values["username"], display_name=values["display_name"],
                password_hash=hash_password(values["password"], username=values["username"]),
                roles={Role(values["role"])},
            )  # fmt: skip

        if perform(add, done=f"{values['display_name']} can sign in now.") is not None:
            st.rerun()

if len(active) == 1:
    empty_state(
        "Only you can come in",
        "Add an ML lead and somebody who asks for changes: nobody decides on their own request.",
    )
for one in people:
    with st.container(border=True, key=f"person-{one['id']}"):
        words = ", ".join(role.replace("_", " ") for role in one["roles"]) or "no role"
        state = f"disabled {format_when(one['disabled_at'], viewer_zone())}" if one["disabled_at"] else words
        key_values({one["display_name"]: f"{one['username']} · {one['kind']} · {state}"})
        if one["disabled_at"] is None:
            with st.expander("Change"):
                change = action_form(
                    "set-roles", label=f"Give {one['username']} these roles", object_id=one["id"],
                    digest=one["digest"],
                    fields=[*(Field(role, role.replace("_", " "), "checkbox", value=role in one["roles"])
                              for role in GIVEN), Field("why", "Why", required=True)],
                )  # fmt: skip
                if change is not None:
                    chosen = {Role(role) for role in GIVEN if change.values[role]}
                    if perform(
                        lambda session, me, c=change, r=chosen: set_roles(
                            session, me, c.object_id, r, why=c.values["why"]
                        ),
                        done="The roles are changed, from their next click on.",
                    ):
                        st.rerun()
                ending = action_form(
                    "disable", label=f"Disable {one['username']}", object_id=one["id"], digest=one["digest"],
                    danger=True,
                    fields=[Field("why", "Why", required=True),
                            Field("sure", "End all their sessions and tokens now", "checkbox", required=True)],
                    disabled_because="this is you" if one["id"] == actor.person_id else None,
                )  # fmt: skip
                if ending is not None and perform(
                    lambda session, me, e=ending: disable_person(
                        session, me, e.object_id, why=e.values["why"]
                    ),
                    done="They are out.",
                ):
                    st.rerun()
