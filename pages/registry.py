"""A registry that others keep: moves made in it, what our rules would have said of them, and what is not known."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import headline
from app.components.pickers import pick
from app.components.registry_inventory import show_inventory
from app.components.registry_parts import offer_rules, show_models, show_open_moves, show_versions_of
from app.components.registry_report import show_report
from app.formats import format_age
from app.session import page_link, viewer
from app.words import count_of

MOST_OPEN = 20
"""Moves that are shown with their answers at a time"""

actor = viewer()
scope = data.scope_of(actor)
extent = data.inventory_extent(scope)
waiting = data.open_moves(scope)
names = extent["names"]


def say_headline() -> None:
    facts = [
        f"{count_of(len(names), 'model')}, {extent['observed']:,} only observed",
        f"{count_of(extent['imported'], 'model')} imported {format_age(extent['imported_at'])} ago"
        if extent["imported"]
        else "",
        f"{count_of(extent['only_imported'], 'version')} known from MLflow alone"
        if extent["only_imported"]
        else "",
    ]
    said = ("No move of the registry waits for an answer", "ok")
    if waiting:
        is_one = len(waiting) == 1
        said = (
            f"{count_of(len(waiting), 'move')} made elsewhere {'waits' if is_one else 'wait'} for an answer",
            "attention",
        )
    elif not extent["imported"]:
        said = ("No registry has been imported", "unknown")
    headline(*said, detail=" · ".join(filter(None, facts)))


say_headline()
if waiting:
    known = {
        name: {one["version"] for one in data.inventory_entry(scope, name)["versions"] if one["registered"]}
        for name in {move["model"] for move in waiting[:MOST_OPEN]}
    }
    show_open_moves(waiting[:MOST_OPEN], known)
    if len(waiting) > MOST_OPEN:
        st.caption(f"{MOST_OPEN} of {len(waiting)}; the others are shown once these are answered")
st.header("What the rules would have said", anchor=False)
show_report(scope, names)
if names:
    st.header("One model", anchor=False)
    about = pick("Model", names, key="about", width=320, label_visibility="collapsed")
    entry = data.inventory_entry(scope, str(about))
    main, side = st.columns([7, 3], gap="large")
    with main:
        show_models([entry])
        show_versions_of(entry)
    with side, st.container(border=True):
        offer_rules(entry)
        if entry["described"]:
            page_link("model", f"{about} and how it is", icon=":material/monitoring:", model=about)
            page_link("timeline", "What served when, and why", icon=":material/view_timeline:", model=about)
st.header("Inventory", anchor="inventory")
show_inventory(scope, extent)
