"""Figures around an incident over one time axis: how requests were answered, and what windows say."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import plotly.graph_objects as go

from app.charts.frame import (
    Ends,
    Mark,
    add_version_switches,
    empty_figure,
    local_time,
    local_times,
    name_time_axis,
    new_figure,
    point_sizes,
    share_cursor,
    span_range,
    when_texts,
)
from app.charts.marks import NOTHING, Happened
from app.charts.marks import ROW_PX as VERSION_PX
from app.formats import HOVER, format_when
from app.theme import MARK, STATES, faded
from backend.monitoring.page_points import Series

ROW_PX = 110
LANE_PX, MARKS_PX = 40, 18
TITLE_SHIFT = 1
KINDS = {"page": "incident", "change": "changes", "injected": "faults"}
"""What the rows of the lowest lane are called, by the level of their marks."""


def figures_over_time(
    series: Sequence[Series],
    *,
    opened_at: datetime,
    ends: Ends | None = None,
    happened: Happened = NOTHING,
    opened: str = "opened",
    tz: str | None = None,
) -> go.Figure:
    """A row of its own for each series, with its band where it has one, and below them what happened, by its name; one
    cursor goes through all rows. A gap: nothing is known.

    ends      from when to when the axis goes; without them as far as the series
    happened  the opening is a red line, versions and changes are blue ones, faults purple
    opened    what the opening is called
    """
    shown = [one for one in series if any(value is not None for _, value, *_ in one.points)]
    if not shown:
        return empty_figure(
            "Not measured", "Nothing was measured in this range; a longer one may hold something."
        )
    moments = [at for one in shown for at, *_ in one.points]
    first, last = ends or (min(moments), max(moments))
    marks = [Mark(opened_at, opened, "page"), *happened.marks]
    marks = [one for one in marks if first <= one.at <= last]
    tall = LANE_PX + MARKS_PX * len({one.level for one in marks}) if marks else 0
    lane = tall / (ROW_PX * len(shown) + tall)
    height = (1 - lane) / len(shown)
    figure = new_figure(ROW_PX * len(shown) + 76 + tall)
    for row, one in enumerate(shown):
        _row(figure, row, one, 1 - row * height, height, tz)
    versions = add_version_switches(
        figure, happened.deployments, tz, (local_time(first, tz), local_time(last, tz))
    )
    for note in figure.layout.annotations:
        if (
            note.y == 1 and note.yshift > TITLE_SHIFT
        ):  # a version's name stands above the name of the first row
            note.yshift += 16
    for mark in marks:
        figure.add_shape(
            type="line", x0=local_time(mark.at, tz), x1=local_time(mark.at, tz), y0=0, y1=1, yref="paper",
            line={"color": MARK[mark.level], "width": 1, "dash": "dot"},
        )  # fmt: skip
    if marks:
        _lane(figure, marks, f"y{len(shown) + 1}", lane * (tall - LANE_PX * 0.6) / tall, (first, last), tz)
    name_time_axis(figure, tz, last)
    span_range(figure, ends, tz)
    lowest = len(shown) + (1 if marks else 0)
    figure.update_xaxes(anchor=f"y{'' if lowest == 1 else lowest}")
    share_cursor(figure, lowest)
    figure.update_layout(showlegend=False, margin={"t": 24 + VERSION_PX * versions, "b": 50})
    return figure


def _row(figure: go.Figure, row: int, one: Series, top: float, height: float, tz: str | None) -> None:
    axis = "" if row == 0 else str(row + 1)
    times = [at for at, *_ in one.points]
    sizes = point_sizes([value for _, value, *_ in one.points])
    banded = [(at, low, high) for at, _, low, high, _ in one.points if low is not None and high is not None]
    if banded:
        figure.add_trace(_band(banded, f"y{axis}", tz))
    figure.add_trace(
        go.Scatter(
            x=local_times(times, tz), y=[value for _, value, *_ in one.points], mode="lines+markers", name=one.name,
            connectgaps=False, line={"color": MARK["realised"], "width": 1.5},
            marker={"size": sizes, "line": {"width": 0}},
            yaxis=f"y{axis}", customdata=_windows(one, times, tz),
            hovertemplate=f"<b>%{{y:{HOVER}}}</b> {one.name}<br>%{{customdata}}<extra></extra>",
        )
    )  # fmt: skip
    figure.update_layout(
        {f"yaxis{axis}": {"domain": [top - height * 0.72, top - height * 0.02], "anchor": "x", "nticks": 4,
                          "rangemode": "normal" if banded else "tozero"}}
    )  # fmt: skip
    figure.add_annotation(
        text=one.name, x=0, xref="paper", y=top, yref="paper", yshift=TITLE_SHIFT, showarrow=False, xanchor="left",
        yanchor="bottom", font={"size": 12},
    )  # fmt: skip


def _windows(one: Series, times: Sequence[datetime], tz: str | None) -> list[str]:
    """From when to when each point is, where that is said."""
    begins = when_texts(times, tz)
    if one.length is None:
        return begins
    ends = when_texts([at + one.length for at in times], tz)
    return [f"{begin}<br>to {end}" for begin, end in zip(begins, ends, strict=True)]


def _lane(
    figure: go.Figure, marks: Sequence[Mark], axis: str, height: float, ends: Ends, tz: str | None
) -> None:  # fmt: skip
    """A row for each kind of mark, each with its shape and its name beside it."""
    levels = list(dict.fromkeys(one.level for one in marks))
    middle = ends[0] + (ends[1] - ends[0]) * 0.6
    for level in levels:
        mine = [one for one in marks if one.level == level]
        figure.add_trace(
            go.Scatter(
                x=[local_time(one.at, tz) for one in mine], y=[len(levels) - 1 - levels.index(level)] * len(mine),
                mode="markers+text", name=KINDS.get(level, level), yaxis=axis, cliponaxis=False,
                text=[one.word or one.text for one in mine], textfont={"size": 11},
                textposition=["middle left" if one.at > middle else "middle right" for one in mine],
                marker={"symbol": STATES[level].symbol if level in STATES else "diamond-open", "size": 9,
                        "color": MARK[level]},
                customdata=[f"{one.text}<br>{format_when(one.at, tz)}" for one in mine],
                hovertemplate="%{customdata}<extra></extra>",
            )
        )  # fmt: skip
    ticks = {
        "tickvals": list(range(len(levels))),
        "ticktext": [KINDS.get(one, one) for one in reversed(levels)],
    }
    figure.update_layout(
        {f"yaxis{axis[1:]}": {"domain": [0, height], "anchor": "x", "range": [-0.6, len(levels) - 0.4],
                              "showgrid": False, "zeroline": False, "automargin": True, "tickfont": {"size": 10},
                              "fixedrange": True} | ticks}
    )  # fmt: skip


def _band(banded: Sequence[tuple[datetime, float, float]], axis: str, tz: str | None) -> go.Scatter:
    """From low to high and back."""
    there = local_times([at for at, *_ in banded], tz)
    return go.Scatter(
        x=[*there, *reversed(there)], y=[high for *_, high in banded] + [low for _, low, _ in reversed(banded)],
        fill="toself", fillcolor=faded(MARK["realised"], 0.18), mode="lines", line={"width": 0}, yaxis=axis,
        hoverinfo="skip",
    )  # fmt: skip
