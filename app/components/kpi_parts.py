"""Figures of the user's own (conversion, revenue) beside a model's performance. Draws nothing where there are none."""

from __future__ import annotations

import streamlit as st

from app import data
from app.charts.marks import NOTHING, Happened
from app.components.charts import draw
from app.components.links import viewer_zone
from app.components.watching import Watched
from app.data.figures import kpi_figure


def show_kpis(watched: Watched, happened: Happened = NOTHING) -> None:
    """The model's own figures over the same windows; by day where the model's windows are of N rows."""
    size = "1d" if watched.size.isdigit() else watched.size
    ends = watched.windows["end"].max().to_pydatetime()
    series = data.kpis(watched.scope, watched.name, size, watched.since, ends)
    if series.empty:
        return
    st.header("Your own figures")
    for place, name in enumerate(series["name"].unique()):
        figure = kpi_figure(
            series[series["name"] == name], name=str(name), tz=viewer_zone(), happened=happened,
            ends=watched.ends,
        )  # fmt: skip
        with st.container(key=f"wide-latest-{place}"):
            draw(figure, f"{name} over time", key=f"kpi:{name}")
