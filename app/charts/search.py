"""Trials of a search in their order: what each came to, and the best so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import plotly.graph_objects as go

from app.charts.frame import new_figure
from app.formats import format_metric
from app.theme import MARK

SHAPES: Final = {"complete": ("ran to its end", "circle"), "pruned": ("ended early", "circle-open")}


def trials_figure(trials: Sequence[Mapping[str, Any]], *, metric: str, upwards: bool) -> go.Figure | None:
    """None before any trial has a value. What was ended early is drawn at the value it had then."""
    known = [one for one in trials if one["value"] is not None]
    if not known:
        return None
    figure = new_figure(240)
    for state, (word, symbol) in SHAPES.items():
        rows = [one for one in known if one["state"] == state]
        if rows:
            figure.add_trace(
                go.Scatter(
                    x=[one["number"] for one in rows], y=[one["value"] for one in rows], name=word, mode="markers",
                    marker={"symbol": symbol, "size": 8, "color": MARK["reference"]},
                    customdata=[[format_metric(one["value"]), words_of(one["parameters"])] for one in rows],
                    hovertemplate="<b>%{customdata[0]}</b><br>trial %{x}<br>%{customdata[1]}<extra></extra>",
                )
            )  # fmt: skip
    best = _best_so_far(known, upwards=upwards)
    if best:
        figure.add_trace(
            go.Scatter(
                x=[number for number, _ in best], y=[value for _, value in best], name="best so far", mode="lines",
                line={"color": MARK["realised"], "width": 2, "shape": "hv"}, hoverinfo="skip",
            )
        )  # fmt: skip
    figure.update_xaxes(
        title={"text": "trial", "standoff": 2, "font": {"size": 11}}, dtick=1 if len(trials) < 15 else None
    )
    figure.update_layout(showlegend=True, margin={"b": 36})
    return figure


def words_of(parameters: Mapping[str, Any]) -> str:
    """`learning_rate 0.08, max_iter 200`."""
    return ", ".join(
        f"{name} {format_metric(value)}" if isinstance(value, float) else f"{name} {value}"
        for name, value in sorted(parameters.items())
    )


def _best_so_far(known: Sequence[Mapping[str, Any]], *, upwards: bool) -> list[tuple[int, float]]:
    better, found = (max if upwards else min), []
    for one in (one for one in known if one["state"] == "complete"):
        found.append((one["number"], better([one["value"], *(value for _, value in found[-1:])])))
    return found
