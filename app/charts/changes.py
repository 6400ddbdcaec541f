"""What changed: the parts of a change side by side, and what happened before it on one time axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import plotly.graph_objects as go

from app.charts.frame import empty_figure, local_time, name_time_axis, new_figure
from app.formats import MINUS, format_when
from app.theme import MARK, STATES, faded

PART_WORDS = {
    "mix": "input mix",
    "behaviour": "behaviour within segments",
    "quality": "data quality",
    "unexplained": "unexplained",
}
LANES = {
    "deployment": "deployment", "schema": "schema change", "quality": "data quality", "incident": "incident",
    "fault": "injected fault",
}  # fmt: skip


def signed(value: float, scale: float) -> str:
    """`+4.0`, `−0.31`: a difference as it is told."""
    told = abs(value) * scale
    digits = f"{told:.1f}" if scale > 1 else f"{told:.3g}"
    if float(digits) == 0:
        return digits
    return f"{'+' if value > 0 else MINUS}{digits}"


def worsened(value: float, scale: float, unit: str = "") -> str:
    """`+4.0 points worse`, `−0.31 better`: how much worse something is, with the word beside the sign."""
    told = signed(value, scale)
    word = "" if told[:1] not in ("+", MINUS) else "worse" if value > 0 else "better"
    return " ".join(part for part in (told, unit, word) if part)


def parts_figure(parts: Sequence[Mapping[str, Any]], *, metric: str, scale: float, unit: str) -> go.Figure:
    """Horizontal bars of the parts with their 95 % intervals, and their sum; to the right is worse.

    `parts` have kind, value, low, high (points of the metric; low and high None where no interval can be given).
    Each is multiplied by `scale` and then told in `unit`.
    """
    if not parts:
        return empty_figure("No parts", "The metric is undefined on one side, so there is nothing to split.")
    values = [part["value"] * scale for part in parts]
    total = sum(values)
    texts = [_told(part, scale) for part in parts] + [worsened(total / scale, scale)]
    words = [*(PART_WORDS[part["kind"]] for part in parts), "<b>together</b>"]
    rows = [f"{word}<br>{text}" for word, text in zip(words, texts, strict=True)]
    figure = new_figure(70 + 42 * len(rows))
    figure.add_trace(
        go.Bar(
            y=rows,
            x=[*values, total],
            orientation="h",
            marker={
                "color": [*(_colour(part["kind"]) for part in parts), faded(MARK["reference"], 0.45)],
                "line": {"width": 0},
            },
            customdata=texts,
            hovertemplate="%{customdata}<extra></extra>",
        )
    )
    known = [(row, part) for row, part in zip(rows, parts, strict=False) if part["low"] is not None]
    figure.add_trace(
        go.Scatter(
            y=[row for row, _ in known],
            x=[part["value"] * scale for _, part in known],
            mode="markers",
            marker={"size": 1, "color": MARK["reference"]},
            hoverinfo="skip",
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [(part["high"] - part["value"]) * scale for _, part in known],
                "arrayminus": [(part["value"] - part["low"]) * scale for _, part in known],
                "color": MARK["reference"],
                "thickness": 1.5,
                "width": 4,
            },
        )
    )
    figure.add_vline(x=0, line={"color": MARK["reference"], "width": 1})
    what = f"{unit} of {metric}" if unit else metric
    figure.update_xaxes(
        title={"text": f"{what}; to the right worse; 95 % interval", "font": {"size": 11}, "standoff": 4},
        showgrid=True,
    )
    figure.update_yaxes(
        autorange="reversed", showgrid=False, type="category", ticklabelstandoff=4, tickfont={"size": 11}
    )
    figure.update_layout(showlegend=False, margin_t=6, bargap=0.5)
    return figure


def happened_figure(
    happened: Sequence[Mapping[str, Any]],
    *,
    window: tuple[datetime, datetime],
    since: datetime,
    tz: str | None = None,
) -> go.Figure:
    """One lane a kind of happening, its moments as marks; the window is shaded.

    `happened` have at (UTC-aware), kind, text and level, in order of time.
    """
    if not happened:
        return empty_figure(
            "Nothing is recorded before this window",
            "No deployment, schema change, data-quality alarm, incident or injected fault.",
            height=110,
        )
    lanes = [kind for kind in LANES if any(one["kind"] == kind for one in happened)]
    figure = new_figure(96 + 26 * len(lanes))
    start, end = (local_time(moment, tz) for moment in window)
    figure.add_vrect(x0=start, x1=end, fillcolor=faded(MARK["current"], 0.14), line_width=0, layer="below")
    figure.add_annotation(
        x=end, y=1, yref="paper", yanchor="bottom", xanchor="right", text="this window", showarrow=False,
        font={"size": 11},
    )  # fmt: skip
    for kind in lanes:
        mine = [one for one in happened if one["kind"] == kind]
        states = [STATES.get(one["level"]) for one in mine]
        figure.add_trace(
            go.Scatter(
                x=[local_time(one["at"], tz) for one in mine],
                y=[LANES[kind]] * len(mine),
                mode="markers",
                cliponaxis=False,
                marker={
                    "symbol": [state.symbol if state else "line-ns-open" for state in states],
                    "size": 11,
                    "color": [MARK[one["level"]] for one in mine],
                    "line": {"width": 2, "color": [MARK[one["level"]] for one in mine]},
                },
                customdata=[[one["text"], format_when(one["at"], tz)] for one in mine],
                hovertemplate="%{customdata[0]}<br>%{customdata[1]}<extra></extra>",
            )
        )
    figure.update_yaxes(
        type="category", categoryorder="array", categoryarray=[LANES[kind] for kind in lanes][::-1], showgrid=True,
        ticklabelstandoff=4, range=[-0.6, len(lanes) - 0.4],
    )  # fmt: skip
    figure.update_xaxes(type="date", range=[local_time(since, tz), end + (end - start) * 0.05])
    name_time_axis(figure, tz, window[1])
    figure.update_layout(showlegend=False, margin_t=24)
    return figure


def _told(part: Mapping[str, Any], scale: float) -> str:
    text = worsened(part["value"], scale)
    if part["low"] is None:
        return text
    return f"{text} ({signed(part['low'], scale)} to {signed(part['high'], scale)})"


def _colour(kind: str) -> str:
    return MARK["unknown"] if kind == "unexplained" else MARK["current"]
