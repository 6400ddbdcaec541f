"""One figure for pages without scripts: rows of small series over one time axis, as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import datetime
from html import escape
from typing import Final

from app.formats import format_metric
from backend.monitoring.page_points import Series

WIDTH, LEFT, RIGHT = 380, 6, 54
ROW, GAP, TOP, BOTTOM = 44, 18, 4, 18
MOST_MARKS: Final = 8
APART: Final = 12.0
Mark = tuple[datetime, str]  # when, and a text that the figure's key tells


def figure_svg(series: Sequence[Series], marks: Sequence[Mark] = ()) -> str:
    """Empty without any value. Alarms are filled squares, a band is tinted, changes are numbered dashed lines."""
    moments = [at for one in series for at, *_ in one.points]
    if not moments:
        return ""
    shown = [one for one in marks if min(moments) <= one[0]][:MOST_MARKS]
    left, right = min(moments), max([*moments, *(at for at, _ in shown)])
    span = (right - left).total_seconds() or 1.0

    def place(at: datetime) -> float:
        return LEFT + (at - left).total_seconds() / span * (WIDTH - LEFT - RIGHT)

    height = TOP + len(series) * (ROW + GAP) + BOTTOM
    parts = [
        f'<svg class="figure" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(_told(series, shown))}">'
    ]
    bottom = height - BOTTOM
    for place_x, numbers in _together([place(at) for at, _ in shown]):
        parts.append(
            f'<line class="mark" x1="{place_x:.1f}" x2="{place_x:.1f}" y1="{TOP}" y2="{bottom - 8}"/>'
            f'<text x="{place_x:.1f}" y="{bottom}" text-anchor="middle">{numbers}</text>'
        )
    for row, one in enumerate(series):
        parts.append(_row(one, TOP + row * (ROW + GAP), place))
    parts.append(f'<text x="{LEFT}" y="{height - 1}">{left:%d %b %H:%M}</text>')
    parts.append(
        f'<text x="{WIDTH - RIGHT}" y="{height - 1}" text-anchor="end">{right:%d %b %H:%M} UTC</text></svg>'
    )
    return "".join(parts)


def _together(places: Sequence[float]) -> list[tuple[float, str]]:
    """Marks that lie too near each other to be told apart share one line and one label: `2–4`."""
    groups: list[list[tuple[float, int]]] = []
    for number, x in enumerate(places, 1):
        if groups and x - groups[-1][-1][0] < APART:
            groups[-1].append((x, number))
        else:
            groups.append([(x, number)])
    return [(one[0][0], f"{one[0][1]}" if len(one) == 1 else f"{one[0][1]}–{one[-1][1]}") for one in groups]


def _row(series: Series, top: float, place: Callable[[datetime], float]) -> str:
    known = [
        number for _, value, low, high, _ in series.points for number in (value, low, high)
        if number is not None and math.isfinite(number)
    ]  # fmt: skip
    least, most = min(known), max(known)
    if series.name == "requests":
        least = 0.0
    extent = (most - least) or 1.0

    def up(value: float) -> float:
        return top + 12 + (1 - (value - least) / extent) * (ROW - 12)

    parts = [f'<text class="name" x="{LEFT}" y="{top + 8:.0f}">{escape(series.name)}</text>']
    band = [(place(at), up(low), up(high)) for at, _, low, high, _ in series.points
            if low is not None and high is not None]  # fmt: skip
    if len(band) > 1:
        edge = [f"{x:.1f},{y:.1f}" for x, y, _ in band] + [f"{x:.1f},{y:.1f}" for x, _, y in reversed(band)]
        parts.append(f'<polygon class="band" points="{" ".join(edge)}"/>')
    for run in _runs(series):
        points = " ".join(f"{place(at):.1f},{up(value):.1f}" for at, value in run)
        parts.append(
            f'<polyline class="line" points="{points}"/>' if len(run) > 1 else _square(points, "dot")
        )
    parts += [
        _square(f"{place(at):.1f},{up(value):.1f}", "alarm")
        for at, value, _, _, verdict in series.points
        if verdict == "alarm" and value is not None
    ]
    x = WIDTH - RIGHT + 4
    edges = ((most, top + 15), (least, top + ROW + 2))
    for value, y in edges if most > least else edges[1:]:
        parts.append(f'<text x="{x}" y="{y:.0f}">{escape(format_metric(value))}</text>')
    return "".join(parts)


def _runs(series: Series) -> list[list[tuple[datetime, float]]]:
    """Pieces without a gap: where nothing was measured, no line is drawn."""
    runs: list[list[tuple[datetime, float]]] = [[]]
    for at, value, *_ in series.points:
        if value is None or not math.isfinite(value):
            runs.append([])
        else:
            runs[-1].append((at, value))
    return [run for run in runs if run]


def _square(place: str, kind: str) -> str:
    x, y = (float(one) for one in place.split(","))
    return f'<rect class="{kind}" x="{x - 2.5:.1f}" y="{y - 2.5:.1f}" width="5" height="5"/>'


def _told(series: Sequence[Series], marks: Sequence[Mark]) -> str:
    """The figure for who does not see it."""
    lasts = []
    for one in series:
        values = [value for _, value, *_ in one.points if value is not None]
        lasts.append(f"{one.name}: {format_metric(values[0])} first, {format_metric(values[-1])} last")
    return "; ".join([*lasts, f"{len(marks)} changes marked"])
