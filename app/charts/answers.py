"""Figures around an incident over one time axis: how requests were answered, and what windows say."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import plotly.graph_objects as go

from app.charts.frame import (
    empty_figure,
    local_time,
    local_times,
    name_time_axis,
    new_figure,
    share_cursor,
    when_texts,
)
from app.formats import HOVER
from app.theme import MARK, faded
from backend.monitoring.page_points import Series

ROW_PX = 110


def figures_over_time(
    series: Sequence[Series],
    *,
    opened_at: datetime,
    marks: Sequence[tuple[datetime, str]] = (),
    tz: str | None = None,
) -> go.Figure:
    """A row of its own for each series, with its band where it has one; the opening is a red line, changes are blue
    ones; one cursor goes through all rows. A gap: nothing is known."""
    shown = [one for one in series if any(value is not None for _, value, *_ in one.points)]
    if not shown:
        return empty_figure("Not measured", "No gateway was heard of around it.")
    figure = new_figure(ROW_PX * len(shown) + 60)
    height = 1 / len(shown)
    for row, one in enumerate(shown):
        times = [at for at, *_ in one.points]
        axis = "" if row == 0 else str(row + 1)
        banded = [
            (at, low, high) for at, _, low, high, _ in one.points if low is not None and high is not None
        ]
        if banded:
            figure.add_trace(_band(banded, f"y{axis}", tz))
        figure.add_trace(
            go.Scatter(
                x=local_times(times, tz), y=[value for _, value, *_ in one.points], mode="lines+markers", name=one.name,
                connectgaps=False, line={"color": MARK["realised"], "width": 1.5}, marker={"size": 3},
                yaxis=f"y{axis}", customdata=when_texts(times, tz),
                hovertemplate=f"<b>%{{y:{HOVER}}}</b> {one.name}<br>%{{customdata}}<extra></extra>",
            )
        )  # fmt: skip
        top = 1 - row * height
        figure.update_layout(
            {f"yaxis{axis}": {"domain": [top - height * 0.72, top - height * 0.02], "anchor": "x", "nticks": 4,
                              "rangemode": "normal" if banded else "tozero"}}
        )  # fmt: skip
        figure.add_annotation(
            text=one.name, x=0, xref="paper", y=top + 0.01, yref="paper", showarrow=False, xanchor="left",
            yanchor="bottom", font={"size": 12},
        )  # fmt: skip
    for at, colour in [*((at, MARK["change"]) for at, _ in marks), (opened_at, MARK["page"])]:
        figure.add_shape(
            type="line", x0=local_time(at, tz), x1=local_time(at, tz), y0=0, y1=1, yref="paper",
            line={"color": colour, "width": 1, "dash": "dot"},
        )  # fmt: skip
    name_time_axis(figure, tz, shown[0].points[-1][0])
    lowest = "" if len(shown) == 1 else str(len(shown))
    figure.update_xaxes(anchor=f"y{lowest}")
    share_cursor(figure, len(shown))
    figure.update_layout(showlegend=False, margin={"t": 24, "b": 50})
    return figure


def _band(banded: Sequence[tuple[datetime, float, float]], axis: str, tz: str | None) -> go.Scatter:
    """From low to high and back."""
    there = local_times([at for at, *_ in banded], tz)
    return go.Scatter(
        x=[*there, *reversed(there)], y=[high for *_, high in banded] + [low for _, low, _ in reversed(banded)],
        fill="toself", fillcolor=faded(MARK["realised"], 0.18), mode="lines", line={"width": 0}, yaxis=axis,
        hoverinfo="skip",
    )  # fmt: skip
