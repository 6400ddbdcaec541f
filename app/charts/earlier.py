"""An earlier range laid over the one that is shown, so that the same hour or day of both lies one above the other."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import pandas as pd
import plotly.graph_objects as go

from app.charts.frame import local_times, when_texts
from app.formats import format_metric
from app.theme import MARK


@dataclass(frozen=True)
class Earlier:
    """Points of an earlier range (window_start, value), how much earlier they are, and how the range is called."""

    points: pd.DataFrame
    by: timedelta
    words: str


def add_earlier(figure: go.Figure, earlier: Earlier, metric: str, unit: str, tz: str | None) -> None:
    """Its line in grey, moved by `by`; a hover tells when each point really was."""
    points = earlier.points.sort_values("window_start")
    if points["value"].isna().all():
        return
    figure.add_trace(
        go.Scatter(
            x=local_times(points["window_start"] + earlier.by, tz),
            y=points["value"],
            mode="lines+markers",
            name=earlier.words,
            connectgaps=False,
            line={"color": MARK["reference"], "width": 1.5, "dash": "dashdot"},
            marker={"size": 4, "symbol": "diamond-open"},
            customdata=[
                [when, format_metric(value, unit, of=metric)]
                for when, value in zip(when_texts(points["window_start"], tz), points["value"], strict=True)
            ],
            hovertemplate=f"<b>{metric} %{{customdata[1]}}</b>, {earlier.words}"
            "<br>window from %{customdata[0]}<extra></extra>",
        )
    )
