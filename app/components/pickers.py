"""What a page is about, chosen once and kept in its address."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st

from app.components.status import empty_state


def pick_model(models: Mapping[str, str]) -> str | None:
    """The model the page is about (`?model=`), kept when one goes to another page. None: there is none yet."""
    if not models:
        empty_state(
            "No model is registered",
            "Register one with `warrant model register`, or load the demo workload with `warrant demo load`.",
        )
        return None
    chosen = st.selectbox(
        "Model", sorted(models), key="model", bind="query-params", persist_state="session", width=260,
        label_visibility="collapsed",
    )  # fmt: skip
    return str(chosen)


def pick(
    label: str,
    options: Sequence[str],
    *,
    key: str,
    words: Callable[[str], str] | None = None,
    index: int = 0,
    **more: Any,
) -> str | None:
    """One of `options`, in the page's address as `?key=` unless it is the default, the one at `index`.

    None without options. `words` says how an option reads; the address holds the option itself, which stays the
    same when its words (a time in another zone, a count of rows) do not. Streamlit's own binding would write the
    words.
    """
    if not options:
        return None
    slot, wanted = f"pick:{key}", st.query_params.get(key)
    if wanted in options and wanted != st.session_state.get(f"{slot}:address"):
        st.session_state[slot] = wanted
    place = {} if slot in st.session_state else {"index": index}
    chosen = str(st.selectbox(label, list(options), key=slot, format_func=words or str, **place, **more))
    address = None if chosen == options[index] else chosen
    if address is not None and wanted != address:
        st.query_params[key] = address
    elif address is None and wanted is not None:
        del st.query_params[key]
    st.session_state[f"{slot}:address"] = address
    return chosen
