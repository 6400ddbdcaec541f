"""Which part of a list is shown, of how many, and the way to the rest: the place is in the address (`from`)."""

from __future__ import annotations

import streamlit as st


def show_pager(first: int, shown: int, total: int, *, page: int) -> None:
    """`51 to 100 of 214` with Earlier and More. `first`: how many stand before what is shown; `page`: how many at a
    time."""
    with st.container(horizontal=True):
        st.caption(f"{first + 1:,} to {first + shown:,} of {total:,}" if shown else f"0 of {total:,}")
        if first and st.button("Earlier", key="earlier"):
            st.query_params["from"] = str(max(0, first - page))
            st.rerun()
        if first + shown < total and st.button("More", key="more"):
            st.query_params["from"] = str(first + page)
            st.rerun()
