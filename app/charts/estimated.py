"""Estimates of quality on an axis: where no label has spoken yet, and those that labels have overtaken."""

from __future__ import annotations

from functools import partial

import pandas as pd
import plotly.graph_objects as go

from app.charts.frame import add_band, first_seen_texts, local_times, when_texts
from app.formats import format_metric
from app.theme import MARK, faded


def came_before(realised: pd.DataFrame, past: pd.DataFrame) -> bool:
    """Whether every estimate that labels have overtaken was there before them; False where that is not known."""
    if "first_computed_at" not in realised or "first_computed_at" not in past:
        return False
    labels = realised.drop_duplicates("window_start").set_index("window_start")
    known = past[past["value"].notna()]
    since = known["window_start"].map(labels["first_computed_at"])
    unseen = known["window_start"].map(labels["first_value"]).isna()
    return bool(len(known) and ((known["first_computed_at"] < since) | unseen).all())


def add_past(
    figure: go.Figure, frame: pd.DataFrame, metric: str, unit: str, tz: str | None, *, before: bool
) -> None:
    told = "was estimated; labels have come since" if before else "is the estimate beside what labels say"
    figure.add_trace(
        go.Scatter(
            x=local_times(frame["window_start"], tz),
            y=frame["value"],
            mode="lines+markers",
            marker={"size": _sizes(frame["value"], 3), "color": faded(MARK["estimated"], 0.9)},
            name="estimate before the labels" if before else "estimate",
            legendgroup="past",
            line={"color": faded(MARK["estimated"], 0.9), "width": 1.2, "dash": "1px,3px"},
            connectgaps=False,
            customdata=[
                [when, format_metric(value, unit, of=metric)]
                for when, value in zip(when_texts(frame["window_start"], tz), frame["value"], strict=True)
            ],
            hovertemplate=(
                f"<b>{metric} %{{customdata[1]}}</b> {told}<br>window from %{{customdata[0]}}<extra></extra>"
            ),
        )
    )


def _sizes(values: pd.Series[float], size: int) -> list[int]:
    """A marker only where a line would not be seen: at values without a neighbour."""
    known = values.notna()
    lone = known & ~known.shift(1, fill_value=False) & ~known.shift(-1, fill_value=False)
    return [size if one else 0 for one in lone]


def add_estimated(
    figure: go.Figure, frame: pd.DataFrame, metric: str, unit: str, tz: str | None, *, band: bool
) -> None:
    frame = frame.sort_values("window_start").reset_index(drop=True)
    x = local_times(frame["window_start"], tz)
    own = ~frame["joint"].astype(bool)
    lone = [size > 0 for size in _sizes(frame["value"], 1)]
    if band:
        add_band(figure, x, frame, MARK["estimated"], legendgroup="estimated")
    figure.add_trace(
        go.Scatter(
            x=x,
            y=frame["value"],
            mode="lines+markers" if len(frame) <= 120 or any(lone) else "lines",
            marker={
                "size": [
                    (8 if alone else 5 if len(frame) <= 120 else 0) if mine else 0
                    for alone, mine in zip(lone, own, strict=True)
                ],
                "color": MARK["estimated"],
            },
            error_y={
                "type": "data",
                "symmetric": False,
                "array": (frame["high"] - frame["value"]).where(lone),
                "arrayminus": (frame["value"] - frame["low"]).where(lone),
                "color": faded(MARK["estimated"], 0.5),
                "thickness": 1,
                "width": 0,
                "visible": band,
            },
            name="estimated (band)" if band else "estimated, as first seen",
            legendgroup="estimated",
            line={"color": MARK["estimated"], "width": 1.5, "dash": "3px,2px"},
            connectgaps=False,
            customdata=[
                [
                    w,
                    format_metric(v, unit, of=metric),
                    format_metric(lo, unit),
                    format_metric(hi, unit),
                    first,
                ]
                for w, v, lo, hi, first in zip(
                    when_texts(frame["window_start"], tz),
                    frame["value"],
                    frame["low"],
                    frame["high"],
                    first_seen_texts(frame, tz, partial(format_metric, unit=unit)),
                    strict=True,
                )
            ],
            hovertemplate=(
                f"<b>{metric} %{{customdata[1]}}</b>, estimated"
                + ("<br>band %{customdata[2]} to %{customdata[3]}" if band else "")
                + "<br>window from %{customdata[0]}%{customdata[4]}<extra></extra>"
            ),
        )
    )
