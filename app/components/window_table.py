"""Windows and their figures as a table, for reading off and for those who do not see the chart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from app.components.links import viewer_zone
from app.components.performance_parts import verdict_cell, with_interval
from app.components.tables import table
from app.formats import format_count, format_metric, format_share, format_when
from app.words import WINDOW_WORDS

SHOWN = 40


def show_windows(windows: pd.DataFrame, realised: pd.DataFrame, estimated: pd.DataFrame, metric: str) -> None:
    """The latest windows, newest first, each with its figures of one metric and the verdict that these give."""
    if len(windows) > SHOWN:
        st.caption(
            f"The latest {SHOWN} of {len(windows)} windows drawn above; the CSV below has all of them."
        )
    came, guess = (_by_start(one) for one in (realised, estimated))
    rows = []
    for row in windows.iloc[::-1].head(SHOWN).itertuples():
        told = [one.get(row.start) for one in (came, guess)]
        limits = [one["threshold"] for one in told if one is not None and pd.notna(one["threshold"])]
        rows.append(
            [
                format_when(row.start.to_pydatetime(), viewer_zone()),
                f"v{int(row.version)}" if pd.notna(row.version) else None,
                *(with_interval(one, why=False) for one in told),
                format_metric(limits[0]) if limits else None,
                verdict_cell(*told) if any(told) else None,
                format_count(row.rows),
                format_share(row.completeness),
                WINDOW_WORDS.get(row.state, row.state),
            ]
        )
    columns = (
        "window", "served by", f"{metric} from labels", "by estimate", "limit", "verdict", "rows", "labels", "state",
    )  # fmt: skip
    table(columns, rows, caption="windows, with 95 % intervals")


def _by_start(points: pd.DataFrame) -> dict[Any, Mapping[str, Any]]:
    return {row["window_start"]: row for row in points.to_dict("records")}
