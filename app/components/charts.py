"""Drawing a figure: our colours, a text for those who do not see it, no toolbar that hides the data."""

from __future__ import annotations

import plotly.graph_objects as go
import streamlit as st

_CONFIG = {"displayModeBar": False, "scrollZoom": False, "responsive": True}


def draw(figure: go.Figure, alt: str, *, key: str) -> None:
    """Draw with the theme's fonts and colours of text; `alt` says what the figure shows."""
    st.plotly_chart(figure, key=key, config=_CONFIG, alt=alt)
