"""Small multiples: panels of one size beside and below one another."""

from __future__ import annotations

import math
from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app.charts.frame import new_figure

PER_ROW = 3


def panels(
    titles: Sequence[str], *, per_row: int = PER_ROW, height: int, between: int = 62, beside: float = 0.06
) -> tuple[go.Figure, list[dict[str, int]]]:
    """An empty figure with a panel for each title, and the row and column of each; `height` of one panel,
    `between` what is left free above the titles of the next row, in pixels, `beside` each panel, as a share."""
    across = min(per_row, len(titles))
    down = math.ceil(len(titles) / across)
    total = height * down + 60
    framed = new_figure(total)
    figure = make_subplots(
        down, across, subplot_titles=list(titles), horizontal_spacing=beside, vertical_spacing=min(0.6, between / total)
    )  # fmt: skip
    figure.update_layout(framed.layout)
    figure.update_layout(template=go.layout.Template(), height=total)
    axis = framed.layout.xaxis.to_plotly_json()
    figure.update_xaxes(**axis)
    figure.update_yaxes(**framed.layout.yaxis.to_plotly_json())
    figure.update_annotations(font={"size": 11})
    return figure, [{"row": i // across + 1, "col": i % across + 1} for i in range(len(titles))]
