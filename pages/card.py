"""A model's card: what speaks against it, its text with the system's facts, its versions, review and editor."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import empty_state, headline
from app.components.card_editor import edit_card, offer_review
from app.components.card_parts import (
    show_card_state,
    show_contradictions,
    show_diff,
    show_exports,
    show_lacks,
    show_text,
    show_versions,
    standing,
)
from app.components.pickers import pick
from app.session import page_link, viewer

actor = viewer()
scope = data.scope_of(actor)
names = data.inventory_extent(scope)["names"]
if not names:
    empty_state(
        "No model is known", "A card is about a version: register one, or run `warrant import mlflow`."
    )
    st.stop()
left, middle, right = st.columns([3, 2, 3])
with left:
    model = str(pick("Model", names, key="model"))
known = sorted((one["version"] for one in data.inventory_entry(scope, model)["versions"]), reverse=True)
if not known:
    empty_state(
        f"No version of {model} is registered",
        "A card is about a version: register one, or run `warrant import mlflow`.",
    )
    st.stop()
serving = next((one for one in data.model(scope, model)["deployments"] if one["ended_at"] is None), None)
now = known.index(serving["version"]) if serving and serving["version"] in known else 0
with middle:
    version = int(
        str(
            pick(
                "Version", list(map(str, known)), key="version", words=lambda one: f"version {one}", index=now
            )
        )
    )
versions = data.card_versions(scope, model, version)
words = {
    str(one["number"]): f"card version {one['number']}, {one['state'].replace('_', ' ')}" for one in versions
}
holds = next((index for index, one in enumerate(versions) if one["state"] == "approved"), 0)
with right:
    chosen = pick("Card", list(words), key="number", words=words.__getitem__, index=holds) if words else None
number = int(chosen) if chosen else None
card = data.card(scope, model, version, number)

if card is None:
    headline(f"{model} version {version} has no card", "unknown", detail="Write one below, or import a file.")
else:
    said, level = standing(card)
    facts = f"{model} version {version} · as of {card['facts']['at'][:19].replace('T', ' ')} UTC"
    headline(f"Card of {model} v{version}: {said}", level, detail=f"{facts} · {card['digest'][:19]}…")
    show_contradictions(card)
    main, side = st.columns([7, 3], gap="large")
    with main:
        show_text(card)
    with side:
        with st.container(border=True, key="decide"):
            show_card_state(card)
            if offer_review(actor, card, model, version):
                st.rerun()
            show_exports(model, version, number)
            page_link("model", f"How {model} is", icon=":material/monitoring:", model=model)
        if card["completeness"]["lacks"]:
            st.header("What it owes", anchor=False)
            show_lacks(card)

st.header("Versions", anchor=False)
show_versions(versions, model, version)
if len(versions) > 1:
    with st.expander("What differs between two versions"):
        numbers = [str(one["number"]) for one in versions]
        before = pick("From version", numbers, key="before", index=1)
        after = pick("To version", numbers, key="after", index=0)
        show_diff(data.card_changes(scope, model, version, int(str(before)), int(str(after))))
st.header("Edit", anchor=False)
newest = data.card(scope, model, version, versions[0]["number"]) if versions else card
saved = edit_card(
    actor, newest, model, version,
    preview=lambda text: data.card_preview(scope, model, version, text),
    changes=lambda one, other: data.card_changes(scope, model, version, one, other),
)  # fmt: skip
if saved:
    st.query_params.pop("number", None)
    st.rerun()
