"""What labels showed, on an axis: points that are full where nearly every label has come."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from app.charts.frame import CLEAR, local_times, when_texts
from app.formats import format_count, format_metric, format_share, format_when
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
                [w, format_metric(v, unit), _between(lo, hi, unit), format_share(c), format_count(n), first]
                for w, v, lo, hi, c, n, first in zip(
                    when_texts(frame["window_start"], tz),
                    frame["value"],
                    frame["low"],
                    frame["high"],
                    frame["completeness"],
                    frame["window_rows"] if "window_rows" in frame else frame["rows"],
                    tell_first(frame, unit, tz),
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


def tell_first(frame: pd.DataFrame, unit: str, tz: str | None) -> list[str]:
    """A line of a hover for each window whose first value was another one; empty where it still holds."""
    if "first_value" not in frame:
        return [""] * len(frame)
    texts = []
    for first, at, now in zip(frame["first_value"], frame["first_computed_at"], frame["value"], strict=True):
        if pd.isna(at) or (first == now) or (pd.isna(first) and pd.isna(now)):
            texts.append("")
            continue
        seen = "no value" if pd.isna(first) else format_metric(first, unit)
        texts.append(f"<br>first seen as {seen} on {format_when(pd.Timestamp(at).to_pydatetime(), tz)}")
    return texts
