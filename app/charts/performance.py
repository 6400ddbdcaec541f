"""Quality over time on one axis: what labels showed, and what was estimated without them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from app.charts.earlier import Earlier, add_earlier
from app.charts.estimated import add_estimated, add_past, came_before
from app.charts.frame import (
    Ends,
    Mark,
    add_marks,
    add_version_switches,
    empty_figure,
    local_time,
    local_times,
    name_time_axis,
    new_figure,
    span_windows,
    when_texts,
)
from app.charts.realised import add_realised
from app.formats import format_metric
from app.theme import MARK, STATES

SILENT = ("before", "passed")
"""What `came` of alarms of the level of a page for which nobody was paged."""


def performance_figure(
    realised: pd.DataFrame,
    estimated: pd.DataFrame,
    *,
    reference: float | None,
    metric: str = "AUC",
    unit: str = "",
    deployments: Sequence[tuple[datetime, str]] = (),
    marks: Sequence[Mark] = (),
    tz: str | None = None,
    first_seen: bool = False,
    ends: Ends | None = None,
    earlier: Earlier | None = None,
) -> go.Figure:
    """Realised and estimated quality on one axis.

    `realised` has window_start (UTC-aware), value, low, high, completeness (0 to 1), rows; `estimated` has
    window_start, value, low, high. Either may have first_value, first_computed_at, threshold and verdict, and
    `came`, what came of an alarm that pages (`SILENT`: no page went out). The line
    follows the estimate, with its band, until a window's labels speak; from there it follows what they say, and the
    earlier estimate stays as a faint line. A point's fill shows its completeness: full from 95 % of labels, hollow
    below half. A window that alarmed carries the alarm's shape and colour. A window without a value is a gap, never
    a zero. `first_seen`: the values are those first computed, so there is neither a band nor a mark of an alarm, as
    both are of now. `ends`: what the time axis shows. `earlier`: another time's figure, laid over this one.
    """
    if realised["value"].isna().all() and estimated["value"].isna().all():
        return empty_figure(
            "No quality measured in this period",
            "Choose a longer period, send labels, or run the metrics job from Jobs.",
        )
    figure = new_figure(380)
    everything = pd.Series([*realised["window_start"], *estimated["window_start"]])
    local = local_times(everything, tz)
    drawn = (local.min(), local.max()) if ends is None else tuple(local_time(one, tz) for one in ends)
    rows = add_version_switches(figure, deployments, tz, (drawn[0], drawn[1]))
    if earlier is not None:
        add_earlier(figure, earlier, metric, unit, tz)
    _add_limit(figure, realised, estimated, metric, tz)
    ahead, past = take_over(realised, estimated)
    if past["value"].notna().any():
        add_past(figure, past, metric, unit, tz, before=came_before(realised, past))
    if ahead["value"].notna().any():
        add_estimated(figure, ahead, metric, unit, tz, band=not first_seen)
    if not realised.empty:
        add_realised(figure, realised, metric, unit, tz)
    if not first_seen:
        for frame, of in ((ahead, "estimated"), (realised, "realised")):
            _add_alarms(figure, frame, metric, unit, tz, of)
    if reference is not None:
        figure.add_shape(
            type="line",
            x0=0,
            x1=1,
            xref="paper",
            y0=reference,
            y1=reference,
            line={"color": MARK["reference"], "width": 1.5, "dash": "dash"},
        )
        figure.add_annotation(
            x=1,
            xref="paper",
            xanchor="right",
            y=reference,
            yanchor="bottom",
            showarrow=False,
            text=f"reference {format_metric(reference, unit, of=metric)}",
            font={"size": 11},
        )
    add_marks(figure, marks, tz)
    name_time_axis(figure, tz, everything.max())
    figure.update_layout(margin={"t": 12 + 16 * max(rows, 1), "b": 92}, showlegend=True)
    figure.update_yaxes(title={"text": f"{metric}{f', {unit}' if unit else ''}", "font": {"size": 11}})
    span_windows(figure, everything, tz, ends)
    return figure


def take_over(realised: pd.DataFrame, estimated: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The estimate where no label has spoken yet, joined to the realised value next to it, and the estimates that
    labels have overtaken; both in order of time, with NaN where the other one holds.

    Labels speak for a window that has a realised value and, where verdicts are there, one that was judged.
    """
    spoken = realised["value"].notna()
    if "verdict" in realised:
        spoken &= realised["verdict"].isin(["ok", "alarm"])
    settled = realised.loc[spoken].drop_duplicates("window_start").set_index("window_start")["value"]
    frame = estimated.sort_values("window_start").reset_index(drop=True)
    over = frame["window_start"].isin(settled.index)
    numbers = ["value", "low", "high"]
    ahead, past = frame.copy(), frame.copy()
    ahead.loc[over, numbers] = float("nan")
    past.loc[~over, numbers] = float("nan")
    beside = over & (~over).shift(-1, fill_value=False) & frame["value"].shift(-1).notna()
    for name in numbers:
        ahead.loc[beside, name] = frame.loc[beside, "window_start"].map(settled)
    ahead["joint"] = beside
    return ahead, past


def _add_limit(
    figure: go.Figure, realised: pd.DataFrame, estimated: pd.DataFrame, metric: str, tz: str | None
) -> None:
    """What the windows were held against, window by window: the realised limit, else the estimate's."""
    known = [
        frame[["window_start", "threshold"]].dropna()
        for frame in (realised, estimated)
        if "threshold" in frame
    ]
    if not known or not sum(len(frame) for frame in known):
        return
    limits = (
        pd.concat(known).drop_duplicates("window_start").sort_values("window_start").reset_index(drop=True)
    )
    x = local_times(limits["window_start"], tz)
    every = local_times(
        sorted({*realised["window_start"].dropna(), *estimated["window_start"].dropna()}), tz
    ).diff()
    step = every.median() if every.notna().any() else pd.Timedelta(days=1)
    times: list[Any] = []
    heights: list[float | None] = []
    for at, gap, value in zip(x, x.diff(), limits["threshold"], strict=True):
        if times and gap > 1.5 * step:  # a window between them has no limit
            times.append(None)
            heights.append(None)
        times += [at - step / 2, at, at + step / 2]
        heights += [value] * 3
    figure.add_trace(
        go.Scatter(
            x=times,
            y=heights,
            mode="lines",
            name="limit",
            connectgaps=False,
            line={"color": MARK["attention"], "width": 1.5, "dash": "dot"},
            text=[format_metric(value) for value in heights],
            hovertemplate=f"limit of {metric} %{{text}}<extra></extra>",
        )
    )


def _add_alarms(
    figure: go.Figure, frame: pd.DataFrame, metric: str, unit: str, tz: str | None, of: str
) -> None:
    """The windows that alarmed, each with the shape and colour of its alarm's level."""
    if "verdict" not in frame:
        return
    fell = frame[(frame["verdict"] == "alarm") & frame["value"].notna()]
    if "joint" in fell:
        fell = fell[~fell["joint"].astype(bool)]
    paged = fell["level"].eq("page") if "level" in fell else pd.Series(data=False, index=fell.index)
    silent = paged & fell["came"].isin(SILENT) if "came" in fell else paged & False
    for level, word, chosen in (
        ("page", "page", fell[paged & ~silent]),
        ("page", "page level, nobody was paged", fell[silent]),
        ("attention", STATES["attention"].word, fell[~paged]),
    ):
        if chosen.empty:
            continue
        state, name = STATES[level], f"alarm ({word})"
        figure.add_trace(
            go.Scatter(
                x=local_times(chosen["window_start"], tz),
                y=chosen["value"],
                mode="markers",
                name=name,
                legendgroup=name,
                showlegend=all(one.name != name for one in figure.data),
                cliponaxis=False,
                marker={
                    "symbol": f"{state.symbol}-open" if word != state.word else state.symbol,
                    "size": 13,
                    "color": MARK[level],
                    "line": {"width": 1.5, "color": MARK[level]},
                },
                customdata=[
                    [when, format_metric(value, unit, of=metric)]
                    for when, value in zip(
                        when_texts(chosen["window_start"], tz), chosen["value"], strict=True
                    )
                ],
                hovertemplate=(
                    f"<b>{metric} %{{customdata[1]}}</b>, {of}: {name}"
                    "<br>window from %{customdata[0]}<extra></extra>"
                ),
            )
        )
