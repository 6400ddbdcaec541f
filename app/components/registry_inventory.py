"""The models of a registry that others keep, with their gaps: found by name, a page at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st
from markupsafe import Markup

from app import data
from app.components.downloads import csv_link
from app.components.links import href
from app.components.registry_parts import show_models
from app.components.status import empty_state
from app.components.tables import link
from app.data import Scope
from app.words import count_of

PAGE = 50


def show_inventory(scope: Scope, extent: Mapping[str, Any]) -> None:
    """Models whose name holds what is written (`?find=`), 50 a page (`?part=`)."""
    if not extent["imported"]:
        empty_state(
            "Bring in a registry that exists already",
            "Set MLFLOW_TRACKING_URI (or give --uri) and run `warrant import mlflow`. It loads and blocks nothing: "
            "models become observed ones, and what nobody knows of them is listed here.",
        )
    names: Sequence[str] = extent["names"]
    wanted = ""
    if len(names) > PAGE or st.query_params.get("find"):
        wanted = st.text_input(
            "Find a model", key="find", bind="query-params", placeholder="part of its name", width=320,
            on_change=lambda: st.query_params.pop("part", None),
        ).strip()  # fmt: skip
    found = matching(names, wanted)
    if wanted and not found:
        empty_state("No model has such a name", f"None of {count_of(len(names), 'model')} holds “{wanted}”.")
    else:
        number = page_of(st.query_params.get("part", ""), len(found))
        shown = found[(number - 1) * PAGE : number * PAGE]
        show_models(data.inventory_of(scope, tuple(shown)))
        _say_place(number, len(found), len(names), wanted)
    csv_link("the whole inventory", "inventory")


def matching(names: Sequence[str], wanted: str) -> list[str]:
    """Names that hold a text, in whatever case."""
    return [name for name in names if wanted.casefold() in name.casefold()]


def page_of(asked: str, found: int) -> int:
    """The page that an address asks for; the nearest there is where it asks for none of these."""
    last = max(-(-found // PAGE), 1)
    return min(max(int(asked), 1), last) if asked.isdecimal() and len(asked) < 7 else 1


def _say_place(number: int, found: int, every: int, wanted: str) -> None:
    """Which of how many are shown, and the way to those beside them."""
    first, last = (number - 1) * PAGE + 1, min(number * PAGE, found)
    of = f"{found:,} of {count_of(every, 'model')}" if wanted else count_of(found, "model")
    told = [f"{first:,} to {last:,} of {of}" if found > PAGE else of]

    def to(page: int, word: str) -> Markup:
        return link(word, href("registry", find=wanted or None, part=page) + "#inventory")

    if number > 1:
        told.append(to(number - 1, "‹ earlier names"))
    if last < found:
        told.append(to(number + 1, "later names ›"))
    st.html(f'<p class="w-detail w-take" id="place">{Markup(" · ").join(told)}</p>')
