"""When a monitor fires: each figure with the threshold it is held against, and the windows it fires in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pandas as pd
import plotly.graph_objects as go

from app.charts.frame import empty_figure, local_time, local_times, name_time_axis, new_figure, when_texts
from app.formats import format_metric
from app.theme import MARK, STATES, faded

MOST_SHADED = 300
WIDE = 30


def monitor_figure(
    frame: pd.DataFrame,
    episodes: Sequence[tuple[datetime, datetime]],
    *,
    name: str,
    level: str,
    tz: str | None = None,
) -> go.Figure:
    """One figure over all windows with its threshold; where the monitor fires the ground is shaded.

    `frame` has window_start (UTC-aware), value, lower, upper (infinite or NaN: no limit on that side). `episodes` are
    the stretches in which the monitor fires. `level` is a state of `app.theme.STATES`.
    """
    if frame.empty or frame["value"].isna().all():
        return empty_figure(
            f"No {name} is stored", "Choose another figure, or compute metrics on the model's page."
        )
    x = local_times(frame["window_start"], tz)
    figure = new_figure(240)
    first = frame["window_start"].min()
    for start, end in [one for one in episodes if one[1] > first][-MOST_SHADED:]:
        figure.add_vrect(
            x0=local_time(start, tz), x1=local_time(end, tz), layer="below", fillcolor=faded(MARK[level], 0.16),
            line={"width": 1, "color": faded(MARK[level], 0.6)},
        )  # fmt: skip
    for side in ("upper", "lower"):
        limit = frame[side].where(frame[side].abs() < float("inf"))
        if limit.notna().any():
            figure.add_trace(
                go.Scatter(
                    x=x, y=limit, mode="lines", name="threshold", legendgroup="threshold", hoverinfo="skip",
                    showlegend=side == "upper" or bool(frame["upper"].abs().eq(float("inf")).all()),
                    line={"color": MARK["reference"], "width": 1.5, "dash": "dash", "shape": "hvh"},
                )
            )  # fmt: skip
    texts = when_texts(frame["window_start"], tz)
    detail = [[when, format_metric(value)] for when, value in zip(texts, frame["value"], strict=True)]
    hover = f"<b>{name} %{{customdata[1]}}</b><br>window from %{{customdata[0]}}<extra></extra>"
    figure.add_trace(
        go.Scatter(
            x=x, y=frame["value"], mode="lines+markers" if len(frame) <= 200 else "lines", name=name,
            connectgaps=False, customdata=detail, hovertemplate=hover, marker={"size": 4},
            line={"color": MARK["current"], "width": 1.5},
        )
    )  # fmt: skip
    beyond = (frame["value"] > frame["upper"]) | (frame["value"] < frame["lower"])
    if beyond.any():
        figure.add_trace(
            go.Scatter(
                x=x[beyond], y=frame["value"][beyond], mode="markers", name="beyond it", cliponaxis=False,
                customdata=[row for row, chosen in zip(detail, beyond, strict=True) if chosen],
                hovertemplate=hover,
                marker={"symbol": STATES[level].symbol, "size": 9, "color": MARK[level],
                        "line": {"width": 1.5, "color": MARK[level]}},
            )
        )  # fmt: skip
    figure.update_layout(margin={"t": 10, "b": 74}, showlegend=True)
    spread = _spreads_wide(frame["value"])
    figure.update_yaxes(
        title={"text": f"{name} (log scale)" if spread else name, "font": {"size": 11}},
        type="log" if spread else "linear",
    )  # fmt: skip
    step = x.diff().median() if len(x) > 1 else pd.Timedelta(hours=1)
    figure.update_xaxes(range=[x.min() - step / 2, x.max() + 2 * step])
    name_time_axis(figure, tz, frame["window_start"].max())
    return figure


def _spreads_wide(values: pd.Series[float]) -> bool:
    """Whether one value would press all others to the ground."""
    known = values.dropna()
    return bool(known.min() > 0 and known.max() > WIDE * known.median())
