"""What is missing for a model: catalogues of controls held against the record, gaps first, and signed judgements."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

import streamlit as st

from app import data
from app.components import empty_state, headline
from app.components.control_parts import (
    format_label,
    offer_judgement,
    show_control,
    show_earlier,
    show_lacking,
    summary_of,
    take_to,
)
from app.components.downloads import csv_link, json_link
from app.components.links import href
from app.components.pickers import pick
from app.plain_text import plain
from app.session import viewer
from backend import clock
from backend.controls.catalogues import catalogues
from backend.controls.evidence import STATES

HOUSE = "the house as a whole"
actor = viewer()
scope = data.scope_of(actor)
query = st.query_params
held = catalogues()
names = list(data.inventory_extent(scope)["names"])

left, middle, right = st.columns([4, 3, 2], vertical_alignment="bottom")
with left:
    catalogue = str(pick("Catalogue", list(held), key="catalogue", words=lambda one: held[one].title))
with middle:
    chosen = str(pick("Model", [*names, HOUSE], key="model"))
model = None if chosen == HOUSE else chosen
with right:
    today = clock.now().date()
    day = st.date_input("As of", None, max_value=today, key="controls-as-of", help="left empty: now")
as_of = datetime.combine(day, time(23, 59, 59), UTC) if isinstance(day, date) and day < today else None
found = data.assessment(scope, catalogue, model, as_of)

if not found.controls:
    headline("Every control of this catalogue is about a model", "unknown")
    empty_state("Choose a model", "Nothing in it is asked of the house as a whole.")
    st.stop()
said, level, detail = summary_of(found)
which = f"version {found.version}, " if found.version is not None else ""
moment = "now" if found.is_now else f"as it was at {found.as_of:%-d %b %Y %H:%M:%S} UTC"
headline(said, level, detail=f"{which}{moment} · {detail}")
st.caption(plain(f"{found.caveat} Source: {found.source}; {found.edition}."))
for note in found.notes:
    st.caption(plain(note))

here = {"catalogue": catalogue, "model": chosen}
opened = next((one for one in found.controls if one.control == query.get("control", "")), None)
if opened is not None:
    whose = found.model if opened.scope == "model" else None
    with st.container(border=True):
        st.header(plain(f"{opened.citation}: {opened.title}"), anchor=False)
        show_control(opened, found.model)
        show_earlier(data.judgements(scope, catalogue, opened.control, whose))
        offer_judgement(found, opened, data.judging_refused(scope, whose))
        take_to("Back to all controls", href("controls", **here))

if opened is None and found.gaps:
    st.header("What is missing", anchor=False)
    show_lacking(found)

st.header("Every control", anchor=False)
words = {state: f"{STATES[state]} ({number})" for state, number in found.counts.items() if number}
wanted = st.multiselect("Show only", list(words), format_func=words.__getitem__, placeholder="every state")
moment_of = as_of.isoformat() if as_of else None
first, second, _ = st.columns([2, 2, 6])
with first:
    csv_link("every control", "controls", catalogue=catalogue, model=model, as_of=moment_of)
with second:
    json_link("with all evidence", "controls", catalogue=catalogue, model=model, as_of=moment_of)

shown = [one for one in found.controls if (not wanted or one.state in wanted) and one is not opened]
parts = (
    ("With a gap", [one for one in shown if one.is_gap]),
    ("Waiting for a person's judgement", [one for one in shown if one.needs_judgement]),
    ("A person answers for these", [one for one in shown if one.is_judged]),
    ("The record shows these by itself", [one for one in shown if not one.is_gap and one.state == "present"]),
)
for title, controls in parts:
    if controls:
        st.subheader(plain(f"{title} ({len(controls)})"), anchor=False)
    for one in controls:
        with st.expander(format_label(one)):
            show_control(one, found.model)
            if found.is_now:
                take_to("Judge it, or see earlier judgements", href("controls", **here, control=one.control))
