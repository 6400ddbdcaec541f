"""Quality over time: what labels showed, what was estimated without them, and how many rows stand behind
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from app.charts.frame import (
    CLEAR,
    Mark,
    add_marks,
    add_version_switches,
    empty_figure,
    local_times,
    name_time_axis,
    new_figure,
    runs_of_numbers,
    span_windows,
    when_texts,
)
from app.formats import format_count, format_metric, format_share, format_when
from app.theme import MARK, STATES, faded

COMPLETE = 0.95  # at this share of labels a point is drawn full


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
) -> go.Figure:
    """Realised and estimated quality on one axis.

    `realised` has window_start (UTC-aware), value, low, high, completeness (0 to 1), rows; `estimated` has
    window_start, value, low, high. Either may have first_value, first_computed_at, threshold and verdict. The line
    follows the estimate, with its band, until a window's labels speak; from there it follows what they say, and the
    earlier estimate stays as a faint line. A point's fill shows its completeness: full from 95 % of labels, hollow
    below half. A window that alarmed carries the alarm's shape and colour. A window without a value is a gap, never
    a zero. `first_seen`: the values are those first computed, so there is neither a band nor a mark of an alarm, as
    both are of now.
    """
    if realised["value"].isna().all() and estimated["value"].isna().all():
        return empty_figure(
            "No quality measured in this period",
            "Choose a longer period, send labels, or run the metrics job from Jobs.",
        )
    figure = new_figure(380)
    everything = pd.Series([*realised["window_start"], *estimated["window_start"]])
    local = local_times(everything, tz)
    rows = add_version_switches(figure, deployments, tz, (local.min(), local.max()))
    _add_limit(figure, realised, estimated, metric, tz)
    ahead, past = take_over(realised, estimated)
    if past["value"].notna().any():
        _add_past(figure, past, metric, unit, tz, before=came_before(realised, past))
    if ahead["value"].notna().any():
        _add_estimated(figure, ahead, metric, unit, tz, band=not first_seen)
    if not realised.empty:
        _add_realised(figure, realised, metric, unit, tz)
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
            text=f"reference {format_metric(reference, unit)}",
            font={"size": 11},
        )
    add_marks(figure, marks, tz)
    name_time_axis(figure, tz, everything.max())
    figure.update_layout(margin={"t": 12 + 16 * max(rows, 1), "b": 92}, showlegend=True)
    figure.update_yaxes(title={"text": f"{metric}{f', {unit}' if unit else ''}", "font": {"size": 11}})
    span_windows(figure, everything, tz)
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
    for level, chosen in (("page", fell[paged]), ("attention", fell[~paged])):
        if chosen.empty:
            continue
        state, name = STATES[level], f"alarm ({STATES[level].word})"
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
                    "symbol": state.symbol,
                    "size": 13,
                    "color": MARK[level],
                    "line": {"width": 1.5, "color": MARK[level]},
                },
                customdata=[
                    [when, format_metric(value, unit)]
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


def came_before(realised: pd.DataFrame, past: pd.DataFrame) -> bool:
    """Whether every estimate that labels have overtaken was there before them; False where that is not known."""
    if "first_computed_at" not in realised or "first_computed_at" not in past:
        return False
    labels = realised.drop_duplicates("window_start").set_index("window_start")
    known = past[past["value"].notna()]
    since = known["window_start"].map(labels["first_computed_at"])
    unseen = known["window_start"].map(labels["first_value"]).isna()
    return bool(len(known) and ((known["first_computed_at"] < since) | unseen).all())


def _add_past(
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
                [when, format_metric(value, unit)]
                for when, value in zip(when_texts(frame["window_start"], tz), frame["value"], strict=True)
            ],
            hovertemplate=(
                f"<b>{metric} %{{customdata[1]}}</b> {told}<br>window from %{{customdata[0]}}<extra></extra>"
            ),
        )
    )


def _seen_first(frame: pd.DataFrame, unit: str, tz: str | None) -> list[str]:
    """A line of a hover for each window whose first value was another one; empty where it still holds."""
    if "first_value" not in frame:
        return [""] * len(frame)
    texts = []
    for first, at, now in zip(frame["first_value"], frame["first_computed_at"], frame["value"], strict=True):
        if pd.isna(at) or (first == now) or (pd.isna(first) and pd.isna(now)):
            texts.append("")
            continue
        seen = "no value" if pd.isna(first) else format_metric(first, unit)
        texts.append(f"<br>first seen as {seen} on {format_when(pd.Timestamp(at).to_pydatetime(), tz)}")
    return texts


def _sizes(values: pd.Series[float], size: int) -> list[int]:
    """A marker only where a line would not be seen: at values without a neighbour."""
    known = values.notna()
    lone = known & ~known.shift(1, fill_value=False) & ~known.shift(-1, fill_value=False)
    return [size if one else 0 for one in lone]


def _add_estimated(
    figure: go.Figure, frame: pd.DataFrame, metric: str, unit: str, tz: str | None, *, band: bool
) -> None:
    frame = frame.sort_values("window_start").reset_index(drop=True)
    x = local_times(frame["window_start"], tz)
    own = ~frame["joint"].astype(bool)
    lone = [size > 0 for size in _sizes(frame["value"], 1)]
    for run in runs_of_numbers(frame["low"], frame["high"]) if band else []:
        figure.add_trace(
            go.Scatter(
                x=[*x[run], *x[run][::-1]],
                y=[*frame["high"][run], *frame["low"][run][::-1]],
                fill="toself",
                fillcolor=faded(MARK["estimated"], 0.16),
                line={"width": 0},
                mode="lines",
                hoverinfo="skip",
                showlegend=False,
                legendgroup="estimated",
            )
        )
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
                [w, format_metric(v, unit), format_metric(lo, unit), format_metric(hi, unit), first]
                for w, v, lo, hi, first in zip(
                    when_texts(frame["window_start"], tz),
                    frame["value"],
                    frame["low"],
                    frame["high"],
                    _seen_first(frame, unit, tz),
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


def _fill(completeness: float) -> str:
    """The fill of a point: none below half of the labels, full from 95 %, in between in proportion."""
    if completeness >= COMPLETE:
        return MARK["realised"]
    return faded(MARK["realised"], 0.55 * completeness) if completeness >= 0.5 else CLEAR


def _add_realised(figure: go.Figure, frame: pd.DataFrame, metric: str, unit: str, tz: str | None) -> None:
    frame = frame.sort_values("window_start").reset_index(drop=True)
    x = local_times(frame["window_start"], tz)
    share = frame["completeness"].fillna(0.0)
    above, below = frame["high"] - frame["value"], frame["value"] - frame["low"]
    figure.add_trace(
        go.Scatter(
            x=x,
            y=frame["value"],
            mode="lines",
            connectgaps=False,
            hoverinfo="skip",
            showlegend=False,
            legendgroup="realised",
            line={"color": faded(MARK["realised"], 0.55), "width": 1.5},
        )
    )
    figure.add_trace(
        go.Scatter(
            x=x,
            y=frame["value"],
            mode="markers",
            name="realised (hollow: few labels)",
            legendgroup="realised",
            marker={
                "size": 8 if len(frame) <= 120 else 5,
                "color": [_fill(c) for c in share],
                "line": {"color": MARK["realised"], "width": 1.5},
            },
            error_y={
                "type": "data",
                "symmetric": False,
                "array": above,
                "arrayminus": below,
                "color": faded(MARK["realised"], 0.4),
                "thickness": 1,
                "width": 0,
            },
            customdata=[
                [w, format_metric(v, unit), _between(lo, hi, unit), format_share(c), format_count(n), first]
                for w, v, lo, hi, c, n, first in zip(
                    when_texts(frame["window_start"], tz),
                    frame["value"],
                    frame["low"],
                    frame["high"],
                    frame["completeness"],
                    frame["window_rows"] if "window_rows" in frame else frame["rows"],
                    _seen_first(frame, unit, tz),
                    strict=True,
                )
            ],
            hovertemplate=(
                f"<b>{metric} %{{customdata[1]}}</b>, from labels%{{customdata[2]}}<br>labels %{{customdata[3]}} of "
                "%{customdata[4]} rows<br>window from %{customdata[0]}%{customdata[5]}<extra></extra>"
            ),
        )
    )


def _between(low: float, high: float, unit: str) -> str:
    """A line of a hover; empty without an interval."""
    if pd.isna(low) or pd.isna(high):
        return ""
    return f"<br>95 % interval {format_metric(low, unit)} to {format_metric(high, unit)}"


def volume_figure(frame: pd.DataFrame, *, tz: str | None = None, marks: Sequence[Mark] = ()) -> go.Figure:
    """Rows of each window, split by whether their label has come.

    `frame` has window_start (UTC-aware), rows, completeness (0 to 1, NaN while no label can be there), and
    optionally state: "expected none" for a window in which no traffic was expected, "missing" for one that
    should have had some. Both are marked on the base line, as nothing is otherwise drawn there.
    """
    if frame.empty or (frame["rows"].fillna(0).sum() == 0 and "state" not in frame):
        return empty_figure("No predictions in this period", "Choose another period, or send predictions.")
    frame = frame.sort_values("window_start").reset_index(drop=True)
    x = local_times(frame["window_start"], tz)
    rows = frame["rows"].fillna(0)
    labelled = rows * frame["completeness"].fillna(0.0)
    detail = [
        [w, format_count(n), format_share(c)]
        for w, n, c in zip(
            when_texts(frame["window_start"], tz), frame["rows"], frame["completeness"], strict=True
        )
    ]
    hover = (
        "<b>%{customdata[1]} rows</b>, label known for %{customdata[2]}"
        "<br>window from %{customdata[0]}<extra></extra>"
    )
    figure = new_figure(230)
    solid: dict[str, Any] = {"color": MARK["realised"], "line": {"width": 0}}
    waiting: dict[str, Any] = {
        "color": faded(MARK["realised"], 0.18),
        "line": {"width": 1, "color": faded(MARK["realised"], 0.7)},
    }
    for name, heights, marker in (
        ("label known", labelled, solid),
        ("no label yet", rows - labelled, waiting),
    ):
        figure.add_trace(
            go.Bar(x=x, y=heights, name=name, marker=marker, customdata=detail, hovertemplate=hover)
        )
    if "state" in frame:
        for state, word, symbol, colour in (
            ("expected none", "no traffic expected", "line-ew-open", MARK["unknown"]),
            ("missing", "no data", STATES["unknown"].symbol, MARK["page"]),
        ):
            chosen = frame["state"] == state
            if chosen.any():
                figure.add_trace(
                    go.Scatter(
                        x=x[chosen],
                        y=[0] * int(chosen.sum()),
                        mode="markers",
                        name=word,
                        cliponaxis=False,
                        marker={
                            "symbol": symbol,
                            "size": 8,
                            "color": colour,
                            "line": {"width": 2, "color": colour},
                        },
                        text=[d[0] for d, c in zip(detail, chosen, strict=True) if c],
                        hovertemplate=f"<b>{word}</b><br>window from %{{text}}<extra></extra>",
                    )
                )
    add_marks(figure, marks, tz)
    figure.update_layout(barmode="stack", showlegend=True, margin={"t": 10, "b": 74})
    figure.update_yaxes(title={"text": "rows", "font": {"size": 11}}, rangemode="tozero")
    name_time_axis(figure, tz, frame["window_start"].max())
    span_windows(figure, frame["window_start"], tz)
    return figure
