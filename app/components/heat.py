"""The heat map of columns by windows, each cell a way to its column in its window, and one column over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from app import data
from app.components.charts import draw
from app.components.drift_parts import as_ratio, heat_cells
from app.components.history import marks_of, switches
from app.components.links import viewer_zone
from app.components.pickers import choose
from app.components.seen import CELLS_FIRST_SEEN
from app.components.watching import Watched
from app.data.figures import drift_heatmap, drift_series


def draw_heat(
    watched: Watched,
    cells: pd.DataFrame,
    title: str,
    columns: Sequence[str],
    *,
    column: str | None,
    start: pd.Timestamp,
    first_seen: bool = False,
    share: bool = False,
) -> None:
    """Draw `heat_cells`; a click on one chooses its window and its column, as the select boxes below it do."""
    chosen = None if column is None else (column, start)
    figure = drift_heatmap(
        cells, statistic=title, columns=columns, tz=viewer_zone(), chosen=chosen, share=share,
        ends=watched.ends,
    )  # fmt: skip
    with st.container(key="wide-latest"):
        draw(figure, f"{title}: each column in each window", key="heat", clicked=_open)
    st.caption(CELLS_FIRST_SEEN if first_seen else "Click a cell to open its column and window below.")


def draw_over_time(
    watched: Watched, points: pd.DataFrame, title: str, *, column: str, worst: bool, share: bool = False
) -> None:
    """The line of one column over the windows shown: of `points` that the heat map is drawn from.

    worst   the points are of whichever statistic was furthest over its limit, drawn in units of their limits
    """
    mine = points[points["column"] == column]
    cells = heat_cells(
        as_ratio(mine) if worst else mine, watched.windows, [column], min_rows=watched.min_rows
    )
    word = "value / limit" if worst else title
    figure = drift_series(
        cells, column=column, statistic=word, deployments=switches(watched.model),
        marks=marks_of(data.marks(watched.scope, watched.name), watched.windows), tz=viewer_zone(), share=share,
        ends=watched.ends,
    )  # fmt: skip
    with st.container(key="wide-latest-series"):
        draw(figure, f"{word} of {column} over time", key="series", rows=False)


def _open(cell: Mapping[str, Any]) -> None:
    choose("column", cell["y"])
    choose("window", cell["customdata"][1])
