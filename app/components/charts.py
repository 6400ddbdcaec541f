"""Drawing a figure: our colours, a text for those who do not see it, and its picture and numbers to take away."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from app.charts.rows import figure_csv, has_rows

_CONFIG: dict[str, Any] = {
    "displayModeBar": "hover",
    "displaylogo": False,
    "modeBarButtons": [["toImage"]],
    "scrollZoom": False,
    "responsive": True,
}

_NOT_PLAIN = re.compile(r"[^a-z0-9_]+")


Clicked = Callable[[Mapping[str, Any]], None]


def draw(
    figure: go.Figure,
    alt: str,
    *,
    key: str,
    clicked: Clicked | None = None,
    picture: str = "png",
    rows: bool = True,
) -> None:
    """Draw with the theme's fonts and colours of text; `alt` says what the figure shows; `picture`: what its button
    saves, png or svg. `rows`: offer its points as CSV, written only when somebody asks for them; False where the page
    links to the stored rows themselves.

    `clicked` is given the point that somebody clicks: its x, y and customdata. It runs before the page does, so it
    may choose what the page's select boxes show; these stay the way for those who use a keyboard.
    """
    saved = {"format": picture, "scale": 2, "filename": _NOT_PLAIN.sub("-", alt.lower()).strip("-")}
    config = _CONFIG | {"toImageButtonOptions": saved}
    if clicked is None:
        st.plotly_chart(figure, key=key, config=config, alt=alt)
    else:
        drawn = f"{key}:{st.session_state.get(_clicks(key), 0)}"
        with st.container(key=key):
            st.plotly_chart(
                figure,
                key=drawn,
                config=config,
                alt=alt,
                on_select=partial(_tell, key, drawn, clicked),
                selection_mode="points",
            )
    if rows and has_rows(figure):
        _offer_rows(figure, alt, key)


def _offer_rows(figure: go.Figure, alt: str, key: str) -> None:
    name = _NOT_PLAIN.sub("-", alt.lower()).strip("-")
    st.download_button(
        "Data as CSV", partial(figure_csv, figure), file_name=f"{name}.csv", mime="text/csv", key=f"{key}:rows",
        type="tertiary", icon=":material/download:", help=f"The points of this figure: {alt}", on_click="ignore",
    )  # fmt: skip


def _clicks(key: str) -> str:
    return f"{key}:clicks"


def _tell(key: str, drawn: str, clicked: Clicked) -> None:
    """Pass on what was clicked, once.

    The chart that is drawn next has another key: one of the same key and figure would find its earlier click in the
    browser, which then sends it again with whatever is chosen next.
    """
    for point in st.session_state[drawn]["selection"]["points"][:1]:
        st.session_state[_clicks(key)] = st.session_state.get(_clicks(key), 0) + 1
        clicked(point)
