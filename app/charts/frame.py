"""What every chart shares: the empty figure, the layout, times in the viewer's zone, marks on a time axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from app.formats import format_metric, format_when, zone, zone_label
from app.theme import FONT, MARK, STATES, faded

GRID = faded(MARK["reference"], 0.22)
CLEAR = "rgba(0,0,0,0)"


@dataclass(frozen=True)
class Mark:
    """Something that happened at a moment: a change, an incident, an injected fault.

    `level` is a state of `app.theme.STATES`, or "change"; `word` names marks of its kind in the legend.
    """

    at: datetime
    text: str
    level: str = "change"
    word: str = ""


def new_figure(height: int = 320) -> go.Figure:
    """A transparent, dense figure; its fonts take the page's colour."""
    axis = {"gridcolor": GRID, "linecolor": GRID, "zeroline": False, "automargin": True, "ticks": ""}
    return go.Figure(
        layout={
            "template": {},
            "height": height,
            "margin": {"l": 8, "r": 8, "t": 28, "b": 8},
            "paper_bgcolor": CLEAR,
            "plot_bgcolor": CLEAR,
            "font": {"family": FONT, "size": 12},
            "hovermode": "closest",
            "hoverlabel": {"font": {"family": FONT, "size": 12}, "align": "left"},
            "legend": {
                "orientation": "h",
                "x": 0,
                "xanchor": "left",
                "y": 0,
                "yref": "container",
                "yanchor": "bottom",
                "traceorder": "normal",
                "font": {"size": 11},
            },
            "bargap": 0.15,
            "xaxis": axis | {"showgrid": False, "showline": True},
            "yaxis": axis | {"showgrid": True},
        }
    )


def empty_figure(title: str, what_to_do: str, height: int = 200) -> go.Figure:
    """Says that there is nothing to draw, and what would change that."""
    figure = new_figure(height)
    figure.update_xaxes(visible=False, range=[0, 1])
    figure.update_yaxes(visible=False, range=[0, 1])
    figure.add_annotation(
        text=f"<b>{title}</b><br>{what_to_do}",
        x=0.5,
        y=0.5,
        xref="paper",
        yref="paper",
        showarrow=False,
        font={"size": 13},
        align="center",
    )
    return figure


def local_times(times: Any, tz: str | None) -> pd.Series[Any]:
    """UTC-aware times as wall times of the viewer's zone without a zone: plotly drops offsets and would show
    UTC.
    """
    given = times.reset_index(drop=True) if isinstance(times, pd.Series) else pd.Series(list(times))
    series = pd.Series(pd.to_datetime(given, utc=True))
    return series.dt.tz_convert(zone(tz)).dt.tz_localize(None)


def local_time(moment: datetime, tz: str | None) -> datetime:
    """One moment as `local_times` would give it. Raises `ValueError` for a time without a zone."""
    if moment.tzinfo is None:
        raise ValueError(f"a time without a zone cannot be drawn: {moment!r}")
    return moment.astimezone(zone(tz)).replace(tzinfo=None)


def name_time_axis(figure: go.Figure, tz: str | None, latest: Any, **where: Any) -> None:
    """Give the time axis its zone as a title ("time, CET"); `latest` decides summer or winter time."""
    moment = pd.Timestamp(latest)
    moment = moment if moment.tzinfo else moment.tz_localize(UTC)
    label = zone_label(moment.tz_convert(zone(tz)).to_pydatetime())
    figure.update_xaxes(
        title={"text": f"time, {label}", "standoff": 2, "font": {"size": 11}},
        tickformatstops=_TIME_TICKS,
        **where,
    )


Ends = tuple[datetime, datetime]
"""From when to when a time axis goes, UTC-aware."""


def span_range(figure: go.Figure, ends: Ends | None, tz: str | None) -> None:
    """Have the time axis show exactly that range; without one it shows what is drawn."""
    if ends is not None:
        figure.update_xaxes(range=[local_time(one, tz) for one in ends])


def span_windows(figure: go.Figure, starts: Any, tz: str | None, ends: Ends | None = None) -> None:
    """Give a figure the same span of time and the same edges as every other one of these windows, so that figures
    above one another can be read together. Scale and legend are on the right, beside the newest window, which is
    what a narrow screen shows. `starts` are UTC-aware; with `ends` the span is that."""
    local = local_times(sorted(set(starts)), tz)
    steps = local.diff().dropna()
    step = steps.median() if len(steps) else pd.Timedelta(days=1)
    figure.update_xaxes(range=[local.iloc[0] - 0.7 * step, local.iloc[-1] + 1.3 * step])
    span_range(figure, ends, tz)
    figure.update_yaxes(automargin=False, side="right", selector={"overlaying": None})
    figure.update_layout(margin={"l": 8, "r": 58}, legend={"x": 1, "xanchor": "right"})


def share_cursor(figure: go.Figure, rows: int) -> None:
    """One cursor through all rows, each telling its own value: they lie on one x axis in one grid of the layout.
    `make_subplots` would give each an x axis of its own, on which plotly's `hoversubplots` does nothing."""
    lanes = [[f"xy{'' if row == 0 else row + 1}"] for row in range(rows)]
    figure.update_layout(
        grid={"rows": rows, "columns": 1, "subplots": lanes},
        hoversubplots="axis",
        hovermode="x",
        hoverdistance=30,
    )
    figure.update_xaxes(
        showspikes=True, spikemode="across", spikesnap="cursor", spikethickness=1, spikedash="dot"
    )


def point_sizes(values: Sequence[float | None]) -> list[int]:
    """A point without a neighbour has no line, so it is larger."""
    around = [None, *values, None]
    return [
        3 if before is not None or after is not None else 6
        for before, after in zip(around, around[2:], strict=False)
    ]


_DAY = 86_400_000
_TIME_TICKS = [
    {"dtickrange": [None, 60_000], "value": "%H:%M:%S"},
    {"dtickrange": [60_000, _DAY - 1], "value": "%H:%M\n%-d %b"},
    {"dtickrange": [_DAY, "M1"], "value": "%-d %b\n%Y"},
    {"dtickrange": ["M1", None], "value": "%b\n%Y"},
]


def when_texts(times: Any, tz: str | None) -> list[str]:
    """Each time as a hover says it."""
    return [format_when(t.to_pydatetime(), tz) for t in pd.to_datetime(pd.Series(list(times)), utc=True)]


def first_seen_texts(
    frame: pd.DataFrame, tz: str | None, tell: Callable[[float | None], str] = format_metric
) -> list[str]:
    """A line of a hover for each window whose first value was another one; empty where it still holds."""
    if "first_value" not in frame:
        return [""] * len(frame)
    texts = []
    for first, at, now in zip(frame["first_value"], frame["first_computed_at"], frame["value"], strict=True):
        if pd.isna(at) or (first == now) or (pd.isna(first) and pd.isna(now)):
            texts.append("")
            continue
        seen = "no value" if pd.isna(first) else tell(first)
        texts.append(f"<br>first seen as {seen} on {format_when(pd.Timestamp(at).to_pydatetime(), tz)}")
    return texts


def add_version_lines(
    figure: go.Figure, deployments: Sequence[tuple[datetime, str]], tz: str | None, span: tuple[Any, Any], *,
    panels: int,
) -> None:  # fmt: skip
    """Where another version began to serve, a dotted line in each panel of small multiples; its name in the first."""
    start, end = pd.Timestamp(span[0]), pd.Timestamp(span[1])
    for moment, version in sorted(deployments):
        at = local_time(moment, tz)
        if not start < pd.Timestamp(at) <= end:
            continue
        for place in range(1, panels + 1):
            axis = "" if place == 1 else str(place)
            figure.add_shape(
                type="line", x0=at, x1=at, y0=0, y1=1, xref=f"x{axis}", yref=f"y{axis} domain", layer="below",
                line={"color": MARK["change"], "width": 1, "dash": "dot"},
            )  # fmt: skip
        figure.add_annotation(
            x=at, y=1, xref="x", yref="y domain", yanchor="top", xanchor="left", showarrow=False, text=version,
            font={"size": 11}, borderpad=2,
        )  # fmt: skip


def add_version_switches(
    figure: go.Figure, deployments: Sequence[tuple[datetime, str]], tz: str | None, span: tuple[Any, Any]
) -> int:
    """Vertical lines where another version began to serve, named above the plot; returns the label rows used.

    Labels that would touch are put in further rows (three at most), so that neighbours stay readable.
    Switches before the span are not drawn, except that the last of them names the version at the left edge.
    """
    start, end = pd.Timestamp(span[0]), pd.Timestamp(span[1])
    width = max((end - start).total_seconds(), 1.0)
    placed: list[tuple[datetime, str]] = []
    serving: str | None = None
    for moment, version in sorted(deployments):
        at = local_time(moment, tz)
        if pd.Timestamp(at) <= start:
            serving = version
        elif pd.Timestamp(at) <= end:
            placed.append((at, version))
    labels: list[tuple[datetime, str, bool]] = [(at, version, True) for at, version in placed]
    if serving is not None:
        labels.insert(0, (start.to_pydatetime(), serving, False))
    ends = [-1.0, -1.0, -1.0]
    rows = 0
    for at, version, switched in labels:
        where = (pd.Timestamp(at) - start).total_seconds() / width
        row = next((i for i in range(3) if ends[i] <= where), 2)
        ends[row] = where + 0.02 + 0.011 * len(version)
        rows = max(rows, row + 1)
        if switched:
            figure.add_shape(
                type="line",
                x0=at,
                x1=at,
                y0=0,
                y1=1,
                yref="paper",
                layer="below",
                line={"color": MARK["change"], "width": 1, "dash": "dot"},
            )
        figure.add_annotation(
            x=at,
            y=1,
            yref="paper",
            yshift=2 + 15 * row,
            yanchor="bottom",
            xanchor="left",
            showarrow=False,
            text=version,
            font={"size": 11},
            borderpad=0,
        )
    return rows


def add_marks(figure: go.Figure, marks: Sequence[Mark], tz: str | None) -> None:
    """Marks along the bottom of a time axis, on a hidden second y axis, with the full text on hover."""
    if not marks:
        return
    add_ground(figure)
    for level, word in dict.fromkeys((mark.level, mark.word) for mark in marks):
        chosen = [mark for mark in marks if (mark.level, mark.word) == (level, word)]
        state = STATES.get(level)
        figure.add_trace(
            go.Scatter(
                x=[local_time(mark.at, tz) for mark in chosen],
                y=[0.03] * len(chosen),
                yaxis="y2",
                mode="markers",
                cliponaxis=False,
                name=word or _mark_word(level),
                marker={
                    "symbol": state.symbol if state else "line-ns-open",
                    "size": 10,
                    "color": MARK[level],
                    "line": {"width": 2, "color": MARK[level]},
                },
                customdata=[[mark.text, format_when(mark.at, tz)] for mark in chosen],
                hovertemplate="%{customdata[0]}<br>%{customdata[1]}<extra></extra>",
            )
        )


def add_ground(figure: go.Figure) -> None:
    """A hidden second y axis from 0 to 1: a place for marks that have no value ("y2", just above the time
    axis).
    """
    figure.update_layout(yaxis2={"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True})


def _mark_word(level: str) -> str:
    words = {
        "change": "change",
        "page": "incident (page)",
        "attention": "alert (ticket)",
        "injected": "injected fault",
    }
    return words.get(level) or STATES[level].word


def runs_of_numbers(*columns: Any) -> list[slice]:
    """Stretches of rows where every column has a number, so that a band is never drawn across a gap."""
    known = ~pd.concat([pd.Series(list(column), dtype="float64").isna() for column in columns], axis=1).any(
        axis=1
    )
    runs: list[slice] = []
    begin: int | None = None
    for index, here in enumerate([*known, False]):
        if here and begin is None:
            begin = index
        elif not here and begin is not None:
            runs.append(slice(begin, index))
            begin = None
    return runs


def add_band(
    figure: go.Figure, x: pd.Series[Any], frame: pd.DataFrame, colour: str, *, legendgroup: str | None = None
) -> None:
    """An interval around a line, from `low` to `high` of `frame` at the places `x`, broken where either is missing."""
    for run in runs_of_numbers(frame["low"], frame["high"]):
        figure.add_trace(
            go.Scatter(
                x=[*x[run], *x[run][::-1]],
                y=[*frame["high"][run], *frame["low"][run][::-1]],
                fill="toself",
                fillcolor=faded(colour, 0.15),
                line={"width": 0},
                mode="lines",
                hoverinfo="skip",
                showlegend=False,
                legendgroup=legendgroup,
            )
        )
