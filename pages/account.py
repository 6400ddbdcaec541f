"""My sessions and password, the right to decide that I lend, and API tokens."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import title
from app.components.account_parts import show_password, show_sessions, show_tokens
from app.components.lending import show_lending
from app.session import viewer

actor = viewer()
title(actor.display_name, detail=", ".join(sorted(role.value.replace("_", " ") for role in actor.every_role)))
show_sessions(actor, data.sessions(actor))
show_password(actor)
show_lending()
show_tokens(actor, data.tokens(actor))
st.caption(
    "Who is told of incidents, and how, is said on the page Notifications; what needs you is on the overview."
)
