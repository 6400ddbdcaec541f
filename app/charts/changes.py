"""What changed: the parts of a change side by side, and what happened before it on one time axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import plotly.graph_objects as go

from app.charts.frame import GRID, empty_figure, local_time, name_time_axis, new_figure
from app.formats import MINUS, format_decimal, format_metric, format_when
from app.theme import GROUPS, MARK, STATES, faded
from app.words import metric_word

PART_WORDS = {
    "mix": "input mix",
    "behaviour": "behaviour within segments",
    "quality": "data quality",
    "unexplained": "unexplained",
}
PART_MARKS: dict[str, dict[str, Any]] = {
    "mix": {"color": GROUPS[5]},
    "behaviour": {
        "color": faded(GROUPS[1], 0.5),
        "pattern": {"shape": "/", "fillmode": "overlay", "fgcolor": GROUPS[1]},
    },
    "quality": {"color": GROUPS[0]},
    "unexplained": {"color": MARK["unknown"]},
}
"""Colours of states are left to states."""
LANES = {
    "deployment": "deployment", "schema": "schema change", "quality": "data quality", "volume": "data volume",
    "incident": "incident", "fault": "injected fault",
}  # fmt: skip


def signed(value: float, scale: float) -> str:
    """`+4.0`, `−0.31`: a difference as it is told."""
    told = abs(value) * scale
    digits = format_decimal(told, 1) if scale > 1 else format_metric(told)
    if float(digits.replace(",", "")) == 0:
        return digits
    return f"{'+' if value > 0 else MINUS}{digits}"


def worsened(value: float, scale: float, unit: str = "") -> str:
    """`4.0 points worse`, `0.31 better`: how much worse something is; the word says which way, so no sign does."""
    told = signed(value, scale)
    word = "" if told[:1] not in ("+", MINUS) else "worse" if value > 0 else "better"
    return " ".join(part for part in (told.lstrip(f"+{MINUS}"), unit, word) if part)


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
                "color": [
                    *(PART_MARKS[part["kind"]]["color"] for part in parts),
                    faded(MARK["reference"], 0.45),
                ],
                "pattern": {
                    "shape": ["/" if "pattern" in PART_MARKS[part["kind"]] else "" for part in parts],
                    "fillmode": "overlay",
                    "fgcolor": GROUPS[1],
                },
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
        title={"text": f"{what}; right is worse<br>95 % interval", "font": {"size": 11}, "standoff": 4},
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
    analysed: Sequence[Mapping[str, Any]] = (),
) -> go.Figure:
    """One lane a kind of happening, its moments as marks; the window is shaded.

    `happened` have at (UTC-aware), kind, text and level, in order of time. Of windows that were `analysed` (start, end,
    parts, scale, unit, metric) the parts of the change stand above the lanes, on the same axis of time: upwards is
    worse, what made it better hangs below.
    """
    if not happened and not analysed:
        return empty_figure(
            "Nothing is recorded before this window",
            "No deployment, schema change, data-quality alarm, incident or injected fault.",
            height=110,
        )
    lanes = [kind for kind in LANES if any(one["kind"] == kind for one in happened)]
    lanes_height, parts_height = 96 + 26 * len(lanes), 190 if analysed else 0
    figure = new_figure(lanes_height + parts_height)
    start, end = (local_time(moment, tz) for moment in window)
    figure.add_vrect(x0=start, x1=end, fillcolor=faded(MARK["current"], 0.14), line_width=0, layer="below")
    if analysed:
        share = parts_height / (lanes_height + parts_height) if lanes else 1.0
        _stack_parts(figure, analysed, share=share, tz=tz)
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
                showlegend=False,  # its lane says what it is
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
    figure.layout.yaxis.update(
        type="category", categoryorder="array", categoryarray=[LANES[kind] for kind in lanes][::-1], showgrid=True,
        ticklabelstandoff=4, range=[-0.6, max(len(lanes), 1) - 0.4],
    )  # fmt: skip
    figure.update_xaxes(type="date", range=[local_time(since, tz), end + (end - start) * 0.05])
    name_time_axis(figure, tz, window[1])
    figure.update_layout(showlegend=bool(analysed), margin_t=24)
    if analysed:
        figure.update_layout(margin_b=72)
    return figure


def _stack_parts(
    figure: go.Figure, analysed: Sequence[Mapping[str, Any]], *, share: float, tz: str | None
) -> None:
    """The parts of each analysed window as stacked bars in the upper `share` of the figure."""
    one = analysed[-1]
    mids = [local_time(each["start"] + (each["end"] - each["start"]) / 2, tz) for each in analysed]
    widths = [(each["end"] - each["start"]).total_seconds() * 700 for each in analysed]
    texts = [format_when(each["start"], tz) for each in analysed]
    for kind, word in PART_WORDS.items():
        values = [
            next((part["value"] * each["scale"] for part in each["parts"] if part["kind"] == kind), None)
            for each in analysed
        ]
        figure.add_trace(
            go.Bar(
                x=mids, y=values, width=widths, name=word, yaxis="y2", marker=PART_MARKS[kind],
                customdata=[
                    [text, "" if value is None else worsened(value / one["scale"], one["scale"], one["unit"])]
                    for text, value in zip(texts, values, strict=True)
                ],
                hovertemplate=f"<b>{word}</b> %{{customdata[1]}}<br>window from %{{customdata[0]}}<extra></extra>",
            )
        )  # fmt: skip
    metric = metric_word(one["metric"])
    title = f"{one['unit']} of {metric},<br>up is worse" if one["unit"] else f"{metric},<br>up is worse"
    if share < 1:
        figure.layout.yaxis.domain = [0, 1 - share]
    else:
        figure.update_layout(yaxis_visible=False, xaxis_anchor="y2")
    figure.update_layout(
        barmode="relative",
        yaxis2={
            "domain": [1 - share + 0.04 if share < 1 else 0, 1], "anchor": "x", "gridcolor": GRID, "zeroline": True,
            "zerolinewidth": 1, "zerolinecolor": MARK["reference"], "automargin": True,
            "title": {"text": title, "font": {"size": 11}},
        },
    )  # fmt: skip


def _told(part: Mapping[str, Any], scale: float) -> str:
    sign = signed(part["value"], scale)[:1]
    text = f"{sign if sign in ('+', MINUS) else ''}{worsened(part['value'], scale)}"
    if part["low"] is None:
        return text
    return f"{text} ({signed(part['low'], scale)} to {signed(part['high'], scale)})"
