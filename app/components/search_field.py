"""The field in the top bar of every page: an exact id goes straight to its page, anything else to that of results."""

from __future__ import annotations

import streamlit as st

from app import data
from app.session import go
from backend.errors import BadInput
from backend.search.typed import LONGEST

PAGE = "search"
HINT = "Search: a name, INC-42, CHG-118, words"


def search_field(scope: data.Scope, here: str) -> None:
    """On the page of results it holds what was looked for, and the name of a model lists everything about it."""
    held = st.query_params.get("q", "") if here == PAGE else ""
    with (
        st.container(key="search-everything"),
        st.form(f"find:{held}", clear_on_submit=here != PAGE, border=False),
        st.container(horizontal=True, gap="small"),
    ):
        typed = st.text_input(
            "Search everything", held, key=f"find-text:{held}", placeholder=HINT, max_chars=LONGEST,
            label_visibility="collapsed", help=None, autocomplete="off",
        )  # fmt: skip
        sent = st.form_submit_button(
            "Search", icon=":material/search:", type="tertiary", help="press / to write here"
        )
    if sent:
        _follow(scope, typed, here)


def _follow(scope: data.Scope, typed: str, here: str) -> None:
    try:
        exact = data.found(scope, typed).exact
    except BadInput:
        go(PAGE)
        return
    if exact is not None and not (here == PAGE and exact.kind == "model"):
        go(exact.page, **exact.query)
    go(PAGE, q=" ".join(typed.split()))
