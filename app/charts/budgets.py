"""The error budget of an objective over time, with its forecast and the times that did not count."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pandas as pd
import plotly.graph_objects as go

from app.charts.frame import (
    empty_figure,
    local_time,
    local_times,
    name_time_axis,
    new_figure,
    when_texts,
)
from app.charts.marks import NOTHING, Happened, mark_time
from app.formats import TICK_SHARE, format_share, format_when
from app.theme import MARK, faded


def budget_figure(
    points: Sequence[tuple[datetime, float | None]],
    *,
    exhausted_at: datetime | None = None,
    excluded: Sequence[tuple[datetime, datetime, str]] = (),
    tz: str | None = None,
    happened: Happened = NOTHING,
) -> go.Figure:
    """What is left of a budget (1: untouched, 0: gone, below: overspent) at moments, oldest first.

    exhausted_at  where a forecast from the last known point leads to, if it lies in the period ahead
    excluded      (start, end, reason) of maintenance, drawn as bands
    A moment without a value is a gap, never zero.
    """
    known = [(at, left) for at, left in points if left is not None]
    if not known:
        return empty_figure(
            "No event was counted yet", "The first minute after something was asked or judged shows it."
        )
    figure = new_figure(240)
    frame = pd.DataFrame(points, columns=["at", "left"])
    figure.add_trace(
        go.Scatter(
            x=local_times(frame["at"], tz),
            y=frame["left"],
            mode="lines",
            name="budget left",
            connectgaps=False,
            line={"color": MARK["realised"], "width": 2},
            customdata=[
                [when, format_share(left)]
                for when, left in zip(when_texts(frame["at"], tz), frame["left"], strict=True)
            ],
            hovertemplate="<b>%{customdata[1]} left</b><br>%{customdata[0]}<extra></extra>",
        )
    )
    last_at, last = known[-1]
    if exhausted_at is not None and last > 0 and exhausted_at > last_at:
        figure.add_trace(
            go.Scatter(
                x=[local_time(last_at, tz), local_time(exhausted_at, tz)],
                y=[last, 0],
                mode="lines+markers",
                name="at the present rate",
                line={"color": MARK["page"], "width": 1.5, "dash": "dash"},
                marker={"symbol": ["circle", "square"], "size": [1, 7]},
                hovertemplate=f"gone {format_when(exhausted_at, tz)}<extra></extra>",
            )
        )
    figure.add_hline(y=0, line={"color": MARK["page"], "width": 1})
    first_at = points[0][0]
    for start, end, _reason in excluded:
        if end > first_at:
            figure.add_vrect(
                x0=local_time(max(start, first_at), tz),
                x1=local_time(end, tz),
                fillcolor=faded(MARK["reference"], 0.3),
                line_width=0,
                layer="below",
            )
    name_time_axis(figure, tz, last_at)
    figure.update_yaxes(title={"text": "budget left", "font": {"size": 11}}, tickformat=TICK_SHARE)
    low = min(left for _, left in known)
    figure.update_yaxes(range=[min(-0.05, low * 1.1 if low < 0 else -0.05), 1.05])
    figure.update_layout(showlegend=len(figure.data) > 1, margin={"t": 10, "b": 60})
    mark_time(figure, happened, [at for at, _ in points], tz)
    return figure
