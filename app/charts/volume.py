"""How many rows stand behind each window, and for how many of them the label has come."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from app.charts.frame import (
    Ends,
    empty_figure,
    local_times,
    name_time_axis,
    new_figure,
    span_windows,
    when_texts,
)
from app.charts.marks import NOTHING, Happened, mark_time
from app.formats import format_count, format_share
from app.theme import MARK, STATES, faded


def volume_figure(
    frame: pd.DataFrame, *, tz: str | None = None, happened: Happened = NOTHING, ends: Ends | None = None,
) -> go.Figure:  # fmt: skip
    """Rows of each window, split by whether their label has come.

    `frame` has window_start (UTC-aware), rows, completeness (0 to 1, NaN while no label can be there), and
    optionally state: "expected none" for a window in which no traffic was expected, "missing" for one that
    should have had some. Both are marked on the base line, as nothing is otherwise drawn there.
    """
    if frame.empty or (frame["rows"].fillna(0).sum() == 0 and "state" not in frame):
        return empty_figure("No predictions in this period", "Choose another period, or send predictions.")
    frame = frame.sort_values("window_start").reset_index(drop=True)
    x = local_times(frame["window_start"], tz)
    rows = frame["rows"].fillna(0)
    labelled = rows * frame["completeness"].fillna(0.0)
    detail = [
        [w, format_count(n), format_share(c)]
        for w, n, c in zip(
            when_texts(frame["window_start"], tz), frame["rows"], frame["completeness"], strict=True
        )
    ]
    hover = (
        "<b>%{customdata[1]} rows</b>, label known for %{customdata[2]}"
        "<br>window from %{customdata[0]}<extra></extra>"
    )
    figure = new_figure(230)
    solid: dict[str, Any] = {"color": MARK["realised"], "line": {"width": 0}}
    waiting: dict[str, Any] = {
        "color": faded(MARK["realised"], 0.18),
        "line": {"width": 1, "color": faded(MARK["realised"], 0.7)},
    }
    for name, heights, marker in (
        ("label known", labelled, solid),
        ("no label yet", rows - labelled, waiting),
    ):
        figure.add_trace(
            go.Bar(x=x, y=heights, name=name, marker=marker, customdata=detail, hovertemplate=hover)
        )
    if "state" in frame:
        for state, word, symbol, colour in (
            ("expected none", "no traffic expected", "line-ew-open", MARK["unknown"]),
            ("missing", "no data", STATES["unknown"].symbol, MARK["page"]),
        ):
            chosen = frame["state"] == state
            if chosen.any():
                figure.add_trace(
                    go.Scatter(
                        x=x[chosen],
                        y=[0] * int(chosen.sum()),
                        mode="markers",
                        name=word,
                        cliponaxis=False,
                        marker={
                            "symbol": symbol,
                            "size": 8,
                            "color": colour,
                            "line": {"width": 2, "color": colour},
                        },
                        text=[d[0] for d, c in zip(detail, chosen, strict=True) if c],
                        hovertemplate=f"<b>{word}</b><br>window from %{{text}}<extra></extra>",
                    )
                )
    figure.update_layout(barmode="stack", showlegend=True, margin={"t": 10, "b": 74})
    figure.update_yaxes(title={"text": "rows", "font": {"size": 11}}, rangemode="tozero")
    name_time_axis(figure, tz, frame["window_start"].max())
    span_windows(figure, frame["window_start"], tz, ends)
    mark_time(figure, happened, frame["window_start"], tz, ends=ends)
    return figure
