"""What has an id, begins with a text or has all of its words, by kind; only what the viewer may see."""

from __future__ import annotations

import streamlit as st
from markupsafe import Markup

from app import data
from app.components import title
from app.components.links import href
from app.components.search_results import nothing, sentence, show_groups, teach
from app.components.tables import link
from app.session import viewer
from backend.identity.roles import Permission
from backend.search.hits import MOST
from backend.search.kinds import KINDS

actor = viewer()
scope = data.scope_of(actor)
query = st.query_params
text = query.get("q", "").strip()
kinds = [one.name for one in KINDS if one.may(actor)]
if not text:
    title(
        "Search everything that you may see",
        detail="press / or Ctrl+K on any page to write in the field above",
    )
    teach(kinds)
    st.caption("An id that is exact opens its page at once. Several words are all looked for, in any order.")
    st.stop()

kind = query.get("kind") if query.get("kind") in kinds else None
stored = query.get("stored") == "1"
found = data.found(scope, text, kind=kind, limit=MOST if kind else 8, stored=stored)
title(
    sentence(found),
    detail=f"among {next(one.title for one in KINDS if one.name == kind).lower()}" if kind else None,
)
if kind:
    st.html(f'<p class="w-detail w-take">{link("Search every kind", href("search", q=text))}</p>')
show_groups(found, alone=kind is not None)
if not found.groups:
    nothing(found)
    teach(kinds)
may_look = actor.may(Permission.EXPLAIN_PREDICTION) and kind in (None, "prediction") and " " not in found.text
if may_look and not stored:
    ask = link(
        "Look for a stored prediction with this id", href("search", q=found.text, kind=kind, stored="1")
    )
    st.html(
        f'<p class="w-detail w-take">{ask}: reads the stored rows of each model, which takes seconds.</p>'
    )
if found.not_asked:
    said = "; ".join(f"{name} ({why})" for name, why in found.not_asked.items())
    st.html(Markup('<p class="w-detail">Not looked among: {}.</p>').format(said))
