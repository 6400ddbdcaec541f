"""Drawing a figure: our colours, a text for those who do not see it, and one button, which saves it as a picture."""

from __future__ import annotations

import re
from typing import Any

import plotly.graph_objects as go
import streamlit as st

_CONFIG: dict[str, Any] = {
    "displayModeBar": "hover",
    "displaylogo": False,
    "modeBarButtons": [["toImage"]],
    "scrollZoom": False,
    "responsive": True,
}

_NOT_PLAIN = re.compile(r"[^a-z0-9_]+")


def draw(figure: go.Figure, alt: str, *, key: str) -> None:
    """Draw with the theme's fonts and colours of text; `alt` says what the figure shows."""
    picture = {"format": "png", "scale": 2, "filename": _NOT_PLAIN.sub("-", alt.lower()).strip("-")}
    st.plotly_chart(figure, key=key, config=_CONFIG | {"toImageButtonOptions": picture}, alt=alt)
