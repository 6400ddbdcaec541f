"""What a trainer writes while it learns: one figure a metric, training and validation rows in one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import plotly.graph_objects as go

from app.charts.frame import new_figure
from app.formats import format_metric
from app.theme import MARK

SIDES: Final = {
    "valid": ("validation rows", "realised", "solid"),
    "train": ("training rows", "reference", "dot"),
}
MOST: Final = 4
FIRST: Final = ("log_loss", "loss", "roc_auc", "rmse", "accuracy")


def curve_figures(points: Sequence[Mapping[str, Any]]) -> dict[str, go.Figure]:
    """Metric -> figure over the trainer's steps; the metrics that people ask for first, at most four of them."""
    series: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for point in points:
        for name, value in (point.get("metrics") or {}).items():
            side, _, metric = name.partition("_") if name.split("_")[0] in SIDES else ("valid", "", name)
            if isinstance(value, int | float):
                series.setdefault(metric, {}).setdefault(side, []).append(
                    (float(point.get("step", 0)), float(value))
                )
    ordered = sorted(series, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name))
    return {name: _figure(name, series[name]) for name in ordered[:MOST]}


def _figure(metric: str, sides: Mapping[str, Sequence[tuple[float, float]]]) -> go.Figure:
    figure = new_figure(220)
    for side, (word, mark, dash) in SIDES.items():
        known = sides.get(side, ())
        if not known:
            continue
        figure.add_trace(
            go.Scatter(
                x=[step for step, _ in known], y=[value for _, value in known], name=word,
                mode="lines+markers" if len(known) < 30 else "lines",
                line={"color": MARK[mark], "width": 2, "dash": dash}, marker={"size": 5},
                customdata=[format_metric(value) for _, value in known],
                hovertemplate=f"<b>%{{customdata}}</b><br>{word}, step %{{x}}<extra></extra>",
            )
        )  # fmt: skip
    figure.update_xaxes(title={"text": "step of the trainer", "standoff": 2, "font": {"size": 11}})
    figure.update_layout(showlegend=len(figure.data) > 1, margin={"b": 36})
    return figure
