"""What needs the person who looks: a sentence, blocks by their roles, and the models that need somebody most."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import banner, empty_state, headline
from app.components.home_blocks import blocks_for
from app.components.home_parts import first_sentence, show_blocks, show_every, show_worst
from app.components.links import href
from app.formats import whole_number
from app.session import go, viewer
from app.words import count_of
from backend.identity.roles import Permission

NAMED = 3  # of the models whose data come with a notice
actor = viewer()
scope = data.scope_of(actor)
models = data.overview(scope)
if not models:
    if actor.may(Permission.REGISTER_VERSIONS):
        go("start")
    headline("No model is registered yet", "unknown")
    empty_state(
        "Nothing to watch",
        "Run `warrant demo load` for the demo. A model of your own is brought in by an ML engineer or ML lead: from a "
        "file of its predictions, on a page that opens when they sign in.",
    )
    show_blocks([one for one in blocks_for(actor, scope, models) if one.lines])
    st.stop()
first_sentence(models)
if st.query_params.get("show") == "models":
    show_every(models, whole_number(st.query_params.get("from")) or 0)
    st.stop()
noticed = data.noticed_models(scope)
if noticed:
    page = "the model's page says" if len(noticed) == 1 else "each model's page says"
    rest = len(noticed) - NAMED
    names = ", ".join(noticed[:NAMED]) + (f" and {count_of(rest, 'more model')}" if rest > 0 else "")
    every = ("All models", href("inventory")) if rest > 0 else None
    banner(f"{names}: times are shifted; {page} how", "injected", word="about these data", link=every)
show_blocks(blocks_for(actor, scope, models))
show_worst(models)
