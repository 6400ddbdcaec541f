"""What drives a version's predictions."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from app.charts.frame import empty_figure, new_figure
from app.formats import format_metric
from app.theme import MARK

DIRECTIONS = {"+": "higher raises it", "-": "higher lowers it", "mixed": "no one direction", "": ""}


def shap_summary(
    columns: Sequence[str],
    mean_abs: Sequence[float],
    *,
    direction: Sequence[str] | None = None,
    rows: int | None = None,
    unit: str = "log-odds",
    limit: int = 15,
) -> go.Figure:
    """Horizontal bars of mean |SHAP| in the unit of the model's output, strongest first.

    `direction` holds "+", "-", "mixed" or "" a column: what a higher value of it does to the prediction.
    Raises `ValueError` when the lengths differ.
    """
    ways = list(direction) if direction is not None else [""] * len(columns)
    if not len(columns) == len(mean_abs) == len(ways):
        raise ValueError(f"{len(columns)} columns, {len(mean_abs)} values, {len(ways)} directions")
    if not columns:
        return empty_figure("No explanation stored for this version", "Start “Explain” from Jobs.")
    ranked = sorted(zip(columns, mean_abs, ways, strict=True), key=lambda row: row[1], reverse=True)
    shown = ranked[:limit]
    figure = new_figure(64 + 24 * len(shown))
    figure.add_trace(
        go.Bar(
            y=[row[0] for row in shown],
            x=[row[1] for row in shown],
            orientation="h",
            marker={"color": MARK["current"], "line": {"width": 0}},
            text=[
                " " + format_metric(value) + (f"  {DIRECTIONS[way]}" if DIRECTIONS.get(way) else "")
                for _, value, way in shown
            ],
            textposition="outside",
            textfont={"size": 11},
            cliponaxis=False,
            hovertemplate=f"<b>%{{y}}</b><br>mean |SHAP|%{{text}} ({unit})<extra></extra>",
        )
    )
    title = f"mean |SHAP|, {unit}"
    if rows is not None:
        title += f", {rows:,} rows"
    if len(ranked) > len(shown):
        title += f"; {len(ranked) - len(shown)} weaker columns not drawn"
    figure.update_xaxes(
        title={"text": title, "font": {"size": 11}, "standoff": 14},
        showticklabels=False,
        range=[0, (shown[0][1] or 1.0) * (1.5 if direction is not None else 1.15)],
    )
    figure.update_yaxes(autorange="reversed", showgrid=False, type="category", ticklabelstandoff=4)
    figure.update_layout(showlegend=False, margin_t=6, bargap=0.35)
    return figure
