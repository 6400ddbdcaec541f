"""Line charts that read in black and white: lines differ by their dashes, alarms are filled squares.

`Chart` is a block of a document. Where its lines lie is worked out here, once; PDF and SVG only draw it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Final, Literal

Dash = Literal["solid", "dashed", "dotted"]
DASHES: Final[dict[Dash, tuple[float, float]]] = {"solid": (0, 0), "dashed": (2.2, 1.3), "dotted": (0.5, 1.0)}
"""Length of a stroke and of the gap behind it, in mm."""


@dataclass(frozen=True)
class Line:
    """points: seconds since 1970, and a value; None breaks the line."""

    name: str
    points: tuple[tuple[float, float | None], ...]
    dash: Dash = "solid"


@dataclass(frozen=True)
class Chart:
    """Values over time. marks: points at which something was wrong; alt: what it shows, for those who do not see it."""

    title: str
    lines: tuple[Line, ...]
    marks: tuple[tuple[float, float], ...] = ()
    mark_name: str = "alarm"
    alt: str = ""


@dataclass(frozen=True)
class Drawn:
    """A chart within the unit square, y upwards. paths: name, dash and the pieces of an unbroken line each."""

    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    paths: tuple[tuple[str, Dash, tuple[tuple[tuple[float, float], ...], ...]], ...]
    marks: tuple[tuple[float, float], ...]


def lay_out(chart: Chart) -> Drawn | None:
    """Where everything lies; None where the chart has no finite value at all."""
    known = [(x, y) for line in chart.lines for x, y in line.points if y is not None and math.isfinite(y)]
    if not known:
        return None
    known += [one for one in chart.marks if math.isfinite(one[1])]
    left, right = min(x for x, _ in known), max(x for x, _ in known)
    low, high = min(y for _, y in known), max(y for _, y in known)
    steps = _steps(low, high, whole=all(y == int(y) for _, y in known))
    low, high = steps[0], steps[-1]

    def place(x: float, y: float) -> tuple[float, float]:
        return ((x - left) / (right - left) if right > left else 0.5, (y - low) / (high - low))

    paths = tuple(
        (line.name, line.dash, tuple(tuple(place(x, y) for x, y in run) for run in _runs(line.points)))
        for line in chart.lines
    )
    return Drawn(
        tuple(
            (place(x, low)[0], f"{datetime.fromtimestamp(x, UTC):%Y-%m-%d}") for x in _moments(left, right)
        ),
        tuple((place(left, y)[1], _number(y)) for y in steps),
        paths,
        tuple(place(x, y) for x, y in chart.marks if math.isfinite(y)),
    )


def chart_svg(chart: Chart, *, width: int = 720, height: int = 260) -> str:
    """A file of its own: black on white, no script, no font and no address in it."""
    drawn = lay_out(chart)
    left, top, right, bottom = 62, 34, 14, 46
    wide, tall = width - left - right, height - top - bottom

    def at(x: float, y: float) -> str:
        return f"{left + x * wide:.1f},{top + (1 - y) * tall:.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="sans-serif" font-size="11" role="img"><title>{escape(chart.alt or chart.title)}</title>',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{left}" y="18" font-size="13" font-weight="bold">{escape(chart.title)}</text>',
    ]
    if drawn is None:
        return "".join([*parts, f'<text x="{left}" y="60">nothing was measured</text></svg>\n'])
    for y, label in drawn.y_ticks:
        parts.append(f'<polyline points="{at(0, y)} {at(1, y)}" stroke="#ccc" fill="none"/>')
        parts.append(
            f'<text x="{left - 6}" y="{top + (1 - y) * tall + 4:.1f}" text-anchor="end">{label}</text>'
        )
    for x, label in drawn.x_ticks:
        parts.append(
            f'<text x="{left + x * wide:.1f}" y="{top + tall + 16}" text-anchor="middle">{label}</text>'
        )
    for _, dash, runs in drawn.paths:
        pattern = (
            ""
            if dash == "solid"
            else ' stroke-dasharray="{},{}"'.format(*(3.5 * one for one in DASHES[dash]))
        )
        parts += [
            f'<polyline points="{" ".join(at(*one) for one in run)}" stroke="black" stroke-width="1.4" '
            f'fill="none"{pattern}/>'
            for run in runs
            if len(run) > 1
        ]
        parts += [_dot(at(*run[0]), 2) for run in runs if len(run) == 1]
    parts += [_square(at(*one)) for one in drawn.marks]
    parts.append(f'<text x="{left}" y="{height - 8}">{escape(key_of(chart))}</text></svg>\n')
    return "".join(parts)


def key_of(chart: Chart) -> str:
    """Which line is which, in words."""
    named = [f"{line.name}: {line.dash}" for line in chart.lines]
    return "; ".join([*named, *([f"{chart.mark_name}: filled square"] if chart.marks else [])])


def _dot(place: str, radius: float) -> str:
    x, _, y = place.partition(",")
    return f'<circle cx="{x}" cy="{y}" r="{radius}"/>'


def _square(place: str) -> str:
    x, y = (float(one) for one in place.split(","))
    return f'<rect x="{x - 3:.1f}" y="{y - 3:.1f}" width="6" height="6"/>'


def _runs(points: Sequence[tuple[float, float | None]]) -> list[list[tuple[float, float]]]:
    """The points without the gaps between them."""
    runs: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if y is not None and math.isfinite(y):
            runs[-1].append((x, y))
        elif runs[-1]:
            runs.append([])
    return [one for one in runs if one]


def _steps(low: float, high: float, *, whole: bool) -> list[float]:
    """Some round values that hold the range; whole ones where only whole ones are drawn."""
    if high - low <= 1e-12 * max(abs(low), abs(high), 1e-9):
        low, high = low - (0.0 if whole else abs(low) * 0.1 or 1.0), high + (abs(high) * 0.1 or 1.0)
    rough = (high - low) / 4
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * one for one in (1, 2, 2.5, 5, 10) if unit * one >= rough)
    step = max(step, 1.0) if whole else step
    first, last = math.floor(low / step), math.ceil(high / step)
    return [one * step for one in range(first, last + 1)]


def _moments(left: float, right: float) -> list[float]:
    return [left + (right - left) * part / 4 for part in range(5)] if right > left else [left]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"
