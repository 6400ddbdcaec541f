"""Which version served when, in which role, and what happened then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import plotly.graph_objects as go

from app.charts.frame import CLEAR, Mark, add_marks, empty_figure, local_time, name_time_axis, new_figure
from app.formats import format_age, format_share, format_when
from app.theme import MARK, faded


@dataclass(frozen=True)
class Period:
    """A deployment: `version` served from `start` to `end` (None: still) with `role` and, as canary,
    `share`: of the requests, or of rows of `segments` alone.
    """

    version: str
    role: str
    start: datetime
    end: datetime | None = None
    share: float | None = None
    segments: str = ""


_ROLES = ("champion", "canary", "shadow")


def deployments_timeline(
    periods: Sequence[Period], *, now: datetime, marks: Sequence[Mark] = (), tz: str | None = None
) -> go.Figure:
    """One lane a version, newest on top; champions are solid and dark grey, canaries hatched and blue, shadows blue
    outlines."""
    if not periods:
        return empty_figure("This model has never served", "Ask for a promotion from its Versions.")
    first_seen: dict[str, datetime] = {}
    for period in sorted(periods, key=lambda p: p.start):
        first_seen.setdefault(period.version, period.start)
    lanes = sorted(first_seen, key=lambda version: first_seen[version], reverse=True)
    figure = new_figure(96 + 26 * len(lanes))
    for role in _ROLES:
        chosen = [period for period in periods if period.role == role]
        if not chosen:
            continue
        ends = [period.end or now for period in chosen]
        figure.add_trace(
            go.Bar(
                y=[period.version for period in chosen],
                base=[local_time(period.start, tz) for period in chosen],
                x=[(end - p.start).total_seconds() * 1000 for p, end in zip(chosen, ends, strict=True)],
                orientation="h",
                name=role,
                width=0.6,
                marker=_style(role),
                customdata=[_describe(p, end, tz) for p, end in zip(chosen, ends, strict=True)],
                hovertemplate="%{customdata}<extra></extra>",
            )
        )
    add_marks(figure, marks, tz)
    start = min(period.start for period in periods)
    at = local_time(now, tz)
    figure.add_shape(
        type="line", x0=at, x1=at, y0=0, y1=1, yref="paper", line={"color": MARK["reference"], "width": 1}
    )
    figure.update_xaxes(type="date", range=[local_time(start, tz), at + (now - start) * 0.02])
    figure.update_layout(
        yaxis={
            "type": "category",
            "categoryorder": "array",
            "categoryarray": lanes[::-1],
            "showgrid": False,
            "ticklabelstandoff": 4,
            "range": [-1.2 if marks else -0.6, len(lanes) - 0.4],
        }
    )
    name_time_axis(figure, tz, now)
    figure.update_layout(barmode="overlay", showlegend=True, margin_t=24, legend={"y": 1, "yref": "paper"})
    return figure


def _style(role: str) -> dict[str, Any]:
    colour = MARK["champion" if role == "champion" else "candidate"]
    edge = {"width": 1.5, "color": colour}
    if role == "champion":
        return {"color": colour, "line": edge}
    if role == "canary":
        pattern = {"shape": "/", "fgcolor": colour, "size": 6, "solidity": 0.35, "fillmode": "overlay"}
        return {"color": faded(colour, 0.2), "line": edge, "pattern": pattern}
    return {"color": CLEAR, "line": edge}


def _describe(period: Period, end: datetime, tz: str | None) -> str:
    of = f"rows of {period.segments}" if period.segments else "traffic"
    share = f", {format_share(period.share)} of {of}" if period.share is not None else ""
    until = f"to {format_when(period.end, tz)}" if period.end else "still serving"
    return (
        f"<b>{period.version}</b> {period.role}{share}<br>from {format_when(period.start, tz)}<br>{until}"
        f"<br>for {format_age(end - period.start)}"
    )
