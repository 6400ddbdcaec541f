"""A month of one metric in the height of a line of text."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Sequence

import plotly.graph_objects as go

from app.charts.frame import new_figure
from app.charts.verdicts import verdict_level
from app.formats import format_metric
from app.theme import MARK, STATES

SMALL = 0.65
"""The size of an alarm's shape beside that of the last point."""


def sparkline(values: Sequence[float | None], verdicts: Sequence[str] | None = None) -> go.Figure:
    """A line without axes; each alarm has its shape, and so has the last point."""
    figure = new_figure(36)
    figure.update_layout(margin={"l": 2, "r": 4, "t": 3, "b": 3}, showlegend=False)
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    figure.add_trace(
        go.Scatter(
            y=list(values),
            mode="lines",
            line={"color": MARK["current"], "width": 1.5},
            connectgaps=False,
            text=[format_metric(v) for v in values],
            hovertemplate="%{text}<extra></extra>",
        )
    )
    for level, points in _shapes(values, verdicts).items():
        figure.add_trace(
            go.Scatter(
                x=[i for i, _ in points],
                y=[v for _, v in points],
                mode="markers",
                hoverinfo="skip",
                cliponaxis=False,
                marker={
                    "symbol": STATES[level].symbol,
                    "size": 6,
                    "color": MARK[level] if level != "ok" else MARK["current"],
                },
            )
        )
    return figure


def _shapes(
    values: Sequence[float | None], verdicts: Sequence[str] | None
) -> dict[str, list[tuple[int, float]]]:
    known = [(i, float(v)) for i, v in enumerate(values) if v is not None and math.isfinite(v)]
    shapes: dict[str, list[tuple[int, float]]] = {}
    for index, value in known:
        level = verdict_level(verdicts[index]) if verdicts is not None else "ok"
        if level in ("attention", "page", "injected") or (index, value) == known[-1]:
            shapes.setdefault(level, []).append((index, value))
    return shapes


def sparkline_uri(
    values: Sequence[float | None],
    verdicts: Sequence[str] | None = None,
    *,
    width: int = 120,
    height: int = 24,
) -> str:
    """The same as a data: URI of an SVG, for an image column of a long table (a figure a row would be too
    heavy).
    """
    known = [v for v in values if v is not None and math.isfinite(v)]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    step = (width - 10) / max(len(values) - 1, 1)

    def place(index: int, value: float) -> tuple[float, float]:
        level = 0.5 if high == low else (value - low) / (high - low)
        return 4 + index * step, height - 4 - level * (height - 8)

    path, pen = [], "M"
    for index, value in enumerate(values):
        if value is None or not math.isfinite(value):
            pen = "M"
            continue
        x, y = place(index, value)
        path.append(f"{pen}{x:.1f} {y:.1f}")
        pen = "L"
    marks = []
    last = max((i for i, v in enumerate(values) if v is not None and math.isfinite(v)), default=None)
    for level, points in _shapes(values, verdicts).items():
        colour = MARK[level] if level != "ok" else MARK["current"]
        for index, value in points:
            x, y = place(index, value)
            marks.append(_svg_shape(level, x, y, colour, 1.0 if index == last else SMALL))
    line = (
        f'<path d="{" ".join(path)}" fill="none" stroke="{MARK["current"]}" stroke-width="1.5"/>'
        if path
        else ""
    )
    size = f'width="{width}" height="{height}"'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{line}{"".join(marks)}</svg>'
    return "data:image/svg+xml;base64," + b64encode(svg.encode()).decode()


def _svg_shape(level: str, x: float, y: float, colour: str, scale: float) -> str:
    points = {
        "attention": ((0, -3.5), (3.5, 3), (-3.5, 3)),
        "page": ((-3, -3), (3, -3), (3, 3), (-3, 3)),
        "injected": ((0, -4), (3.5, 0), (0, 4), (-3.5, 0)),
    }.get(level)
    if points is None:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.2" fill="{colour}"/>'
    corners = " ".join(f"{x + scale * dx:.1f},{y + scale * dy:.1f}" for dx, dy in points)
    return f'<polygon points="{corners}" fill="{colour}"/>'
