"""Figures of the user's own over the same windows as a model's performance."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from app.charts.frame import (
    Ends,
    add_band,
    empty_figure,
    local_times,
    name_time_axis,
    new_figure,
    span_windows,
    when_texts,
)
from app.charts.marks import NOTHING, Happened, mark_time
from app.formats import format_count, format_metric
from app.theme import MARK

DASHES = ("solid", "dash", "dot", "dashdot", "longdash")


def kpi_figure(
    series: pd.DataFrame, *, name: str, per: str = "mean", tz: str | None = None,
    happened: Happened = NOTHING, ends: Ends | None = None,
) -> go.Figure:  # fmt: skip
    """One figure over time: of all rows with its 95 % interval, and of each segment as a thinner line.

    `series` has window_start (UTC-aware), segment ("" for all rows), rows, total, mean, low, high; `per` is the column
    drawn, "mean" or "total". A window without rows is a gap, never zero.
    """
    if series.empty or series[per].isna().all():
        return empty_figure(
            f"No row of {name} in this period", "Send figures to the API or by the command line."
        )
    figure = new_figure(230)
    names = sorted(series["segment"].unique(), key=lambda one: (one != "", one))
    for place, segment in enumerate(names):
        mine = series[series["segment"] == segment].sort_values("window_start").reset_index(drop=True)
        x = local_times(mine["window_start"], tz)
        whole = segment == ""
        if whole and per == "mean":
            add_band(figure, x, mine, MARK["realised"])
        word = "all rows" if whole else segment
        figure.add_trace(
            go.Scatter(
                x=x,
                y=mine[per],
                mode="lines+markers" if whole else "lines",
                name=word,
                connectgaps=False,
                marker={"size": 4},
                line={
                    "color": MARK["realised"] if whole else MARK["estimated"],
                    "width": 2 if whole else 1,
                    "dash": "solid" if whole else DASHES[place % len(DASHES)],
                },
                customdata=[
                    [when, format_metric(value), format_count(rows)]
                    for when, value, rows in zip(
                        when_texts(mine["window_start"], tz), mine[per], mine["rows"], strict=True
                    )
                ],
                hovertemplate=(
                    f"<b>{name} %{{customdata[1]}}</b>, {word}<br>%{{customdata[2]}} rows"
                    "<br>window from %{customdata[0]}<extra></extra>"
                ),
            )
        )
    name_time_axis(figure, tz, series["window_start"].max())
    span_windows(figure, series["window_start"], tz, ends)
    figure.update_yaxes(title={"text": f"{name}, {per}", "font": {"size": 11}})
    figure.update_layout(showlegend=len(names) > 1, margin={"t": 10, "b": 70 if len(names) > 1 else 44})
    mark_time(figure, happened, series["window_start"], tz, ends=ends)
    return figure
