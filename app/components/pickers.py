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
    width: int = 260,
    **more: Any,
) -> str | None:
    """One of `options`, in the page's address as `?key=`; the first is the default. None without options."""  # fmt: skip
    if not options:
        return None
    chosen = st.selectbox(
        label, list(options), key=key, bind="query-params", width=width, format_func=words or str, **more
    )
    return str(chosen)
