"""Who may come in, and as what. For administrators."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import Field, action_form, empty_state, key_values, title
from app.components.assurance_actions import done, pick_day
from app.components.pager import show_pager
from app.components.role_rules import offer_role_rules
from app.formats import format_utc, whole_number
from app.session import page_link, perform, viewer
from backend import clock
from backend.identity import roles
from backend.identity.auditors import invite_auditor
from backend.identity.own_password import give_password
from backend.identity.passwords import hash_password
from backend.identity.people import create_person, disable_person, set_roles
from backend.identity.roles import Role
from backend.identity.sessions import revoke_all

PAGE = 50

actor = viewer()
known, active = data.people_counted(actor)
first = min(whole_number(st.query_params.get("from")) or 0, max(0, known - 1))
alone = st.query_params.get("person")  # as the search leads here
people = data.people(actor, limit=PAGE, offset=0 if alone else first, username=alone)
title(f"{active:,} people and services may come in", detail=f"{known - active:,} disabled")
GIVEN = [role.value for role in roles.GIVEN]

with st.expander("Add a person", expanded=active == 1):
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

        if (
            perform(add, done=f"{values['display_name']} can sign in now, and chooses a password then.")
            is not None
        ):
            st.rerun()

with st.expander("Invite an external auditor"):
    names = data.model_names(data.scope_of(actor))
    shown = st.multiselect("Models they may see", names, placeholder="choose at least one")
    until = pick_day("Until the end of", "auditor-until", days=30)
    invited = action_form(
        "invite-auditor", label="Invite", object_id="new", digest="new",
        fields=[Field("username", "User name", required=True, max_chars=64),
                Field("display_name", "Name that others see", required=True, max_chars=100),
                Field("password", "First password, which you tell them", "password", required=True, max_chars=200),
                Field("why", "Why they are let in", required=True)],
        disabled_because=None if shown else "Choose the models first.",
    )  # fmt: skip
    done(
        invited,
        lambda session, me, form: invite_auditor(
            session, me, username=form.values["username"], display_name=form.values["display_name"],
            password_hash=hash_password(form.values["password"], username=form.values["username"]), models=shown,
            expires_at=until, why=form.values["why"],
        ),
        f"They can read what concerns {', '.join(shown)} now.",
    )  # fmt: skip

if active == 1:
    empty_state(
        "Only you can come in",
        "Add an ML lead and somebody who asks for changes: nobody decides on their own request.",
    )
offer_role_rules()
st.header("Everyone", anchor=False)
if alone is None:
    show_pager(first, len(people), known, page=PAGE)
else:
    page_link("people", f"Only {alone}: show everyone", icon=":material/groups:")
for one in people:
    with st.container(border=True, key=f"person-{one['id']}"):
        words = ", ".join(
            role.replace("_", " ") + (" (by rule)" if role in one["by_rule"] else "") for role in one["roles"]
        )
        words = words or "no role"
        state = f"disabled {format_utc(one['disabled_at'])}" if one["disabled_at"] else words
        if one["expires_at"] is not None:
            over = one["expires_at"] <= clock.now()
            words += f" of {', '.join(one['models'])}" if one["models"] else ""
            words += f", {'over since' if over else 'until'} "
            words += format_utc(one["expires_at"])
            state = words if one["disabled_at"] is None else state
        key_values({one["display_name"]: f"{one['username']} · {one['kind']} · {state}"})
        if one["disabled_at"] is None:
            with st.expander("Change"):
                if one["kind"] == "person":
                    out = action_form(
                        "sign-out-person", label=f"Sign {one['username']} out everywhere", object_id=one["id"],
                        digest=one["digest"], fields=[Field("why", "Why", required=True)], danger=True,
                    )  # fmt: skip
                    done(
                        out,
                        lambda session, me, form: revoke_all(
                            session, me, form.object_id, why=form.values["why"]
                        ),
                        "Every browser of theirs is signed out.",
                    )
                if one["has_password"] and one["id"] != actor.person_id:
                    given = action_form(
                        "give-password", label=f"Give {one['username']} a password", object_id=one["id"],
                        digest=one["digest"],
                        fields=[Field("password", "Password, which you tell them", "password", required=True,
                                      max_chars=200),
                                Field("why", "Why", required=True)],
                    )  # fmt: skip
                    done(
                        given,
                        lambda session, me, form: give_password(
                            session, me, form.object_id, why=form.values["why"],
                            password_hash=hash_password(form.values["password"]),
                        ),
                        "They are signed out everywhere, and choose their own as they sign in with it.",
                    )  # fmt: skip
                if one["models"] is None:  # an auditor has no other role
                    change = action_form(
                        "set-roles", label=f"Give {one['username']} these roles", object_id=one["id"],
                        digest=one["digest"],
                        fields=[*(Field(role, role.replace("_", " "), "checkbox", value=role in one["by_hand"])
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
