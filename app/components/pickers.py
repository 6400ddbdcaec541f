"""What a page is about, chosen once and kept in its address."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st

from app.components.status import empty_state
from app.plain_text import plain

_KEPT = "model:kept"


def pick_model(models: Mapping[str, str]) -> str | None:
    """The model the page is about (`?model=`), kept when one goes to another page. None: there is none yet."""
    if not models:
        empty_state(
            "No model is registered",
            "Load the demo workload with `warrant demo load`. A model of your own is registered with `warrant model "
            "register`, its versions with `warrant model register-version`.",
        )
        return None
    names = sorted(models)
    kept = st.session_state.get(_KEPT)
    index = names.index(kept) if kept in names else 0
    chosen = pick("Model", names, key="model", index=index, width=260, label_visibility="collapsed")
    st.session_state[_KEPT] = chosen
    return chosen


def pick(
    label: str,
    options: Sequence[str],
    *,
    key: str,
    words: Callable[[str], str] | None = None,
    index: int = 0,
    **more: Any,
) -> str | None:
    """One of `options`, first the one at `index`, and always in the page's address as `?key=`, so that the address
    shows the same again later.

    None without options. `words` says how an option reads; the address holds the option itself, which stays the
    same when its words (a time in another zone, a count of rows) do not. Streamlit's own binding would write the
    words. An address that asks for something else is answered by a warning that says what is shown instead.
    """
    if not options:
        return None
    state, slot, wanted = st.session_state, f"pick:{key}", st.query_params.get(key)
    begins = slot not in state  # the page has just been opened
    ours = not begins and wanted == state.get(f"{slot}:address")
    if not begins and state[slot] not in options:
        del state[slot]
    if wanted in options and not ours:
        state[slot] = wanted
    place = {} if slot in state else {"index": index}
    chosen = str(
        st.selectbox(plain(label), list(options), key=slot, format_func=words or str, **place, **more)
    )
    if wanted is not None and wanted not in options and not ours:
        state[f"{slot}:refused"] = (wanted, chosen)
    elif begins or not ours:
        state.pop(f"{slot}:refused", None)
    refused = state.get(f"{slot}:refused")
    if refused is not None and refused[1] == chosen:
        _say_refused(label, refused[0], words(chosen) if words else chosen)
    if wanted != chosen:
        st.query_params[key] = chosen
    state[f"{slot}:address"] = chosen
    return chosen


def _say_refused(label: str, wanted: str, shown: str) -> None:
    shortened = wanted if len(wanted) <= 60 else f"{wanted[:60]}…"
    st.warning(
        f"The address asks for the {plain(label.lower())} `{shortened.replace('`', '')}`, which is not here or "
        f"which you may not see. Shown instead: {plain(shown)}.",
        width=620,
    )  # fmt: skip


def choose(key: str, option: str) -> None:
    """Have `pick` of this key show an option from now on. For callbacks, which run before the page does."""
    st.session_state[f"pick:{key}"] = option
