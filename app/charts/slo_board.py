"""An objective over time in lanes on one axis: what was good, what is left, how fast it burns, how many events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import plotly.graph_objects as go

from app.charts.frame import (
    GRID,
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
)
from app.charts.marks import NOTHING, ROW_PX, Happened
from app.formats import TICK_FINE, TICK_SHARE, format_count, format_fine_share, format_metric, format_when
from app.theme import MARK, STATES, faded

HEIGHT_PX = 660
TOPS: tuple[tuple[float, float], ...] = ((0.8, 1.0), (0.56, 0.74), (0.33, 0.5), (0.14, 0.27), (0.0, 0.09))
"""From where to where each lane goes, of the height of the plot."""
ROWS = ("incidents", "alerts", "left out")
"""What the lowest lane has, from above; its places are 2, 1 and 0."""
TITLE_SHIFT = 1
APART = 0.14
"""Words of two lines that are nearer, as a share of their lane, would lie over one another: the upper one speaks."""


@dataclass(frozen=True)
class Step:
    """What was counted in [since, until), and the budget at its end. None: nothing is known.

    sli, left  shares of one; left is below zero where the budget is overspent
    burn       how many times faster than allowed the budget went in it
    said       its events in words
    """

    since: datetime
    until: datetime
    sli: float | None
    left: float | None
    burn: float | None
    good: float = 0.0
    bad: float = 0.0
    said: str = ""


@dataclass(frozen=True)
class Fired:
    """An alert, as long as it fired; `until` is None while it does. level: page | attention."""

    since: datetime
    until: datetime | None
    text: str
    level: str


def slo_board(
    steps: Sequence[Step],
    *,
    target: float,
    ends: Ends,
    pages_above: Sequence[tuple[float, str]] = (),
    exhausted_at: datetime | None = None,
    excluded: Sequence[tuple[datetime, datetime, str]] = (),
    alerts: Sequence[Fired] = (),
    tz: str | None = None,
    happened: Happened = NOTHING,
) -> go.Figure:
    """Lanes that share one cursor. A step without events is a gap in them, never zero.

    ends          from when to when the axis goes; a forecast adds up to a third of that
    pages_above   (how many times faster than allowed, over which windows) of each row that pages
    exhausted_at  where a forecast from the last known budget leads to
    excluded      (start, end, reason) of time that does not count
    """
    if not any(one.sli is not None or one.left is not None for one in steps):
        return empty_figure(
            "No event was counted in this range",
            "Its first minute with a request or a judged window shows it.",
        )
    figure = new_figure(HEIGHT_PX)
    _sli(figure, steps, target, tz)
    shown = _budget(figure, steps, ends, exhausted_at, tz)
    _burn(figure, steps, [one for one in pages_above if one[0] > 0], tz)
    _events(figure, steps, tz)
    _lane_of_marks(figure, happened.marks, alerts, excluded, shown, tz)
    for place, (low, high) in enumerate(TOPS):
        figure.update_layout({f"yaxis{_number(place)}": {"domain": [low, high], "anchor": "x"}})
    rows = add_version_switches(
        figure, happened.deployments, tz, (local_time(shown[0], tz), local_time(shown[1], tz))
    )
    name_time_axis(figure, tz, steps[-1].until)
    figure.update_xaxes(range=[local_time(one, tz) for one in shown], anchor="y5", domain=[0, 1])
    share_cursor(figure, len(TOPS))
    figure.update_layout(margin={"t": 30 + ROW_PX * rows, "b": 76}, barmode="stack", bargap=0)
    for one in figure.layout.annotations:
        if (
            one.y == 1 and one.yshift > TITLE_SHIFT
        ):  # a version's name stands above the name of the first lane
            one.yshift += 18
    return figure


def _number(place: int) -> str:
    return "" if place == 0 else str(place + 1)


def _within(step: Step, tz: str | None) -> str:
    return f"{format_when(step.since, tz)}<br>to {format_when(step.until, tz)}"


def _name_lane(figure: go.Figure, place: int, text: str) -> None:
    figure.add_annotation(
        text=text, x=0, xref="paper", y=TOPS[place][1], yref="paper", yshift=TITLE_SHIFT, showarrow=False,
        xanchor="left", yanchor="bottom", font={"size": 12},
    )  # fmt: skip


def _line(
    figure: go.Figure, steps: Sequence[Step], values: Sequence[float | None], texts: Sequence[str], name: str,
    place: int, tz: str | None,
) -> None:  # fmt: skip
    figure.add_trace(
        go.Scatter(
            x=local_times([one.until for one in steps], tz), y=list(values), mode="lines+markers", name=name,
            connectgaps=False, line={"color": MARK["realised"], "width": 1.5},
            marker={"size": point_sizes(values), "line": {"width": 0}},
            yaxis=f"y{_number(place)}", showlegend=False, customdata=list(texts),
            hovertemplate="%{customdata}<extra></extra>",
        )
    )  # fmt: skip


def _beyond(
    figure: go.Figure, steps: Sequence[Step], values: Sequence[float | None], level: str, name: str, place: int,
    tz: str | None,
) -> None:  # fmt: skip
    """The same points again with the shape of a state, where they are beyond a line."""
    if steps:
        figure.add_trace(
            go.Scatter(
                x=local_times([one.until for one in steps], tz), y=list(values), mode="markers", name=name,
                yaxis=f"y{_number(place)}", hoverinfo="skip",
                marker={"color": MARK[level], "symbol": STATES[level].symbol, "size": 6},
            )
        )  # fmt: skip


def _level_line(
    figure: go.Figure, place: int, y: float, colour: str, text: str, *, yanchor: str = "bottom"
) -> None:
    axis = f"y{_number(place)}"
    figure.add_shape(
        type="line", x0=0, x1=1, xref="paper", y0=y, y1=y, yref=axis,
        line={"color": colour, "width": 1, "dash": "dash"},
    )  # fmt: skip
    if text:
        figure.add_annotation(
            text=text, x=1, xref="paper", y=y, yref=axis, showarrow=False, xanchor="right", yanchor=yanchor,
            font={"size": 11}, borderpad=1,
        )  # fmt: skip


def _sli(figure: go.Figure, steps: Sequence[Step], target: float, tz: str | None) -> None:
    values = [one.sli for one in steps]
    texts = [f"<b>{format_fine_share(one.sli)}</b> good: {one.said}<br>{_within(one, tz)}" for one in steps]
    _line(figure, steps, values, texts, "good of all events", 0, tz)
    below = [one for one in steps if one.sli is not None and one.sli < target]
    _beyond(figure, below, [one.sli for one in below], "attention", "below the target", 0, tz)
    lowest = min([target, *(one for one in values if one is not None)])
    room = max((1 - lowest) * 0.15, 1e-5)
    _level_line(figure, 0, target, MARK["reference"], f"target {format_fine_share(target)}", yanchor="top")
    figure.update_layout(
        yaxis={"range": [max(lowest - room, -0.02), 1 + room], "tickformat": TICK_FINE, "nticks": 4}
    )
    _name_lane(figure, 0, "SLI: good of all events")


def _budget(
    figure: go.Figure, steps: Sequence[Step], ends: Ends, exhausted_at: datetime | None, tz: str | None
) -> Ends:
    """The second lane; gives from when to when the axis goes with the forecast."""
    values = [one.left for one in steps]
    texts = [f"<b>{_left_words(one.left)}</b><br>at {format_when(one.until, tz)}" for one in steps]
    _line(figure, steps, values, texts, "budget left", 1, tz)
    known = [(one.until, one.left) for one in steps if one.left is not None]
    shown = ends
    if known and exhausted_at is not None and known[-1][1] > 0 and exhausted_at > known[-1][0]:
        shown = _forecast(figure, known[-1], ends, exhausted_at, tz)
    lowest = min((left for _, left in known), default=0.0)
    if lowest < 0.3:
        _level_line(figure, 1, 0, MARK["page"], "gone", yanchor="top")
    figure.update_layout(
        yaxis2={
            "range": [min(-0.08, lowest * 1.1), 1.08], "tickformat": TICK_SHARE, "nticks": 4, "showgrid": True,
            "gridcolor": GRID, "zeroline": False, "automargin": True,
        }
    )  # fmt: skip
    _name_lane(figure, 1, "error budget left")
    return shown


def _left_words(left: float | None) -> str:
    if left is None:
        return "not known"
    return f"{format_fine_share(left)} left" if left >= 0 else f"overspent by {format_fine_share(-left)}"


def _forecast(
    figure: go.Figure, last: tuple[datetime, float], ends: Ends, exhausted_at: datetime, tz: str | None
) -> Ends:
    """A dashed line to where the budget is gone, or as far as the axis goes."""
    at, left = last
    edge = min(exhausted_at, ends[1] + (ends[1] - ends[0]) / 3)
    part = (edge - at) / (exhausted_at - at)
    text = f"at the present rate gone<br>{format_when(exhausted_at, tz)}"
    figure.add_trace(
        go.Scatter(
            x=[local_time(at, tz), local_time(edge, tz)], y=[left, left * (1 - part)], mode="lines+markers",
            name="at the present rate", yaxis="y2", customdata=[text, text],
            line={"color": MARK["page"], "width": 1.5, "dash": "dash"},
            marker={"symbol": "square", "size": [1, 7 if edge == exhausted_at else 1], "line": {"width": 0}},
            hovertemplate="%{customdata}<extra></extra>",
        )
    )  # fmt: skip
    return ends[0], max(ends[1], edge)


def _burn(
    figure: go.Figure, steps: Sequence[Step], pages_above: Sequence[tuple[float, str]], tz: str | None
) -> None:
    values = [one.burn for one in steps]
    texts = [f"<b>{format_metric(one.burn)}×</b> the allowed rate" for one in steps]
    _line(figure, steps, values, texts, "times the allowed rate", 2, tz)
    if pages_above:
        lowest = min(factor for factor, _ in pages_above)
        above = [one for one in steps if one.burn is not None and one.burn > lowest]
        _beyond(figure, above, [one.burn for one in above], "page", "above a factor that pages", 2, tz)
    top = max([1.0, *(one for one in values if one is not None), *(one for one, _ in pages_above)]) * 1.2
    written = None
    for factor, windows in sorted(pages_above, reverse=True):
        tells = written is None or written - factor > APART * top
        written = factor if tells else written
        _level_line(
            figure,
            2,
            factor,
            MARK["page"],
            f"pages above {format_metric(factor)}× {windows}" if tells else "",
        )
    figure.update_layout(
        yaxis3={
            "range": [-0.03 * top, top], "nticks": 4, "showgrid": True, "gridcolor": GRID, "zeroline": False,
            "automargin": True,
        }
    )  # fmt: skip
    lengths = {one.until - one.since for one in steps[:-1]}
    of_each = f", per {_length_words(max(lengths))}" if lengths else ""
    _name_lane(figure, 2, f"burn rate, × the allowed{of_each}")


def _length_words(length: timedelta) -> str:
    seconds = length.total_seconds()
    for unit, size in (("d", 86_400), ("h", 3600)):
        if seconds >= size:
            return (
                format_metric(seconds / size, unit)
                if seconds % size
                else f"{format_count(seconds / size)} {unit}"
            )
    return f"{format_count(seconds / 60)} min"


def _events(figure: go.Figure, steps: Sequence[Step], tz: str | None) -> None:
    """Bad ones stand on the axis, so that few of them are seen; a step in which nothing was counted has no bar."""
    counted = [one for one in steps if one.good + one.bad > 0]
    wide = [(one.until - one.since).total_seconds() * 1000 for one in counted]
    bad = {"color": MARK["attention"], "pattern": {"shape": "/", "size": 5}}
    good = {"color": faded(MARK["reference"], 0.55)}
    for name, values, marker in (
        ("bad events", [one.bad for one in counted], bad),
        ("good events", [one.good for one in counted], good),
    ):
        figure.add_trace(
            go.Bar(
                x=local_times([one.until for one in counted], tz), y=values, width=wide,
                offset=[-one for one in wide], name=name, yaxis="y4", marker=marker,
                customdata=[f"{format_count(one)} {name.split()[0]}" for one in values],
                hovertemplate="%{customdata}<extra></extra>",
            )
        )  # fmt: skip
    most = max((one.good + one.bad for one in counted), default=0)
    figure.update_layout(
        yaxis4={
            "rangemode": "tozero", "nticks": 3, "dtick": 1 if most < 4 else None,
            "showgrid": True, "gridcolor": GRID, "zeroline": False,
            "automargin": True,
        }
    )  # fmt: skip
    _name_lane(figure, 3, "events")


def _lane_of_marks(
    figure: go.Figure, marks: Sequence[Mark], alerts: Sequence[Fired],
    excluded: Sequence[tuple[datetime, datetime, str]], shown: Ends, tz: str | None,
) -> None:  # fmt: skip
    """Incidents as their shapes, alerts as long as they fired, and what does not count, also as a band through all."""
    first, last = shown
    # Without a point of its own an axis is not drawn, and its rows say that there was none.
    figure.add_trace(go.Scatter(x=[None], y=[None], yaxis="y5", showlegend=False, hoverinfo="skip"))
    figure.update_layout(
        yaxis5={
            "range": [-0.6, 2.6], "tickvals": [2, 1, 0], "ticktext": list(ROWS), "showgrid": True, "gridcolor": GRID,
            "zeroline": False, "automargin": True, "tickfont": {"size": 10}, "fixedrange": True,
        }
    )  # fmt: skip
    for level in dict.fromkeys(one.level for one in marks):
        here = [one for one in marks if one.level == level and first <= one.at <= last]
        _shapes(figure, [(one.at, one.text) for one in here], level, 2, "incident", tz)
    for level in dict.fromkeys(one.level for one in alerts):
        fired = [one for one in alerts if one.level == level and one.since < last]
        spans = [(max(one.since, first), min(one.until or last, last), one.text) for one in fired]
        word = "pages" if level == "page" else "tickets"
        _spans(figure, spans, MARK[level], 1, word, tz, symbol=STATES[level].symbol)
    cut = [
        (max(start, first), min(end, last), reason) for start, end, reason in excluded if end > first and start < last
    ]  # fmt: skip
    _spans(figure, cut, MARK["reference"], 0, "left out", tz)
    for start, end, _reason in cut:
        figure.add_shape(
            type="rect", x0=local_time(start, tz), x1=local_time(end, tz), y0=0, y1=1, yref="paper", line_width=0,
            fillcolor=faded(MARK["reference"], 0.22), layer="below",
        )  # fmt: skip


def _shapes(
    figure: go.Figure, points: Sequence[tuple[datetime, str]], level: str, row: int, word: str, tz: str | None
) -> None:
    if not points:
        return
    figure.add_trace(
        go.Scatter(
            x=[local_time(at, tz) for at, _ in points], y=[row] * len(points), mode="markers", name=word, yaxis="y5",
            showlegend=False, cliponaxis=False,
            marker={"symbol": STATES[level].symbol, "size": 9, "color": MARK[level]},
            customdata=[f"{text}<br>{format_when(at, tz)}" for at, text in points],
            hovertemplate="%{customdata}<extra></extra>",
        )
    )  # fmt: skip


def _spans(
    figure: go.Figure, spans: Sequence[tuple[datetime, datetime, str]], colour: str, row: int, word: str,
    tz: str | None, *, symbol: str = "line-ns",
) -> None:  # fmt: skip
    """Thick lines; each ends in a point without a value, so that the next is not joined to it."""
    if not spans:
        return
    x: list[datetime | None] = []
    said: list[str] = []
    for start, end, text in spans:
        told = f"{text}<br>{format_when(start, tz)}<br>to {format_when(end, tz)}"
        x += [local_time(start, tz), local_time(end, tz), None]
        said += [told, told, ""]
    figure.add_trace(
        go.Scatter(
            x=x, y=[row, row, None] * len(spans), mode="lines+markers", name=word, yaxis="y5", showlegend=False,
            cliponaxis=False, line={"color": colour, "width": 5}, customdata=said, connectgaps=False,
            marker={"symbol": [symbol, "line-ns", "line-ns"] * len(spans), "size": 8, "color": colour},
            hovertemplate="%{customdata}<extra></extra>",
        )
    )  # fmt: skip
