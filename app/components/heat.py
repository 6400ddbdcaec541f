"""The heat map of columns by windows, each cell a way to its column in its window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from app.components.charts import draw
from app.components.links import viewer_zone
from app.components.pickers import choose
from app.components.seen import CELLS_FIRST_SEEN
from app.data.figures import drift_heatmap


def draw_heat(
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
        cells, statistic=title, columns=columns, tz=viewer_zone(), chosen=chosen, share=share
    )
    with st.container(key="wide-latest"):
        draw(figure, f"{title}: each column in each window", key="heat", clicked=_open)
    st.caption(CELLS_FIRST_SEEN if first_seen else "Click a cell to open its column and window below.")


def _open(cell: Mapping[str, Any]) -> None:
    choose("column", cell["y"])
    choose("window", cell["customdata"][1])
