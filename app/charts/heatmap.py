"""Every column in every window at a glance, each cell a way in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from textwrap import wrap

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from app.charts.frame import (
    Ends,
    empty_figure,
    local_times,
    name_time_axis,
    new_figure,
    span_range,
    when_texts,
)
from app.charts.verdicts import because, so_far, unknown_word, verdict_level, verdict_word
from app.formats import format_metric, format_share
from app.theme import CHOSEN, MARK, STATES, faded
from backend.monitoring.excess import has_lower_limit, measure_excess

# value / limit of what is ok stays below the middle, in grey; an alarm begins at it, amber, and is red from twice
HEAT = [
    [0.0, faded(MARK["reference"], 0.12)],
    [0.499, faded(MARK["reference"], 0.42)],
    [0.5, faded(MARK["attention"], 0.50)],
    [1.0, faded(MARK["page"], 0.62)],
]
HATCH = "╱"
CALM = 0.99
"""Where a cell that is ok is drawn at most, though its value may lie beyond the limit by what chance allows."""
UNSURE = STATES["inconclusive"].shape
SHAPES = {"not_computed": "…", "filling": "◌", "open": "◌", "revised": "↺", "inconclusive": UNSURE}
"""Shapes of cells without a verdict that are not simply empty."""
LEGEND = {"attention": "beyond its limit", "page": "beyond its limit, pages"}
LEGEND_WIDTH = 52
"""Characters in a line of the legend: as many as a phone shows of the figure."""
CELLS = "cells"
"""The name of the trace that can be clicked."""


def drift_heatmap(
    points: pd.DataFrame,
    *,
    statistic: str = "PSI",
    columns: Sequence[str] | None = None,
    tz: str | None = None,
    limit: int = 40,
    chosen: tuple[str, datetime] | None = None,
    share: bool = False,
    ends: Ends | None = None,
) -> go.Figure:
    """Columns by windows; a cell is value / threshold, in a colour of alarm only where the verdict is one, alarms carry
    their shape, cells without data are hatched.

    `points` has window_start (UTC-aware), column, value, threshold, verdict, and optionally the word of the cell's
    own statistic: one row a cell. `columns` gives the order from the top; without it the columns that went furthest
    over their threshold come first. At most `limit` of them are drawn and the axis title says so. `chosen` is the cell
    (column, start of the window) that is framed. The trace named `CELLS` has a point in every cell, which can be
    clicked: its customdata are the words of the hover and the window's start as an ISO time. `share`: the values are
    shares of rows. `ends`: what the time axis shows.
    """
    if points.empty:
        return empty_figure(
            "No drift computed in this period", "Choose another period, or run the metrics job from Jobs."
        )
    frame = points.assign(
        ratio=measure_excess(points),
        side=has_lower_limit(points).map({True: "lower limit", False: "limit"}),
        level=points["verdict"].map(verdict_level),
    )
    if columns is None:
        worst = frame.groupby("column")["ratio"].max().fillna(-1.0).sort_values(ascending=False)
        columns = list(worst.index)
    if "statistic" not in frame:
        frame["statistic"] = statistic
    for name, nothing in (("still", False), ("reason", None)):
        if name not in frame:
            frame[name] = nothing
    shown = list(columns[:limit])
    windows = sorted(frame["window_start"].unique())
    x, texts = local_times(windows, tz), when_texts(windows, tz)
    frame = frame.drop_duplicates(["column", "window_start"], keep="last")
    table = frame.pivot(index="column", columns="window_start").reindex(index=shown)
    ratio, level = (
        table["ratio"].reindex(columns=windows),
        table["level"].reindex(columns=windows).fillna("unknown"),
    )
    cells = {
        name: table[name].reindex(columns=windows)
        for name in ("value", "threshold", "statistic", "verdict", "side", "still", "reason")
    }

    def tell(value: float, of: str) -> str:
        return format_share(value) if share else format_metric(value, of=of)

    hover = [
        [
            f"<b>{column}</b><br>{_said(name, statistic)} {tell(value, name)} ({side} {tell(threshold, name)})"
            f"<br>{STATES[lvl].shape} {verdict_word(lvl, verdict)}{so_far(lvl, still)}{because(lvl, reason)}"
            f"<br>window from {text}"
            for name, value, threshold, side, lvl, verdict, still, reason, text in zip(
                cells["statistic"].loc[column],
                cells["value"].loc[column],
                cells["threshold"].loc[column],
                cells["side"].loc[column],
                level.loc[column],
                cells["verdict"].loc[column],
                cells["still"].loc[column],
                cells["reason"].loc[column],
                texts,
                strict=True,
            )
        ]
        for column in shown
    ]
    figure = new_figure(126 + 20 * len(shown))
    drawn = ratio.fillna(0.0).clip(upper=CALM).where(level == "ok", ratio.fillna(1.0).clip(lower=1.0))
    revised = cells["verdict"] == "revised"
    drawn = drawn.mask(level == "unknown").where(~revised, ratio.clip(upper=CALM))
    places, apart = _with_gaps(x)
    figure.add_trace(
        go.Heatmap(
            z=_spread(drawn.to_numpy(), apart, float("nan")),
            x=places,
            y=shown,
            hoverinfo="skip",
            colorscale=HEAT,
            zmin=0,
            zmax=2,
            xgap=1,
            ygap=1,
            colorbar={
                "orientation": "h",
                "x": 1,
                "xanchor": "right",
                "y": 1,
                "yanchor": "bottom",
                "ypad": 4,
                "lenmode": "pixels",
                "len": 170,
                "thickness": 8,
                "outlinewidth": 0,
                "tickfont": {"size": 11},
                "tickvals": [0, 1, 2],
                "ticktext": ["0", "limit", "twice"],
            },
        )
    )
    legend = _add_verdicts(figure, level, cells["verdict"], x)
    _add_cells(figure, shown, windows, hover, x)
    if chosen is not None and chosen[0] in shown and pd.Timestamp(chosen[1]) in windows:
        _frame_cell(figure, shown.index(chosen[0]), x, windows.index(pd.Timestamp(chosen[1])))
    rest = len(columns) - len(shown)
    figure.update_yaxes(
        range=[len(shown) - 0.5, -0.5], showgrid=False, type="category", ticklabelstandoff=4, side="right"
    )
    half = _half_step(x)
    figure.update_xaxes(range=[x.iloc[0] - half, x.iloc[-1] + half])
    span_range(figure, ends, tz)
    if rest > 0:
        figure.update_yaxes(title={"text": f"{rest} calmer columns not drawn", "font": {"size": 11}})
    name_time_axis(figure, tz, windows[-1])
    figure.update_layout(margin={"t": 40 + 14 * max(legend, 1), "b": 48}, showlegend=False)
    return figure


def _with_gaps(x: pd.Series[datetime]) -> tuple[list[pd.Timestamp], list[int]]:
    """The places of the cells, and where each of `x` lies among them: empty places stand beside a gap in time, since
    plotly would stretch the cells on either side across it."""
    steps = x.diff().dropna()
    usual = steps.median() if len(steps) else pd.Timedelta(0)
    places, apart = [], []
    for index, moment in enumerate(x):
        if index and usual and moment - x.iloc[index - 1] > 2.5 * usual:
            places += [x.iloc[index - 1] + usual, moment - usual]
        apart.append(len(places))
        places.append(moment)
    return places, apart


def _spread(table: np.ndarray, apart: list[int], empty: object) -> np.ndarray:
    """`table` (rows, windows) with empty columns where `apart` leaves room."""
    found = np.full((table.shape[0], apart[-1] + 1), empty, dtype=table.dtype)
    found[:, apart] = table
    return found


def _said(name: object, statistic: str) -> str:
    return name if isinstance(name, str) else statistic


def _add_verdicts(
    figure: go.Figure, level: pd.DataFrame, verdict: pd.DataFrame, x: pd.Series[datetime]
) -> int:  # fmt: skip
    """Shapes as text, because text takes the theme's own colour and so stands out on any cell; gives the number of
    lines of the legend, which names each shape that is there and every reason it stands for."""
    legend: dict[str, list[str]] = {}
    for name in ("attention", "page", "injected", "unknown"):
        cells = np.argwhere((level == name).to_numpy())
        if not len(cells):
            continue
        unknown = name == "unknown"
        usual = HATCH if unknown else STATES[name].shape
        glyphs = []
        for i, j in cells:
            why = str(verdict.iat[i, j])
            glyphs.append(SHAPES.get(why, usual))
            word = unknown_word(verdict.iat[i, j]) if unknown else LEGEND.get(name, STATES[name].word)
            known = legend.setdefault(glyphs[-1], [])
            if word not in known:
                known.append(word)
        figure.add_trace(
            go.Scatter(
                x=[x.iloc[j] for _, j in cells],
                y=[level.index[i] for i, _ in cells],
                mode="text",
                name=STATES[name].word,
                text=glyphs,
                textfont={"size": 10},
                hoverinfo="skip",
            )
        )
    said = [f"{shape}\u00a0{' or '.join(words)}" for shape, words in legend.items()]
    lines = wrap("   ".join(said), LEGEND_WIDTH, break_long_words=False)
    if lines:
        figure.add_annotation(
            text="<br>".join(lines),
            x=1,
            y=1,
            yshift=30,
            xref="paper",
            yref="paper",
            xanchor="right",
            yanchor="bottom",
            align="right",
            showarrow=False,
            font={"size": 11},
        )
    return len(lines)


def _add_cells(
    figure: go.Figure, columns: list[str], windows: list[pd.Timestamp], hover: list[list[str]], x: pd.Series[datetime]
) -> None:  # fmt: skip
    """A point in every cell that is not seen: a heat map itself can be hovered over but not be clicked."""
    places, starts = list(x), [pd.Timestamp(start).isoformat() for start in windows]
    unseen = {"marker": {"opacity": 0}}
    figure.add_trace(
        go.Scatter(
            x=places * len(columns),
            y=[column for column in columns for _ in places],
            mode="markers",
            name=CELLS,
            marker={"symbol": "square", "size": 16, "opacity": 0},
            selected=unseen,
            unselected=unseen,
            customdata=[[text, start] for texts in hover for text, start in zip(texts, starts, strict=True)],
            hovertemplate="%{customdata[0]}<extra></extra>",
        )
    )


def _half_step(x: pd.Series[datetime]) -> pd.Timedelta:
    steps = x.diff().dropna()
    return (steps.median() if len(steps) else pd.Timedelta(days=1)) / 2


def _frame_cell(figure: go.Figure, row: int, x: pd.Series[datetime], place: int) -> None:
    """Frame one cell; `row` counts from the top."""
    half = _half_step(x)
    figure.add_shape(
        type="rect",
        x0=x.iloc[place] - half,
        x1=x.iloc[place] + half,
        y0=row - 0.5,
        y1=row + 0.5,
        line={"color": CHOSEN, "width": 2.5},
    )
