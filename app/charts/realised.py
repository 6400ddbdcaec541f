"""What labels showed, on an axis: points that are full where nearly every label has come."""

from __future__ import annotations

from functools import partial

import pandas as pd
import plotly.graph_objects as go

from app.charts.frame import CLEAR, first_seen_texts, local_times, when_texts
from app.formats import format_count, format_metric, format_share
from app.theme import MARK, faded

COMPLETE = 0.95  # at this share of labels a point is drawn full


def add_realised(figure: go.Figure, frame: pd.DataFrame, metric: str, unit: str, tz: str | None) -> None:
    frame = frame.sort_values("window_start").reset_index(drop=True)
    x = local_times(frame["window_start"], tz)
    share = frame["completeness"].fillna(0.0)
    above, below = frame["high"] - frame["value"], frame["value"] - frame["low"]
    figure.add_trace(
        go.Scatter(
            x=x,
            y=frame["value"],
            mode="lines",
            connectgaps=False,
            hoverinfo="skip",
            showlegend=False,
            legendgroup="realised",
            line={"color": faded(MARK["realised"], 0.55), "width": 1.5},
        )
    )
    figure.add_trace(
        go.Scatter(
            x=x,
            y=frame["value"],
            mode="markers",
            name="realised (hollow: few labels)",
            legendgroup="realised",
            marker={
                "size": 8 if len(frame) <= 120 else 5,
                "color": [_fill(c) for c in share],
                "line": {"color": MARK["realised"], "width": 1.5},
            },
            error_y={
                "type": "data",
                "symmetric": False,
                "array": above,
                "arrayminus": below,
                "color": faded(MARK["realised"], 0.4),
                "thickness": 1,
                "width": 0,
            },
            customdata=[
                [
                    w,
                    format_metric(v, unit, of=metric),
                    _between(lo, hi, unit),
                    format_share(c),
                    format_count(n),
                    first,
                ]
                for w, v, lo, hi, c, n, first in zip(
                    when_texts(frame["window_start"], tz),
                    frame["value"],
                    frame["low"],
                    frame["high"],
                    frame["completeness"],
                    frame["window_rows"] if "window_rows" in frame else frame["rows"],
                    first_seen_texts(frame, tz, partial(format_metric, unit=unit)),
                    strict=True,
                )
            ],
            hovertemplate=(
                f"<b>{metric} %{{customdata[1]}}</b>, from labels%{{customdata[2]}}<br>labels %{{customdata[3]}} of "
                "%{customdata[4]} rows<br>window from %{customdata[0]}%{customdata[5]}<extra></extra>"
            ),
        )
    )


def _fill(completeness: float) -> str:
    """The fill of a point: none below half of the labels, full from 95 %, in between in proportion."""
    if completeness >= COMPLETE:
        return MARK["realised"]
    return faded(MARK["realised"], 0.55 * completeness) if completeness >= 0.5 else CLEAR


def _between(low: float, high: float, unit: str) -> str:
    """A line of a hover; empty without an interval."""
    if pd.isna(low) or pd.isna(high):
        return ""
    return f"<br>95 % interval {format_metric(low, unit)} to {format_metric(high, unit)}"
