"""One column in one window against the reference, from stored counts (never from raw rows)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from app.charts.frame import empty_figure, new_figure
from app.formats import format_metric, format_share
from app.theme import MARK, faded

_OUTSIDE = (("underflow", "below"), ("overflow", "above"), ("null", "missing"))
_SERIES = (("reference", "reference"), ("current", "this window"))


def distribution_figure(
    profile: Mapping[str, Any], *, column: str, unit: str = "", names: tuple[str, str] | None = None
) -> go.Figure:
    """Reference and window side by side.

    `profile` is one of

        {"kind": "numeric", "edges": [e0 .. en], "reference": [n shares], "current": [n shares],
         "underflow": (ref, cur), "overflow": (ref, cur), "null": (ref, cur)}
        {"kind": "categorical", "labels": [n], "reference": [n shares], "current": [n shares],
         "unseen": [labels not in the reference], "other": (ref, cur), "null": (ref, cur)}

    Shares are of all rows, 0 to 1, so that missing values and outliers are part of the whole. The pairs may
    be left out. `names` are the two sides' words. Raises `ValueError` when the lengths do not fit.
    """
    kind = profile.get("kind")
    bins = len(profile["edges"]) - 1 if kind == "numeric" else len(profile["labels"])
    for key, _ in _SERIES:
        if len(profile[key]) != bins:
            raise ValueError(f"{column}: {len(profile[key])} {key} shares for {bins} bins")
    whole = {
        key: sum(profile[key]) + sum(_pair(profile, o)[i] for o, _ in _OUTSIDE)
        for i, (key, _) in enumerate(_SERIES)
    }
    if not any(whole.values()) and not any(_pair(profile, "other")):
        return empty_figure(
            f"No values of {column} in this window", "Choose another window or another column."
        )
    figure = _numeric(profile, column, unit) if kind == "numeric" else _categorical(profile)
    for (_, plain), name in zip(_SERIES, names or (), strict=False):
        figure.for_each_trace(lambda trace, name=name: trace.update(name=name), selector={"name": plain})
    return figure


def _pair(profile: Mapping[str, Any], key: str) -> tuple[float, float]:
    first, second = profile.get(key) or (0.0, 0.0)
    return float(first or 0.0), float(second or 0.0)


def coarsen(
    edges: Sequence[float], *shares: Sequence[float], parts: int = 40
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Merge neighbouring bins until each holds at least 1/`parts` of the mean share, or is left at the end.

    Stored profiles are finer than an eye needs: hundreds of bins draw as noise. A spike keeps its own narrow
    bin. Returns the new edges (m + 1) and each series' shares (m); sums are kept.
    """
    mean = np.mean([np.asarray(s, dtype=float) for s in shares], axis=0)
    need = mean.sum() / parts
    keep, gathered = [0], 0.0
    for index, share in enumerate(mean):
        alone = share >= need and gathered > 0
        if alone and edges[index] > edges[keep[-1]]:
            keep.append(index)
            gathered = 0.0
        gathered += share
        if gathered >= need and edges[index + 1] > edges[keep[-1]]:
            keep.append(index + 1)
            gathered = 0.0
    if keep[-1] != len(mean):
        if edges[-1] > edges[keep[-1]] or len(keep) == 1:
            keep.append(len(mean))
        else:
            keep[-1] = len(mean)
    starts = np.asarray(keep[:-1])
    return np.asarray(edges, dtype=float)[keep], [
        np.add.reduceat(np.asarray(s, dtype=float), starts) for s in shares
    ]


def _numeric(profile: Mapping[str, Any], column: str, unit: str) -> go.Figure:
    edges, series = coarsen(profile["edges"], profile["reference"], profile["current"])
    widths = np.maximum(np.diff(edges), np.finfo(float).tiny)
    outside = [(word, _pair(profile, key)) for key, word in _OUTSIDE]
    figure = new_figure(300)
    for (key, name), shares in zip(_SERIES, series, strict=True):
        density = shares / widths
        detail = [
            [format_metric(lo, unit), format_metric(hi, unit), format_share(s)]
            for lo, hi, s in zip(edges[:-1], edges[1:], shares, strict=True)
        ]
        figure.add_trace(
            go.Scatter(
                x=edges,
                y=[*density, density[-1]],
                mode="lines",
                name=name,
                legendgroup=key,
                customdata=[*detail, detail[-1]],
                line={
                    "shape": "hv",
                    "color": MARK[key],
                    "width": 1.5 if key == "reference" else 2,
                    "dash": "4px,2px" if key == "reference" else "solid",
                },
                fill="tozeroy" if key == "current" else None,
                fillcolor=faded(MARK[key], 0.12),
                hovertemplate=(
                    f"<b>{name}</b>: %{{customdata[2]}} of rows<br>{column} from %{{customdata[0]}} to "
                    "%{customdata[1]}<extra></extra>"
                ),
            )
        )
        side = 0 if key == "reference" else 1
        figure.add_trace(
            go.Bar(
                y=[word for word, _ in outside],
                x=[pair[side] for _, pair in outside],
                orientation="h",
                xaxis="x2",
                yaxis="y2",
                name=name,
                legendgroup=key,
                showlegend=False,
                text=[format_share(pair[side]) for _, pair in outside],
                textposition="outside",
                textfont={"size": 10},
                constraintext="none",
                cliponaxis=False,
                marker=_bar(key),
                hovertemplate=f"<b>{name}</b>: %{{text}} of rows %{{y}}<extra></extra>",
            )
        )
    top = max(0.02, *(max(pair) for _, pair in outside)) * 1.4
    figure.update_layout(
        xaxis={"domain": [0, 0.7], "title": {"text": column + (f", {unit}" if unit else ""), "standoff": 4}},
        yaxis={
            "title": {"text": "density of rows", "font": {"size": 11}},
            "rangemode": "tozero",
            "showticklabels": False,
        },
        xaxis2={"domain": [0.8, 1], "anchor": "y2", "visible": False, "range": [0, top]},
        yaxis2={
            "anchor": "x2",
            "showgrid": False,
            "autorange": "reversed",
            "ticklabelstandoff": 4,
            "ticks": "",
        },
        barmode="group",
        bargap=0.25,
        showlegend=True,
        margin={"t": 10, "b": 62},
    )
    figure.update_xaxes(title_font_size=11)
    _focus(figure, np.asarray(profile["edges"], dtype=float), (profile["reference"], profile["current"]))
    return figure


def _focus(figure: go.Figure, edges: np.ndarray, shares: Sequence[Sequence[float]]) -> None:
    """Start zoomed on the middle 98 % when tails would squeeze it; a double click shows all."""
    mean = np.mean(np.asarray(shares, dtype=float), axis=0)
    if mean.sum() <= 0:
        return
    cumulated = np.cumsum(mean) / mean.sum()
    low, high = int(np.searchsorted(cumulated, 0.01)), int(np.searchsorted(cumulated, 0.99))
    left, right = edges[low], edges[min(high + 1, len(edges) - 1)]
    if right > left and (edges[-1] - edges[0]) > 2 * (right - left):
        figure.update_layout(xaxis_range=[left, right])


def _bar(key: str) -> dict[str, Any]:
    if key == "reference":
        return {
            "color": faded(MARK[key], 0.25),
            "line": {"width": 1.5, "color": MARK[key]},
        }
    return {"color": MARK[key], "line": {"width": 0}}


def _categorical(profile: Mapping[str, Any]) -> go.Figure:
    unseen = {str(label) for label in profile.get("unseen") or ()}
    rows = [
        (f"{label} ◇ unseen" if str(label) in unseen else str(label), float(ref), float(cur))
        for label, ref, cur in zip(profile["labels"], profile["reference"], profile["current"], strict=True)
    ]
    rows.sort(key=lambda row: max(row[1], row[2]), reverse=True)
    for key, word in (("other", "all others"), ("null", "missing")):
        if any(_pair(profile, key)):
            rows.append((word, *_pair(profile, key)))
    figure = new_figure(70 + 30 * len(rows))
    for side, (key, name) in enumerate(_SERIES, start=1):
        shares = [float(row[side]) for row in rows]
        figure.add_trace(
            go.Bar(
                y=[row[0] for row in rows],
                x=shares,
                orientation="h",
                name=name,
                marker=_bar(key),
                text=[format_share(s) for s in shares],
                textposition="outside",
                textfont={"size": 10},
                constraintext="none",
                cliponaxis=False,
                hovertemplate=f"<b>{name}</b>: %{{text}} of rows are %{{y}}<extra></extra>",
            )
        )
    top = max(max(row[1], row[2]) for row in rows)
    figure.update_layout(barmode="group", bargap=0.25, bargroupgap=0, showlegend=True, margin_t=24)
    figure.update_layout(legend={"y": 1, "yref": "paper"})
    figure.update_xaxes(range=[0, top * 1.15], visible=False)
    figure.update_yaxes(autorange="reversed", showgrid=False, type="category", ticklabelstandoff=4)
    return figure
