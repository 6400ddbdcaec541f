"""What share of the requests each version answered when, who only scored beside it, and what happened then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import plotly.graph_objects as go

from app.charts.frame import CLEAR, Mark, add_marks, empty_figure, local_time, name_time_axis, new_figure
from app.formats import format_age, format_share, format_when
from app.theme import MARK, faded
from backend.deployment.segments import in_words

DEPTHS = (0.75, 0.4)
"""How full the ground of one version and of the next is; which one it is stands in it."""
BESIDE = -0.22  # the lane under the shares: shadows, and versions that are kept loaded
LANE = 0.14


def served_figure(
    stretches: Sequence[Mapping[str, Any]], *, start: datetime, end: datetime, at: datetime,
    marks: Sequence[Mark] = (), tz: str | None = None,
) -> go.Figure:  # fmt: skip
    """Shares of the requests from `start` to `end`, stacked: the champion below in dark grey, canaries above it in
    blue; 0 to 100 %. Each block says its version.

    `stretches` as `backend.deployment.timeline.timeline_view` gives them; an open end lasts until `end`. What answers
    nobody (a shadow, a version kept loaded) has a lane of its own below. A line marks the moment `at`.
    """
    blocks = [
        block
        for one in stretches
        if one["start"] < end and (one["end"] is None or one["end"] > start)
        for block in _blocks(one, start, end)
    ]
    if not blocks:
        return empty_figure("Nothing served in this time", "Choose a longer one, or another moment.")
    figure = new_figure(300)
    versions = sorted({block["version"] for stretch in stretches for block in stretch["served"]})
    for version in versions:
        depth = DEPTHS[versions.index(version) % len(DEPTHS)]
        mine = [block for block in blocks if block["version"] == version]
        if not mine:
            continue
        colours = [MARK["champion" if one["role"] == "champion" else "candidate"] for one in mine]
        figure.add_trace(
            go.Bar(
                x=[local_time(one["from"] + (one["to"] - one["from"]) / 2, tz) for one in mine],
                width=[(one["to"] - one["from"]).total_seconds() * 1000 for one in mine],
                base=[one["base"] for one in mine],
                y=[one["height"] for one in mine],
                name=f"v{version}",
                marker={
                    "color": [
                        CLEAR if one["beside"] else faded(colour, depth)
                        for one, colour in zip(mine, colours, strict=True)
                    ],
                    "line": {"width": 1, "color": colours},
                    "pattern": {
                        "shape": ["/" if one["role"] == "canary" and not one["beside"] else "" for one in mine],
                        "fgcolor": colours, "size": 6, "solidity": 0.4, "fillmode": "overlay",
                    },
                },
                text=f"v{version}", textposition="inside", insidetextanchor="middle", textangle=0,
                textfont={"size": 11}, constraintext="none", showlegend=False,
                customdata=[_describe(one, tz) for one in mine],
                hovertemplate="%{customdata}<extra></extra>",
            )
        )  # fmt: skip
    shown = [mark for mark in marks if start <= mark.at <= end]
    add_marks(figure, shown, tz)
    beside = any(block["beside"] for block in blocks)
    ticks = [0, 0.25, 0.5, 0.75, 1]
    names = [format_share(tick) for tick in ticks]
    if beside:
        ticks, names = [BESIDE + LANE / 2, *ticks], ["beside", *names]
    floor = (BESIDE if beside else 0) - (0.16 if shown else 0)
    figure.update_yaxes(range=[floor, 1.02], tickvals=ticks, ticktext=names, selector={"overlaying": None})
    if start <= at <= end:
        moment = local_time(at, tz)
        figure.add_shape(
            type="line", x0=moment, x1=moment, y0=0, y1=1, yref="paper", line={"color": MARK["page"], "width": 1.5}
        )  # fmt: skip
    figure.update_xaxes(type="date", range=[local_time(start, tz), local_time(end, tz)])
    name_time_axis(figure, tz, end)
    figure.update_layout(
        barmode="overlay",
        bargap=0,
        showlegend=True,
        margin_t=34,
        legend={"y": 1, "yref": "container", "yanchor": "top"},
    )  # fmt: skip
    return figure


def _blocks(stretch: Mapping[str, Any], start: datetime, end: datetime) -> list[dict[str, Any]]:
    """The rectangles of one stretch, cut to the figure's time. Versions beside it share their lane."""
    first, last = max(stretch["start"], start), min(stretch["end"] or end, end)
    whole = {"from": first, "to": last, "began": stretch["start"], "ended": stretch["end"]}
    beside = [row for row in stretch["served"] if row["share"] == 0 or row.get("segments")]
    found: list[dict[str, Any]] = []
    base = 0.0
    for row in stretch["served"]:
        if row["share"] > 0 and not row.get("segments"):
            found.append(whole | dict(row) | {"base": base, "height": row["share"], "beside": False})
            base += row["share"]
    for place, row in enumerate(beside):
        height = LANE / len(beside)
        found.append(whole | dict(row) | {"base": BESIDE + place * height, "height": height, "beside": True})
    return found


def _describe(one: Mapping[str, Any], tz: str | None) -> str:
    role = f"{one['role']}, {format_share(one['share'])} of the requests"
    if one.get("segments") and one["share"]:
        role = f"{one['role']}, {format_share(one['share'])} of rows of {in_words(one['segments'])}"
    elif one["beside"]:
        role = "shadow, answers nobody" if one["role"] == "shadow" else "kept loaded, answers nobody"
    until = f"to {format_when(one['ended'], tz)}" if one["ended"] else "still"
    lasted = format_age(one["ended"] - one["began"]) if one["ended"] else format_age(one["began"])
    said = "" if one["confirmed"] else "<br>no gateway had reported it yet"
    change = f"<br>CHG-{one['change_id']}" if one["change_id"] is not None else ""
    return (
        f"<b>v{one['version']}</b> {role}, cut-off {one['cutoff']:g}{change}<br>"
        f"from {format_when(one['began'], tz)}<br>{until}, {lasted}{said}"
    )
