"""What served at a moment, and why: shares over time with the changes, approvals and incidents that explain them."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import empty_state
from app.components.downloads import csv_link
from app.components.pickers import pick, pick_model
from app.components.timeline_parts import (
    PERIODS,
    pick_moment,
    say_moment,
    show_happened,
    show_picture,
    show_served,
    show_stretches,
    span_of,
)
from app.session import page_link, viewer
from app.words import count_of
from backend import clock

MOST = 50

actor = viewer()
scope = data.scope_of(actor)
said = st.container()
model_place, environment_place, moment_place, period_place = st.columns(4, vertical_alignment="bottom")
with model_place:
    model = pick_model(data.models(scope))
if model is None:
    st.stop()
places = data.environments(scope, model)
now = clock.now()
with environment_place:
    usual = places.index(data.environment()) if data.environment() in places else 0
    environment = pick("Environment", places or [data.environment()], key="environment", index=usual)
with moment_place:
    at = pick_moment(now)
with period_place:
    period = pick("Picture of", list(PERIODS), key="period", words=PERIODS.__getitem__)
asks_now = "at" not in st.query_params
found = data.served_at(scope, model, str(environment), None if asks_now else at)
view, moment = found["timeline"], found["moment"]
if not view["stretches"]:
    with said:
        empty_state(
            f"{model} has never served in {environment}",
            "A promotion brings a version into service; what serves is written down from then on.",
            ("Ask for a promotion", f"/request_change?kind=promote&model={model}"),
        )
    st.stop()
with said:
    say_moment(moment, is_now=asks_now)
show_served(moment)
span = span_of(str(period), at, now, view["stretches"][0]["start"])
show_picture(view, at, span)
show_happened(view, span)
st.subheader("Every stretch in which nothing changed", anchor=False)
show_stretches(view, MOST)
if len(view["stretches"]) > MOST:
    st.caption(f"the newest {MOST} of {count_of(len(view['stretches']), 'stretch', 'stretches')}")
csv_link("every stretch", "timeline", model=model, environment=environment)
page_link("model", f"{model} as it is now", icon=":material/monitoring:", model=model)
