"""Teams: who is in them with which roles, and which models are theirs. For administrators."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import empty_state, title
from app.components.team_parts import offer_team, offer_unowned, show_team
from app.session import viewer
from app.words import count_of

actor = viewer()
scope = data.scope_of(actor)
people = {
    f"{one['display_name']} ({one['username']})": one["id"]
    for one in data.people(actor)
    if one["disabled_at"] is None and one["models"] is None
}
teams = data.teams(scope)
owned = {model for one in teams for model in one.models}
free = [name for name in data.model_names(scope) if name not in owned]
title(
    count_of(len(teams), "team"), detail=f"{count_of(len(owned), 'model')} in teams, {len(free)} in none",
)  # fmt: skip
offer_team(first=not teams)
if not teams:
    empty_state(
        "There is no team yet",
        "Roles hold for the whole house. In a team they hold for its models alone, and who has no other role sees no "
        "other model.",
    )
for one in teams:
    show_team(one, people)
if teams and free:
    offer_unowned(teams, free)
st.caption("Roles for the whole house are given on the page People; who has one sees every model.")
