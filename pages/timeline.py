"""What served at a moment, and why: shares over time with the changes, approvals and incidents that explain them."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import empty_state
from app.components.downloads import csv_link
from app.components.links import href
from app.components.pickers import pick, pick_model
from app.components.range_bar import pick_range
from app.components.timeline_parts import (
    USUAL,
    pick_moment,
    say_moment,
    show_happened,
    show_picture,
    show_served,
    show_stretches,
)
from app.ranges import PRESETS, WORDS
from app.session import page_link, viewer
from app.words import count_of
from backend import clock

MOST = 50

actor = viewer()
scope = data.scope_of(actor)
said = st.container()
model_place, environment_place, moment_place = st.columns(3, vertical_alignment="bottom")
bar = st.container()
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
asks_now = "at" not in st.query_params
with bar:
    shown = pick_range(USUAL, page="timeline", about=None if asks_now else at)
span = (shown.span.since, shown.span.until)
of = {"since": shown.span.since, "until": shown.span.until}
found = data.served_at(scope, model, str(environment), None if asks_now else at, **of)
view, moment = found["timeline"], found["moment"]
if not view["stretches"] and not moment["known"] and environment not in places:
    with said:
        empty_state(
            f"{model} has never served in {environment}",
            "A promotion brings a version into service; what serves is written down from then on.",
            ("Ask for a promotion", f"/request_change?kind=promote&model={model}"),
        )
    st.stop()
with said:
    say_moment(moment, shown, is_now=asks_now)
show_served(moment)
if not view["stretches"]:
    longest = list(PRESETS)[-1]
    empty_state(
        f"Nothing is on record of {shown.words}", "The first deployment came later, or the last had ended.",
        (f"Show the last {WORDS[longest]}", href("timeline", model=model, environment=environment, range=longest)),
    )  # fmt: skip
    st.stop()
show_picture(view, at, span)
show_happened(view, span)
st.header("Every stretch of this range in which nothing changed", anchor=False)
show_stretches(view, MOST, shown)
if len(view["stretches"]) > MOST:
    st.caption(f"the newest {MOST} of {count_of(len(view['stretches']), 'stretch', 'stretches')}")
csv_link(
    "every stretch",
    "timeline",
    model=model,
    environment=environment,
    **{name: one.isoformat() for name, one in of.items()},
)
page_link("model", f"{model} as it is now", icon=":material/monitoring:", model=model)
