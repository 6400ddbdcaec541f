"""Teams in words, and the forms that change them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from app.components.actions import Field, action_form
from app.components.assurance_actions import done
from app.components.tables import table
from app.plain_text import plain
from app.words import count_of
from backend.identity.roles import GIVEN_IN_TEAMS, Role
from backend.identity.teams import TeamView, make_team, move_model, rename_team, set_team_roles


def offer_team(*, first: bool) -> None:
    with st.expander("Make a team", expanded=first):
        sent = action_form(
            "make-team", label="Make team", object_id="new", digest="new",
            fields=[Field("name", "Name", required=True, max_chars=100)],
        )  # fmt: skip
        done(
            sent,
            lambda session, me, form: make_team(session, me, name=form.values["name"]),
            "The team is there; give it members and models.",
        )


def show_team(one: TeamView, people: Mapping[str, str]) -> None:
    """Members, models, and what changes them."""
    with st.container(border=True, key=f"team-{one.id}"):
        st.header(plain(one.name), anchor=False)
        st.caption(
            f"{count_of(len(one.members), 'member')} · {plain(', '.join(one.models)) or 'no model yet'}"
        )
        if one.members:
            rows = [
                [each.name, ", ".join(role.value.replace("_", " ") for role in each.roles)]
                for each in one.members
            ]
            table(("who", "roles in this team"), rows, caption=f"members of {one.name}")
        with st.expander("Change it"):
            _offer_roles(one, people)
            _offer_move(one)
            _offer_name(one)


def offer_unowned(teams: Sequence[TeamView], free: Sequence[str]) -> None:
    """Give a model that belongs to no team to one."""
    with st.expander("Give a model to a team"):
        ids = {one.name: one.id for one in teams}
        sent = action_form(
            "give-model", label="Give it", object_id="free", digest="free",
            fields=[Field("model", "Model", "select", required=True, options=tuple(free)),
                    Field("team", "Team", "select", required=True, options=tuple(ids)),
                    Field("why", "Why", required=True)],
        )  # fmt: skip
        done(
            sent,
            lambda session, me, form: move_model(
                session,
                me,
                model=form.values["model"],
                team_id=ids[form.values["team"]],
                why=form.values["why"],
            ),
            "It is theirs now.",
        )


def _offer_roles(one: TeamView, people: Mapping[str, str]) -> None:
    sent = action_form(
        f"team-roles-{one.id}", label="Set these roles", object_id=one.id, digest=one.id,
        fields=[Field("person", "Who", "select", required=True, options=tuple(people)),
                *(Field(role.value, role.value.replace("_", " "), "checkbox", value=False) for role in GIVEN_IN_TEAMS),
                Field("why", "Why; no role takes them out of the team", required=True)],
    )  # fmt: skip
    done(
        sent,
        lambda session, me, form: set_team_roles(
            session, me, one.id, people[form.values["person"]],
            {Role(role) for role in GIVEN_IN_TEAMS if form.values[role.value]}, why=form.values["why"],
        ) or True,
        "Their roles in the team are changed, from their next click on.",
    )  # fmt: skip


def _offer_move(one: TeamView) -> None:
    if not one.models:
        return
    sent = action_form(
        f"take-model-{one.id}", label="Take it out of the team", object_id=one.id, digest=one.id,
        fields=[Field("model", "Model", "select", required=True, options=one.models),
                Field("why", "Why", required=True)],
    )  # fmt: skip
    done(
        sent,
        lambda session, me, form: (
            move_model(session, me, model=form.values["model"], team_id=None, why=form.values["why"]) or True
        ),
        "It belongs to no team now; give it to another one below.",
    )


def _offer_name(one: TeamView) -> None:
    sent = action_form(
        f"rename-team-{one.id}", label="Rename", object_id=one.id, digest=one.name,
        fields=[Field("name", "Another name", required=True, max_chars=100, value=one.name)],
    )  # fmt: skip
    done(
        sent,
        lambda session, me, form: rename_team(session, me, one.id, name=form.values["name"]),
        "It is renamed.",
    )
