"""Small multiples of fairness: each figure of every group over time, and each gap between groups with its bound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from app.charts.frame import (
    Ends,
    add_version_lines,
    empty_figure,
    local_times,
    name_time_axis,
    span_range,
    when_texts,
)
from app.charts.grid import panels
from app.charts.verdicts import verdict_level
from app.formats import format_count, format_metric
from app.theme import GROUPS, MARK, STATES, faded

MOST = 6
"""So many groups are drawn; a table has every one."""
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
HEIGHT = 185


def groups_figure(
    points: pd.DataFrame, titles: Mapping[str, str], *, least: int, tz: str | None = None,
    switches: Sequence[tuple[datetime, str]] = (), ends: Ends | None = None,
) -> go.Figure:  # fmt: skip
    """Figures of groups, a panel for each of `titles` ({statistic: title}) and a line for each group, with its band.

    points  segment, statistic, window_start (UTC-aware), value, low, high, rows
    least   a value of fewer rows is left out: it would fill the panel with its interval, and is never judged
    """
    points = points[(points["rows"] >= least) | points["value"].isna()]
    known = points[points["value"].notna()]
    shown = {name: title for name, title in titles.items() if (known["statistic"] == name).any()}
    if not shown:
        return empty_figure("No group has a figure yet", "Groups are counted when their window is computed.")
    names = groups_drawn(points)
    figure, places = panels(list(shown.values()), height=HEIGHT, between=92)
    for statistic, place in zip(shown, places, strict=True):
        for group, colour, dash in zip(names, GROUPS, DASHES, strict=False):
            mine = points[(points["statistic"] == statistic) & (points["segment"] == group)]
            if mine["value"].notna().any():
                _draw_band(figure, mine, tz, colour, place)
                first = statistic == next(iter(shown))
                _draw_group(figure, mine, tz, (colour, dash), first=first, place=place)
    return _finish(figure, points, tz, switches, places, ends)


def gaps_figure(
    points: pd.DataFrame, titles: Mapping[str, str], *, tz: str | None = None,
    switches: Sequence[tuple[datetime, str]] = (), ends: Ends | None = None,
) -> go.Figure:  # fmt: skip
    """Gaps between groups, a panel for each of `titles` ({statistic: title}), with band, bound and alarms.

    points  statistic, window_start (UTC-aware), value, low, high, threshold, verdict, level, rows, text
    """
    known = points[points["value"].notna()]
    shown = {name: title for name, title in titles.items() if (known["statistic"] == name).any()}
    if not shown:
        return empty_figure("No gap is known yet", "A gap needs two groups with enough rows in one window.")
    figure, places = panels(list(shown.values()), height=HEIGHT, between=92)
    for statistic, place in zip(shown, places, strict=True):
        mine = points[points["statistic"] == statistic].sort_values("window_start").reset_index(drop=True)
        _draw_band(figure, mine, tz, MARK["realised"], place)
        x = local_times(mine["window_start"], tz)
        bound = {"color": MARK["reference"], "width": 1, "dash": "dash"}
        figure.add_trace(
            go.Scatter(x=x, y=mine["threshold"], mode="lines", line=bound, hoverinfo="skip", showlegend=False), **place
        )  # fmt: skip
        figure.add_trace(
            go.Scatter(
                x=x, y=mine["value"], mode="lines+markers", connectgaps=False, showlegend=False,
                line={"color": MARK["realised"], "width": 1.5}, marker={"size": 4},
                customdata=_details(mine, tz),
                hovertemplate="<b>%{customdata[1]}</b> (95 % %{customdata[2]})<br>%{customdata[3]} rows"
                "<br>window from %{customdata[0]}<extra></extra>",
            ),
            **place,
        )  # fmt: skip
        _draw_alarms(figure, mine, x, place)
    return _finish(figure, points, tz, switches, places, ends)


def groups_drawn(points: pd.DataFrame) -> list[str]:
    """The groups with most rows, and those at either end of the newest selection rates, in the order of their names;
    rare and missing values are no groups."""
    rates = points[(points["statistic"] == "selection_rate") & points["value"].notna()]
    rates = rates[~rates["segment"].str.endswith(("=other", "=missing"))]
    newest = rates[rates["window_start"] == rates["window_start"].max()].sort_values("value")["segment"]
    largest = rates.groupby("segment")["rows"].sum().sort_values(ascending=False).index
    return sorted(list(dict.fromkeys([*newest.iloc[[0, -1]], *largest]))[:MOST])


def _draw_group(
    figure: go.Figure, mine: pd.DataFrame, tz: str | None, look: tuple[str, str], *, first: bool,
    place: dict[str, int],
) -> None:  # fmt: skip
    mine = mine.sort_values("window_start").reset_index(drop=True)
    group, (colour, dash) = str(mine["segment"].iloc[0]), look
    figure.add_trace(
        go.Scatter(
            x=local_times(mine["window_start"], tz), y=mine["value"], mode="lines+markers", connectgaps=False,
            name=group, legendgroup=group, showlegend=first,
            line={"color": colour, "width": 1.5, "dash": dash},
            marker={"size": 4, "color": colour},
            customdata=_details(mine, tz),
            hovertemplate=f"<b>{group}: %{{customdata[1]}}</b> (95 % %{{customdata[2]}})<br>%{{customdata[3]}} rows"
            "<br>window from %{customdata[0]}<extra></extra>",
        ),
        **place,
    )  # fmt: skip


def _draw_band(
    figure: go.Figure, mine: pd.DataFrame, tz: str | None, colour: str, place: dict[str, int]
) -> None:
    """The interval of each stretch of windows that have one."""
    mine = mine.sort_values("window_start")
    known = mine["low"].notna() & mine["high"].notna()
    for _, part in mine[known].groupby((~known).cumsum()[known]):
        x = list(local_times(part["window_start"], tz))
        figure.add_trace(
            go.Scatter(
                x=[*x, *x[::-1]], y=[*part["high"], *part["low"][::-1]], fill="toself", fillcolor=faded(colour, 0.12),
                line={"width": 0}, mode="lines", hoverinfo="skip", showlegend=False,
            ),
            **place,
        )  # fmt: skip


def _draw_alarms(figure: go.Figure, mine: pd.DataFrame, x: Any, place: dict[str, int]) -> None:
    level = mine["verdict"].map(verdict_level)
    alarm = level.isin(["attention", "page"]) & mine["value"].notna()
    if not alarm.any():
        return
    figure.add_trace(
        go.Scatter(
            x=x[alarm], y=mine["value"][alarm], mode="markers", hoverinfo="skip", showlegend=False, cliponaxis=False,
            marker={"symbol": [STATES[one].symbol for one in level[alarm]], "size": 9,
                    "color": [MARK[one] for one in level[alarm]]},
        ),
        **place,
    )  # fmt: skip


def _details(mine: pd.DataFrame, tz: str | None) -> list[list[str]]:
    return [
        [when, format_metric(value),
         f"{format_metric(low)} to {format_metric(high)}" if pd.notna(low) else "not known", format_count(rows)]
        for when, value, low, high, rows in zip(
            when_texts(mine["window_start"], tz), mine["value"], mine["low"], mine["high"], mine["rows"], strict=True
        )
    ]  # fmt: skip


def _finish(
    figure: go.Figure, points: pd.DataFrame, tz: str | None, switches: Sequence[tuple[datetime, str]],
    places: Sequence[dict[str, int]], ends: Ends | None,
) -> go.Figure:  # fmt: skip
    span = local_times(ends or points["window_start"], tz)
    add_version_lines(figure, switches, tz, (span.min(), span.max()), panels=len(places))
    name_time_axis(figure, tz, points["window_start"].max())
    figure.update_xaxes(title=None, nticks=4, tickangle=0, matches="x")
    figure.update_layout(margin={"t": 30, "b": 46})
    span_range(figure, ends, tz)
    return figure
