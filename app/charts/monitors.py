"""When a monitor fires: each figure with the threshold it is held against, and the windows it fires in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go

from app.charts.frame import empty_figure, local_times, name_time_axis, new_figure
from app.formats import HOVER
from app.theme import MARK, STATES, faded

WIDE = 30
MOST_LARGE = 30
"""So many marks may be large; more would hide the line."""


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
    local = local_times(frame["window_start"], tz)
    x = _milliseconds(local)
    figure = new_figure(240)
    first = frame["window_start"].min()
    shaded = [one for one in episodes if one[1] > first]
    if shaded:
        _shade(figure, shaded, level, tz)
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
    hover = f"<b>{name} %{{y:{HOVER}}}</b><br>window from %{{x|%a %-d %b %Y, %H:%M}}<extra></extra>"
    figure.add_trace(
        go.Scatter(
            x=x, y=frame["value"], mode="lines+markers" if len(frame) <= 200 else "lines", name=name,
            connectgaps=False, hovertemplate=hover, marker={"size": 4},
            line={"color": MARK["current"], "width": 1.5},
        )
    )  # fmt: skip
    beyond = (frame["value"] > frame["upper"]) | (frame["value"] < frame["lower"])
    if beyond.any():
        figure.add_trace(
            go.Scatter(
                x=x[beyond.to_numpy()], y=frame["value"][beyond], mode="markers", name="beyond it", cliponaxis=False,
                hovertemplate=hover,
                marker={"symbol": STATES[level].symbol, "size": 9 if beyond.sum() <= MOST_LARGE else 5,
                        "color": MARK[level], "line": {"width": 1.5, "color": MARK[level]}},
            )
        )  # fmt: skip
    figure.update_layout(margin={"t": 10, "b": 74}, showlegend=True)
    spread = _spreads_wide(frame["value"])
    figure.update_yaxes(
        title={"text": f"{name} (log scale)" if spread else name, "font": {"size": 11}},
        type="log" if spread else "linear",
    )  # fmt: skip
    step = local.diff().median() if len(local) > 1 else pd.Timedelta(hours=1)
    figure.update_xaxes(type="date", range=[local.min() - step / 2, local.max() + 2 * step])
    name_time_axis(figure, tz, frame["window_start"].max())
    return figure


def _shade(
    figure: go.Figure, episodes: Sequence[tuple[datetime, datetime]], level: str, tz: str | None
) -> None:
    """Bars over the whole height, as one trace: a year of hours has hundreds, and as many shapes take minutes."""
    begins, ends = (local_times([one[side] for one in episodes], tz) for side in (0, 1))
    figure.add_trace(
        go.Bar(
            x=_milliseconds(begins), y=[1] * len(episodes), width=(ends - begins).dt.total_seconds() * 1000, offset=0,
            yaxis="y2", name="it fires", hoverinfo="skip",
            marker={"color": faded(MARK[level], 0.16), "line": {"width": 1, "color": faded(MARK[level], 0.6)}},
        )
    )  # fmt: skip
    figure.update_layout(
        yaxis2={"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True}, barmode="overlay"
    )


def _milliseconds(times: pd.Series[Any]) -> npt.NDArray[np.float64]:
    """Wall times as numbers, which plotly keeps whole: moments and texts it copies one by one, three times."""
    return times.to_numpy("datetime64[ms]").astype(np.float64)


def _spreads_wide(values: pd.Series[float]) -> bool:
    """Whether one value would press all others to the ground."""
    known = values.dropna()
    return bool(known.min() > 0 and known.max() > WIDE * known.median())
