"""Rights of the people behind the data: requests and what came of them, purposes and retention of each model."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import empty_state
from app.components.data_actions import offer_requests
from app.components.data_parts import say_requests, show_requests
from app.components.data_rule_parts import offer_rule, show_rule
from app.components.hold_parts import offer_hold, offer_release, show_holds
from app.session import page_link, viewer
from backend.identity.roles import Permission

actor = viewer()
scope = data.scope_of(actor)
requests, models = data.data_requests(scope), data.models_with_data(scope)
say_requests(requests)
main, side = st.columns([7, 3], gap="large")
with main:
    if requests:
        show_requests(requests)
    else:
        empty_state(
            "Nobody has asked yet",
            "When somebody asks to be erased, or what is held of them, ask for it here.",
        )
with side, st.container(border=True, key="act"):
    offer_requests(models)
    if actor.may(Permission.EXPLAIN_PREDICTION):
        page_link("prediction", "Explain one prediction", icon=":material/quiz:")

holds = data.open_holds(scope)
st.header("What is on hold", anchor=False)
main, side = st.columns([7, 3], gap="large")
with main:
    if holds:
        show_holds(holds)
    else:
        empty_state("Nothing is on hold", "What a court or an inquiry needs is held here against deletion.")
with side, st.container(border=True, key="act-holds"):
    offer_hold(models)
    if holds:
        offer_release(holds)

st.header("What data may be used for, and how long they are kept", anchor=False)
if not models:
    empty_state("No model is described yet", "Register a model; its data have a rule here then.")
    st.stop()
name = st.selectbox("Model", models, width=320)
rule = data.data_rule(scope, name)
show_rule(rule)
offer_rule(name, rule)
