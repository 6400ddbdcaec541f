"""What moved predictions: one as a waterfall, many as a swarm, by a column's value, and over windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from app.charts.frame import Ends, empty_figure, local_times, name_time_axis, new_figure, span_range
from app.charts.marks import NOTHING, Happened, mark_time
from app.formats import HOVER, HOVER_SHARE, HOVER_SIGNED, TICK_SHARE, format_metric, format_signed
from app.theme import LOWERS, MARK, RAISES

SCALE = [[0.0, LOWERS], [0.5, MARK["unknown"]], [1.0, RAISES]]
"""From low to high values: slate to brown, neither of which is a state."""


def waterfall(
    base: float, output: float, contributions: Sequence[Mapping[str, Any]], *, unit: str, limit: int = 12
) -> go.Figure:
    """From what is usual to one prediction's output, a step for each input, the largest first; the rest as one."""
    shown = list(contributions[:limit])
    left = list(contributions[limit:])
    names = [f"{one['column']} = {_short(one['value'])}" for one in shown]
    steps = [float(one["contribution"]) for one in shown]
    if left:
        names.append(f"{len(left)} other inputs")
        steps.append(sum(float(one["contribution"]) for one in left))
    figure = new_figure(90 + 26 * (len(names) + 2))
    figure.add_trace(
        go.Waterfall(
            orientation="h",
            measure=["absolute", *["relative"] * len(steps), "total"],
            y=["usual", *names, "this prediction"],
            x=[base, *steps, output],
            text=[format_metric(base), *(format_signed(step) for step in steps), format_metric(output)],
            textposition="outside",
            textfont={"size": 11},
            cliponaxis=False,
            increasing={"marker": {"color": RAISES}},
            decreasing={"marker": {"color": LOWERS}},
            totals={"marker": {"color": MARK["reference"]}},
            connector={"line": {"color": MARK["reference"], "width": 1, "dash": "dot"}},
            hovertemplate="<b>%{y}</b><br>%{text}<extra></extra>",
        )
    )
    places = np.cumsum([base, *steps])
    low, high = float(places.min()), float(places.max())
    room = 0.18 * (high - low or 1.0)
    figure.update_xaxes(title={"text": unit, "font": {"size": 11}}, range=[low - room, high + room])
    figure.update_yaxes(autorange="reversed", showgrid=False, type="category", ticklabelstandoff=4)
    figure.update_layout(showlegend=False, margin_t=6, bargap=0.3)
    return figure


def importance_figure(
    columns: Sequence[Mapping[str, Any]], *, unit: str, rows: int, limit: int = 15
) -> go.Figure:
    """Mean |SHAP| with its 95 % interval, the largest first. `columns` as `figures.with_intervals` gives them."""
    if not columns:
        return empty_figure("Nothing is explained", "Ask for it on the right.")
    shown = columns[:limit]
    figure = new_figure(70 + 26 * len(shown))
    bars = None
    if all(one["high"] is not None for one in shown):
        bars = {
            "type": "data", "symmetric": False, "thickness": 1.5, "width": 4, "color": MARK["reference"],
            "array": [one["high"] - one["mean_abs"] for one in shown],
            "arrayminus": [one["mean_abs"] - one["low"] for one in shown],
        }  # fmt: skip
    figure.add_trace(
        go.Bar(
            y=[one["column"] for one in shown],
            x=[one["mean_abs"] for one in shown],
            orientation="h",
            error_x=bars,
            marker={"color": MARK["current"], "line": {"width": 0}},
            customdata=[_between(one) for one in shown],
            hovertemplate=f"<b>%{{y}}</b><br>mean |SHAP| %{{x:{HOVER}}}%{{customdata}}<extra></extra>",
        )
    )
    told = f"mean |SHAP|, {unit}, {rows:,} rows"
    if len(columns) > len(shown):
        told += f"; {len(columns) - len(shown)} weaker columns not drawn"
    figure.update_xaxes(title={"text": told, "font": {"size": 11}}, rangemode="tozero")
    figure.update_yaxes(autorange="reversed", showgrid=False, type="category", ticklabelstandoff=4)
    figure.update_layout(showlegend=False, margin_t=6, bargap=0.35)
    return figure


def beeswarm(
    columns: Sequence[str], values: np.ndarray, inputs: Sequence[Sequence[Any]], *, unit: str, limit: int = 12
) -> go.Figure:
    """Each row's SHAP value of the strongest columns, spread where many are alike; coloured by the rank of the column's
    value among the rows (grey: a category or missing)."""
    order = np.argsort(-np.abs(values).mean(axis=0), kind="stable")[:limit]
    figure = new_figure(80 + 38 * len(order))
    for row, place in enumerate(order):
        moved = values[:, place]
        figure.add_trace(
            go.Scattergl(
                x=moved,
                y=row + _spread(moved),
                mode="markers",
                marker={"size": 4, "opacity": 0.75, "color": _ranks([one[place] for one in inputs]),
                        "colorscale": SCALE, "cmin": 0, "cmax": 1, "showscale": row == 0,
                        "colorbar": {"title": {"text": "value"}, "tickvals": [0, 1], "ticktext": ["low", "high"],
                                     "thickness": 8, "len": 0.6, "outlinewidth": 0}},
                customdata=[_short(one[place]) for one in inputs],
                hovertemplate=f"<b>{columns[place]}</b> = %{{customdata}}<br>%{{x:{HOVER_SIGNED}}}<extra></extra>",
                showlegend=False,
            )
        )  # fmt: skip
    figure.update_yaxes(
        tickvals=list(range(len(order))), ticktext=[columns[place] for place in order], range=[len(order) - 0.5, -0.5],
        showgrid=False, ticklabelstandoff=4,
    )  # fmt: skip
    figure.update_xaxes(title={"text": f"SHAP value, {unit}", "font": {"size": 11}}, zeroline=True, showgrid=True,
                        zerolinecolor=MARK["reference"])  # fmt: skip
    figure.update_layout(margin_t=6)
    return figure


def dependence(
    name: str,
    given: Sequence[Any],
    moved: np.ndarray,
    *,
    unit: str,
    by: str = "",
    by_given: Sequence[Any] = (),
) -> go.Figure:
    """SHAP value of a column over what it holds; coloured by the rank of another column's value, where given."""
    figure = new_figure(340)
    marker: dict[str, Any] = {"size": 5, "opacity": 0.75, "color": MARK["current"]}
    if by:
        marker |= {
            "color": _ranks(by_given), "colorscale": SCALE, "cmin": 0, "cmax": 1, "showscale": True,
            "colorbar": {"title": {"text": by}, "tickvals": [0, 1], "ticktext": ["low", "high"], "thickness": 8,
                         "len": 0.7, "outlinewidth": 0},
        }  # fmt: skip
    figure.add_trace(
        go.Scattergl(
            x=["missing" if one is None else one for one in given], y=moved, mode="markers", marker=marker,
            customdata=[_short(one) for one in (by_given or given)],
            hovertemplate=f"<b>{name}</b> = %{{x}}<br>%{{y:{HOVER_SIGNED}}}"
            + (f"<br>{by} = %{{customdata}}" if by else "") + "<extra></extra>",
        )
    )  # fmt: skip
    figure.update_xaxes(title={"text": name, "font": {"size": 11}})
    figure.update_yaxes(title={"text": f"SHAP value, {unit}", "font": {"size": 11}}, zeroline=True,
                        zerolinecolor=MARK["reference"])  # fmt: skip
    figure.update_layout(showlegend=False, margin_t=6)
    return figure


def attribution_drift(
    windows: Sequence[Mapping[str, Any]], *, tz: str | None, limit: float, happened: Happened = NOTHING,
    ends: Ends | None = None,
) -> go.Figure:  # fmt: skip
    """NDCG of the order of columns in each window against the version's own explanation; below `limit` it has moved.
    `ends`: what the time axis shows."""
    known = [one for one in windows if one["ndcg"] is not None]
    if not known:
        return empty_figure("Nothing to compare with", "Explain the version, so that its own order is known.")
    figure = new_figure(240)
    times = local_times([one["start"] for one in known], tz)
    moved = [one["ndcg"] < limit for one in known]
    figure.add_trace(
        go.Scatter(
            x=times, y=[one["ndcg"] for one in known], mode="lines+markers", name="NDCG",
            line={"color": MARK["current"], "width": 2},
            marker={"size": 8, "color": [MARK["attention"] if one else MARK["current"] for one in moved],
                    "symbol": ["triangle-up" if one else "circle" for one in moved]},
            customdata=[[one["rows"], one["version"]] for one in known],
            hovertemplate=f"NDCG %{{y:{HOVER}}}<br>version %{{customdata[1]}}, %{{customdata[0]}} rows<extra></extra>",
        )
    )  # fmt: skip
    figure.add_hline(y=limit, line={"color": MARK["attention"], "width": 1, "dash": "dash"})
    lowest = min(limit, *(one["ndcg"] for one in known))
    figure.update_yaxes(range=[lowest - 0.03, 1.01])
    name_time_axis(figure, tz, known[-1]["start"])
    figure.update_layout(showlegend=False, margin_t=10)
    span_range(figure, ends, tz)
    mark_time(figure, happened, [one["start"] for one in known], tz, ends=ends)
    return figure


def versions_figure(
    columns: Sequence[Mapping[str, Any]], before: int, after: int, *, limit: int = 15
) -> go.Figure:
    """Each column's share of the mean |SHAP| in two versions, the largest difference first; no bar where a version does
    not use the column. `columns` as `differences.compare_shares` gives them."""
    shown = columns[:limit]
    figure = new_figure(90 + 34 * len(shown))
    for number, side, color in ((before, "before", MARK["champion"]), (after, "after", MARK["candidate"])):
        figure.add_trace(
            go.Bar(
                y=[one["column"] for one in shown], x=[one[side] for one in shown], orientation="h",
                name=f"version {number}", marker={"color": color, "line": {"width": 0}},
                hovertemplate=f"<b>%{{y}}</b><br>version {number}: %{{x:{HOVER_SHARE}}}<extra></extra>",
            )
        )  # fmt: skip
    told = "share of the mean |SHAP|"
    if len(columns) > len(shown):
        left = len(columns) - len(shown)
        told += f"; {left} {'column that differs' if left == 1 else 'columns that differ'} less not drawn"
    figure.update_xaxes(title={"text": told, "font": {"size": 11}}, rangemode="tozero", tickformat=TICK_SHARE)
    figure.update_yaxes(autorange="reversed", showgrid=False, type="category", ticklabelstandoff=4)
    figure.update_layout(barmode="group", bargap=0.3, legend={"traceorder": "normal"})
    return figure


def cohort_figure(columns: Sequence[Mapping[str, Any]], *, unit: str, limit: int = 12) -> go.Figure:
    """Mean SHAP in a cohort less that of all other rows, with 95 % intervals; hollow where chance explains it."""
    shown = columns[:limit]
    figure = new_figure(70 + 26 * len(shown))
    certain = [one["low"] > 0 or one["high"] < 0 for one in shown]
    figure.add_trace(
        go.Scatter(
            x=[one["difference"] for one in shown], y=[one["column"] for one in shown], mode="markers",
            marker={"size": 9, "color": MARK["current"],
                    "symbol": ["circle" if one else "circle-open" for one in certain]},
            error_x={"type": "data", "symmetric": False, "thickness": 1.5, "width": 4, "color": MARK["reference"],
                     "array": [one["high"] - one["difference"] for one in shown],
                     "arrayminus": [one["difference"] - one["low"] for one in shown]},
            hovertemplate=f"<b>%{{y}}</b><br>%{{x:{HOVER_SIGNED}}}<extra></extra>",
        )
    )  # fmt: skip
    figure.update_xaxes(title={"text": f"difference of the mean SHAP value, {unit}", "font": {"size": 11}},
                        zeroline=True, zerolinecolor=MARK["reference"])  # fmt: skip
    figure.update_yaxes(autorange="reversed", showgrid=True, type="category", ticklabelstandoff=4)
    figure.update_layout(showlegend=False, margin_t=6)
    return figure


def _between(one: Mapping[str, Any]) -> str:
    if one["low"] is None:
        return ""
    return f", 95 % {format_metric(one['low'])} to {format_metric(one['high'])}"


def _short(value: Any) -> str:
    text = "missing" if value is None else format_metric(value) if isinstance(value, float) else str(value)
    return text if len(text) <= 24 else f"{text[:23]}…"


def _ranks(given: Sequence[Any]) -> list[float] | list[str]:
    """Each number's rank among them, 0 to 1; one grey for what has no order."""
    numbers = np.array([one if isinstance(one, int | float) else np.nan for one in given], dtype="float64")
    if not np.isfinite(numbers).any():
        return [MARK["unknown"]] * len(given)
    filled = np.where(np.isfinite(numbers), numbers, np.nanmedian(numbers))
    order = np.argsort(np.argsort(filled, kind="stable"), kind="stable")
    found: list[float] = (order / max(len(order) - 1, 1)).tolist()
    return found


def _spread(moved: np.ndarray) -> np.ndarray:
    """How far each point stands from its line, so that points alike lie beside one another: by its place among those of
    the same bin, alternately above and below."""
    if not len(moved) or np.ptp(moved) == 0:
        return np.zeros(len(moved))
    bins = np.floor((moved - moved.min()) / np.ptp(moved) * 80).astype(int)
    counts = np.bincount(bins)
    place = np.zeros(len(moved))
    for one in np.flatnonzero(counts):
        mine = np.flatnonzero(bins == one)
        place[mine] = np.arange(len(mine))
    side = np.where(place % 2 == 0, 1, -1) * np.ceil(place / 2)
    found: np.ndarray = 0.4 * side / max(float(counts.max()) / 2, 1.0)
    return found
