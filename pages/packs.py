"""Evidence packs: ask for one, see how far it is, take it away."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import empty_state, headline
from app.components.pack_parts import how_to_verify, offer_pack, show_packs, show_running
from app.session import live, viewer
from app.words import count_of

actor = viewer()
scope = data.scope_of(actor)
packs = data.evidence_packs(scope)
made = [one for one in packs if one["state"] == "made"]
failed = [one for one in packs if one["state"] == "failed"]
headline(
    f"{count_of(len(made), 'evidence pack')} to take away"
    if made
    else "No evidence pack is here to take away",
    "attention" if failed else "settled" if made else "unknown",
    detail=f"{count_of(len(failed), 'pack')} could not be made: the reason is beside it" if failed else None,
)
main, side = st.columns([7, 3], gap="large")


@live(run_every=2)
def running() -> None:
    """What is being made, by itself until it is done."""
    being_made = data.packs_being_made(data.scope_of(viewer()))
    known = st.session_state.setdefault("packs_being_made", set())
    now = {one["id"] for one in being_made}
    st.session_state["packs_being_made"] = now
    if known - now:
        st.rerun()
    show_running(being_made)


with main:
    running()
    finished = [one for one in packs if one["state"] not in ("queued", "running")]
    if finished:
        show_packs(finished)
    elif not packs:
        empty_state(
            "Nobody has asked for a pack yet",
            "Say what it is to be about: a model, a version, a change or a period. It names what is missing first.",
        )
    with st.expander("How somebody verifies a pack without Warrant"):
        how_to_verify(data.log_keys())
with side, st.container(border=True, key="act"):
    offer_pack(data.models_to_choose(scope))
