"""Windows and their figures as a table, for reading off and for those who do not see the chart."""

from __future__ import annotations

import pandas as pd

from app.components.links import viewer_zone
from app.components.tables import badge, table
from app.formats import format_count, format_metric, format_share, format_when
from app.words import WINDOW_WORDS

SHOWN = 40
LEVELS = {"ok": "ok", "alarm": "attention"}


def show_windows(windows: pd.DataFrame, realised: pd.DataFrame, metric: str) -> None:
    """The latest windows, newest first, with the realised figure of each where there is one."""
    values = realised[["window_start", "value", "low", "high", "verdict"]].rename(
        columns={"window_start": "start"}
    )
    joined = windows.merge(values, on="start", how="left").iloc[::-1].head(SHOWN)
    rows = [
        [
            format_when(row.start.to_pydatetime(), viewer_zone()),
            f"v{row.version:.0f}" if pd.notna(row.version) else None,
            format_metric(row.value),
            f"{format_metric(row.low)} to {format_metric(row.high)}",
            badge(str(row.verdict), LEVELS.get(str(row.verdict), "unknown"))
            if pd.notna(row.verdict)
            else None,
            format_count(row.rows),
            format_share(row.completeness),
            WINDOW_WORDS.get(row.state, row.state),
        ]
        for row in joined.itertuples()
    ]
    columns = (
        "window",
        "served by",
        f"realised {metric}",
        "95 % interval",
        "verdict",
        "rows",
        "labels",
        "state",
    )
    table(columns, rows, caption="windows")
