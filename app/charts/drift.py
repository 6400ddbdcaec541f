"""One column over time against its threshold."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from app.charts.frame import (
    CLEAR,
    Ends,
    Mark,
    add_ground,
    add_marks,
    add_version_switches,
    empty_figure,
    first_seen_texts,
    local_time,
    local_times,
    name_time_axis,
    new_figure,
    span_range,
    when_texts,
)
from app.charts.verdicts import because, so_far, verdict_level, verdict_word
from app.formats import TICK_SHARE, format_metric, format_share
from app.theme import MARK, NO_DATA, STATES
from backend.monitoring.excess import has_lower_limit

USUAL, ROOM = 0.8, 2.0
"""A value is cut off where it is more than twice `ROOM` times the limit and this quantile of the values."""
FEW, MOST_NAMED = 4, 4


def drift_series(
    points: pd.DataFrame,
    *,
    column: str,
    statistic: str = "PSI",
    deployments: Sequence[tuple[datetime, str]] = (),
    marks: Sequence[Mark] = (),
    tz: str | None = None,
    share: bool = False,
    ends: Ends | None = None,
) -> go.Figure:
    """One column's statistic over time, its threshold as a step line, and a shape wherever the verdict is not ok. A
    window without a value is a gap in the line and hatched over the whole height: it has no place on the value axis.

    `points` has window_start (UTC-aware), value, threshold, verdict of one column, and may have first_value and
    first_computed_at. `share`: the values are shares of rows. `ends`: what the time axis shows.
    """
    if points.empty:
        return empty_figure(
            f"No {statistic} of {column} in this period",
            "Choose another period, or run the metrics job from Jobs.",
        )
    frame = points.sort_values("window_start").reset_index(drop=True)
    x, texts = local_times(frame["window_start"], tz), when_texts(frame["window_start"], tz)
    level = frame["verdict"].map(verdict_level)
    figure = new_figure(300)
    drawn = (x.min(), x.max()) if ends is None else (local_time(ends[0], tz), local_time(ends[1], tz))
    rows = add_version_switches(figure, deployments, tz, drawn)
    tell = format_share if share else partial(format_metric, of=statistic)
    below = has_lower_limit(frame)
    detail = [
        [
            w,
            tell(v),
            f"{'lower limit' if under else 'limit'} {tell(t)}",
            f"{STATES[lv].shape} {verdict_word(lv, verdict)}{so_far(lv, still)}{because(lv, why)}",
            first,
        ]
        for w, v, t, under, lv, verdict, still, why, first in zip(
            texts,
            frame["value"],
            frame["threshold"],
            below,
            level,
            frame["verdict"],
            frame["still"] if "still" in frame else [False] * len(frame),
            frame["reason"] if "reason" in frame else [None] * len(frame),
            first_seen_texts(frame, tz, tell),
            strict=True,
        )
    ]
    shown, cap = _below_top(frame)
    hover = (
        f"<b>{statistic} %{{customdata[1]}}</b> (%{{customdata[2]}})<br>%{{customdata[3]}}"
        "<br>window from %{customdata[0]}%{customdata[4]}<extra></extra>"
    )
    figure.add_trace(
        go.Scatter(
            x=x,
            y=frame["threshold"],
            mode="lines",
            name="lower limit" if below.any() and bool((below | frame["value"].isna()).all()) else "limit",
            hoverinfo="skip",
            line={"color": MARK["reference"], "width": 1.5, "dash": "dash", "shape": "hvh"},
        )
    )
    figure.add_trace(
        go.Scatter(
            x=x,
            y=shown,
            mode="lines+markers",
            name=statistic,
            connectgaps=False,
            customdata=detail,
            hovertemplate=hover,
            line={"color": MARK["current"], "width": 1.5},
            marker={"size": [0 if lv == "unknown" else 4 for lv in level]},
        )
    )
    known = frame["value"].notna()
    told: set[str] = set()
    for name, has_value in itertools.product(("attention", "page", "injected", "unknown"), (True, False)):
        chosen = (level == name) & (known == has_value)
        if not chosen.any():
            continue
        word = "not judged" if name == "unknown" and has_value else STATES[name].word
        if name == "attention":
            word = "beyond its limit"
        add_ground(figure)
        if name == "unknown" and not has_value:
            _add_gaps(figure, x, chosen, detail, hover, word)
            continue
        figure.add_trace(
            go.Scatter(
                x=x[chosen],
                y=shown[chosen] if has_value else [0.97] * int(chosen.sum()),
                yaxis="y" if has_value else "y2",
                mode="markers",
                name=word,
                showlegend=word not in told,
                legendgroup=word,
                cliponaxis=False,
                customdata=[d for d, c in zip(detail, chosen, strict=True) if c],
                hovertemplate=hover,
                marker={
                    "symbol": STATES[name].symbol,
                    "size": 10,
                    "color": MARK[name],
                    "line": {"width": 1.5, "color": MARK[name]},
                },
            )
        )
        told.add(word)
    add_marks(figure, marks, tz)
    figure.update_layout(
        margin={"t": 12 + 16 * max(rows, 1), "b": 76}, showlegend=True, legend={"x": 1, "xanchor": "right"}
    )
    figure.update_yaxes(title={"text": f"{statistic} of {column}", "font": {"size": 11}}, rangemode="tozero")
    figure.update_yaxes(side="right", selector={"overlaying": None})
    if share:
        figure.update_yaxes(tickformat=TICK_SHARE, selector={"overlaying": None})
    if cap is not None:
        _say_cap(figure, x, frame["value"], cap, tell)
    name_time_axis(figure, tz, frame["window_start"].max())
    span_range(figure, ends, tz)
    return figure


def _below_top(frame: pd.DataFrame) -> tuple[pd.Series[float], float | None]:
    """The values as they are drawn, and where they are cut: one that lies far above all others and the limit would
    press these flat, so it stands at the top edge, and its own number beside it."""
    value = frame["value"].astype("float64")
    usual = max(value.quantile(USUAL, interpolation="lower"), frame["threshold"].astype("float64").max(), 0.0)
    cap = ROOM * usual
    if not np.isfinite(cap) or cap <= 0 or value.count() < FEW or not (value > 2 * cap).any():
        return value, None
    return value.clip(upper=cap), cap


def _say_cap(
    figure: go.Figure, x: pd.Series[datetime], value: pd.Series[float], cap: float, tell: Callable[[float], str]
) -> None:  # fmt: skip
    """The numbers of the values above the top edge, the latest few of them, and an axis that ends there."""
    above = value[value > cap]
    for place in above.index[-MOST_NAMED:]:
        figure.add_annotation(
            x=x[place], y=cap, text=f"↑ {tell(value[place])}", showarrow=False, yshift=11, font={"size": 11}
        )
    figure.update_yaxes(range=[0, 1.12 * cap], selector={"overlaying": None})


def _add_gaps(
    figure: go.Figure, x: pd.Series[datetime], chosen: pd.Series[bool], detail: list[list[str]], hover: str, word: str
) -> None:  # fmt: skip
    """Hatch the windows that have no value."""
    step = x.diff().median() if len(x) > 1 else pd.Timedelta(days=1)
    figure.add_trace(
        go.Bar(
            x=x[chosen],
            y=[1.0] * int(chosen.sum()),
            yaxis="y2",
            width=step.total_seconds() * 1000,
            name=word,
            legendgroup=word,
            customdata=[one for one, here in zip(detail, chosen, strict=True) if here],
            hovertemplate=hover,
            marker={
                "color": CLEAR,
                "line": {"width": 0},
                "pattern": NO_DATA,
            },
        )
    )
