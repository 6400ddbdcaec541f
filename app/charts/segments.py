"""Small multiples: one metric, or one column, in each segment of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from app.charts.distributions import coarsen
from app.charts.frame import Ends, empty_figure, local_times, name_time_axis, span_range, when_texts
from app.charts.grid import PER_ROW, panels
from app.charts.marks import NOTHING, Happened, mark_time
from app.charts.verdicts import verdict_level
from app.formats import HOVER, TICK_SHARE, format_count, format_metric, format_share
from app.theme import MARK, STATES, faded

MOST = 12
CATEGORIES = 6


def segments_figure(
    points: pd.DataFrame, *, metric: str = "AUC", tz: str | None = None, per_row: int = PER_ROW,
    happened: Happened = NOTHING, ends: Ends | None = None,
) -> go.Figure:  # fmt: skip
    """A metric over time in each segment, on one scale, in the order of `points`; at most `MOST` segments.

    `points` has segment, window_start (UTC-aware), value, reference_value, verdict, rows. A window without a value is
    a gap. Alarms carry their shape; the dashed line is what the segment showed in the reference.
    """
    if points.empty or points["value"].isna().all():
        return empty_figure(
            "No segment has a figure yet", "Segments need labels, and enough rows in a window of their own."
        )
    names = list(dict.fromkeys(points["segment"]))[:MOST]
    figure, places = panels([_latest(points, name) for name in names], per_row=per_row, height=150)
    figure.update_xaxes(matches="x")
    figure.update_yaxes(matches="y")
    for name, place in zip(names, places, strict=True):
        mine = points[points["segment"] == name].sort_values("window_start").reset_index(drop=True)
        x = local_times(mine["window_start"], tz)
        detail = [
            [when, format_metric(value), format_metric(reference), format_count(rows)]
            for when, value, reference, rows in zip(
                when_texts(mine["window_start"], tz), mine["value"], mine["reference_value"], mine["rows"], strict=True
            )
        ]  # fmt: skip
        hover = (
            f"<b>{name}</b><br>{metric} %{{customdata[1]}} (reference %{{customdata[2]}})<br>%{{customdata[3]}} rows"
            "<br>window from %{customdata[0]}<extra></extra>"
        )
        line = {"color": MARK["reference"], "width": 1, "dash": "dash", "shape": "hvh"}
        figure.add_trace(
            go.Scatter(x=x, y=mine["reference_value"], mode="lines", line=line, hoverinfo="skip"), **place
        )
        figure.add_trace(
            go.Scatter(
                x=x,
                y=mine["value"],
                mode="lines+markers",
                connectgaps=False,
                line={"color": MARK["realised"], "width": 1.5},
                marker={"size": 4},
                customdata=detail,
                hovertemplate=hover,
            ),
            **place,
        )
        level = mine["verdict"].map(verdict_level)
        alarm = level.isin(["attention", "page"]) & mine["value"].notna()
        if alarm.any():
            figure.add_trace(
                go.Scatter(
                    x=x[alarm],
                    y=mine["value"][alarm],
                    mode="markers",
                    hoverinfo="skip",
                    marker={
                        "symbol": [STATES[one].symbol for one in level[alarm]],
                        "size": 9,
                        "color": [MARK[one] for one in level[alarm]],
                    },
                ),
                **place,
            )
    mark_time(figure, happened, points["window_start"], tz, panels=len(places), ends=ends)
    span_range(figure, ends, tz)
    name_time_axis(figure, tz, points["window_start"].max())
    figure.update_xaxes(title=None, nticks=4, tickangle=0)
    figure.update_layout(showlegend=False, margin={"t": 34, "b": 30})
    return figure


def _latest(points: pd.DataFrame, segment: str) -> str:
    known = points[(points["segment"] == segment) & points["value"].notna()].sort_values("window_start")
    return f"{segment}: {format_metric(known['value'].iloc[-1])}" if len(known) else f"{segment}: not known"


def segment_distributions(parts: Mapping[str, Mapping[str, Any]], *, per_row: int = PER_ROW) -> go.Figure:
    """One column in each segment of a window, the segment's reference beside it.

    `parts` are profiles in the layout of `distribution_figure` by segment. Numbers share one scale, cut to where most
    rows are; categories show the most frequent ones.
    """
    if not parts:
        return empty_figure(
            "No segment has been counted", "Name columns under `segments` in the model's spec."
        )
    names = list(parts)[:MOST]
    figure, places = panels(names, per_row=per_row, height=170)
    numeric = next(iter(parts.values()))["kind"] == "numeric"
    labels = [] if numeric else _most_frequent(list(parts.values()))
    for index, (name, place) in enumerate(zip(names, places, strict=True)):
        if numeric:
            _draw_numbers(figure, parts[name], name, place, legend=index == 0)
        else:
            _draw_categories(figure, parts[name], labels, name, place, legend=index == 0)
    if numeric:
        figure.update_xaxes(matches="x", range=_middle(list(parts.values())))
        figure.update_yaxes(showticklabels=False, rangemode="tozero")
    else:
        figure.update_yaxes(tickformat=TICK_SHARE, rangemode="tozero")
    figure.update_layout(showlegend=True, margin={"t": 34, "b": 66}, barmode="group")
    return figure


def _draw_numbers(
    figure: go.Figure, part: Mapping[str, Any], name: str, place: dict[str, int], *, legend: bool
) -> None:
    edges, series = coarsen(part["edges"], part["reference"], part["current"], parts=30)
    width = np.maximum(np.diff(edges), np.finfo(float).tiny)
    for key, word, shares in zip(("reference", "current"), ("reference", "this window"), series, strict=True):
        density = shares / width
        figure.add_trace(
            go.Scatter(
                x=edges,
                y=[*density, density[-1]],
                mode="lines",
                name=word,
                legendgroup=key,
                showlegend=legend,
                line={
                    "shape": "hv",
                    "color": MARK[key],
                    "width": 1.5,
                    "dash": "4px,2px" if key == "reference" else "solid",
                },
                fill="tozeroy" if key == "current" else None,
                fillcolor=faded(MARK[key], 0.12),
                customdata=[format_share(share) for share in [*shares, shares[-1]]],
                hovertemplate=f"<b>{word}</b>, {name}: %{{customdata}} of rows from %{{x:{HOVER}}}<extra></extra>",
            ),
            **place,
        )


def _most_frequent(parts: Sequence[Mapping[str, Any]]) -> list[str]:
    """The categories to draw, in one order for all segments."""
    shares: dict[str, float] = {}
    for part in parts:
        for label, reference, current in zip(part["labels"], part["reference"], part["current"], strict=True):
            shares[str(label)] = shares.get(str(label), 0.0) + max(reference, current)
    return sorted(shares, key=lambda label: (-shares[label], label))[:CATEGORIES]


def _draw_categories(
    figure: go.Figure,
    part: Mapping[str, Any],
    labels: Sequence[str],
    name: str,
    place: dict[str, int],
    *,
    legend: bool,
) -> None:
    known = {
        str(label): (str(label), reference, current)
        for label, reference, current in zip(part["labels"], part["reference"], part["current"], strict=True)
    }
    ranked = [known.get(label, (label, 0.0, 0.0)) for label in labels]
    for side, (key, word) in enumerate((("reference", "reference"), ("current", "this window")), start=1):
        shares = [float(row[side]) for row in ranked]
        figure.add_trace(
            go.Bar(
                x=[str(row[0]) for row in ranked],
                y=shares,
                name=word,
                legendgroup=key,
                showlegend=legend,
                marker={"color": faded(MARK[key], 0.35 if key == "reference" else 1.0)},
                customdata=[format_share(share) for share in shares],
                hovertemplate=f"<b>{word}</b>, {name}: %{{customdata}} of rows are %{{x}}<extra></extra>",
            ),
            **place,
        )
    figure.update_xaxes(type="category", **place)


def _middle(parts: Sequence[Mapping[str, Any]]) -> list[float] | None:
    """From the 0.5th to the 99.5th percentile over all of them, so that a tail squeezes none."""
    edges = np.asarray(parts[0]["edges"], dtype=float)
    mass = np.sum([np.asarray(part[key]) for part in parts for key in ("reference", "current")], axis=0)
    if mass.sum() <= 0:
        return None
    filled = np.cumsum(mass) / mass.sum()
    low, high = np.searchsorted(filled, [0.005, 0.995])
    return [float(edges[low]), float(edges[min(high + 1, edges.size - 1)])]
