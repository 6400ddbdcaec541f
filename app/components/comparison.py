"""One column of one window beside a reference: its distribution, and both sides in figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from app.components.charts import draw
from app.components.downloads import csv_link
from app.components.drift_parts import against_words, show_sides
from app.components.status import empty_state
from app.data.figures import distribution_figure
from app.words import WINDOW_WORDS
from backend.monitoring.distributions import Compared


def show_comparison(
    pair: Compared | None,
    window: Mapping[str, Any],
    *,
    column: str,
    against: str,
    segment: str,
    other: int | None = None,
) -> None:
    """Both sides of `pair`, or why there is nothing to compare."""
    if not window["rows"]:
        why = WINDOW_WORDS.get(window["state"], "no rows").capitalize()
        empty_state(f"{why} in this window", "Choose a window with rows.")
        return
    if pair is None:
        empty_state(
            "The counts of this column are not stored", "The window may wait to be computed; see its model."
        )
        return
    left, right = st.columns([3, 2])
    with right:
        show_sides(pair)
    with left:
        if pair.shares is None:
            empty_state("Nothing to compare with", f"Here {pair.reason}. Choose another reference.")
            return
        figure = distribution_figure(pair.shares, column=column, names=(against_words(pair), "this window"))
        draw(figure, f"distribution of {column}", key="distribution", rows=False)
        of = {
            "window": int(window["id"]),
            "column": column,
            "against": against,
            "segment": segment,
            "other": other,
        }
        csv_link("These shares", "distribution", **of)
