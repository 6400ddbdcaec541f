"""Drift: every column at a glance, and one column over time against its threshold."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from app.charts.frame import (
    CLEAR,
    Mark,
    add_ground,
    add_marks,
    add_version_switches,
    empty_figure,
    local_times,
    name_time_axis,
    new_figure,
    when_texts,
)
from app.formats import format_metric
from app.theme import MARK, STATES, faded

# value / limit of what is ok stays below the middle, in grey; an alarm begins at it, amber, and is red from twice
HEAT = [
    [0.0, faded(MARK["reference"], 0.04)],
    [0.499, faded(MARK["reference"], 0.30)],
    [0.5, faded(MARK["attention"], 0.50)],
    [1.0, faded(MARK["page"], 0.62)],
]
HATCH = "╱"
CALM = 0.99
"""Where a cell that is ok is drawn at most, though its value may lie beyond the limit by what chance allows."""
WAITING = {"not_computed": "…", "filling": "◌"}
"""Shapes of windows that will be known."""
UNKNOWN_WORDS = {
    "not_computed": "not computed yet",
    "filling": "still filling",
    "open": "not over yet, too few rows so far",
    "complete": "no result is stored",
    "inconclusive": "inconclusive",
    "no_traffic": "no rows came",
    "no_traffic_expected": "no traffic expected",
}
# a verdict is a level of the theme; what monitors call their results maps onto it here
VERDICT_LEVELS = {
    "ok": "ok",
    "pass": "ok",
    "fine": "ok",
    "attention": "attention",
    "ticket": "attention",
    "fail": "attention",
    "alarm": "attention",
    "drift": "attention",
    "page": "page",
    "injected": "injected",
}


def verdict_level(verdict: object) -> str:
    """The level a verdict is drawn at. Anything not known to be fine or alarming is "unknown", never "ok"."""
    return VERDICT_LEVELS.get(str(verdict), "unknown")


def drift_heatmap(
    points: pd.DataFrame,
    *,
    statistic: str = "PSI",
    columns: Sequence[str] | None = None,
    tz: str | None = None,
    limit: int = 40,
) -> go.Figure:
    """Columns by windows; a cell is value / threshold, in a colour of alarm only where the verdict is one, alarms carry
    their shape, cells without data are hatched.

    `points` has window_start (UTC-aware), column, value, threshold, verdict, and optionally the word of the cell's
    own statistic: one row a cell. `columns` gives the order from the top; without it the columns that went furthest
    over their threshold come first. At most `limit` of them are drawn and the axis title says so.
    """
    if points.empty:
        return empty_figure(
            "No drift computed in this period", "Choose another period, or run the metrics job from Jobs."
        )
    frame = points.assign(
        ratio=points["value"] / points["threshold"].where(points["threshold"] > 0),
        level=points["verdict"].map(verdict_level),
    )
    if columns is None:
        worst = frame.groupby("column")["ratio"].max().fillna(-1.0).sort_values(ascending=False)
        columns = list(worst.index)
    if "statistic" not in frame:
        frame["statistic"] = statistic
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
        name: table[name].reindex(columns=windows) for name in ("value", "threshold", "statistic", "verdict")
    }
    hover = [
        [
            f"<b>{column}</b><br>{_said(name, statistic)} {format_metric(value)} (limit {format_metric(threshold)})"
            f"<br>{STATES[lvl].shape} {_word(lvl, verdict)}<br>window from {text}"
            for name, value, threshold, lvl, verdict, text in zip(
                cells["statistic"].loc[column],
                cells["value"].loc[column],
                cells["threshold"].loc[column],
                level.loc[column],
                cells["verdict"].loc[column],
                texts,
                strict=True,
            )
        ]
        for column in shown
    ]
    figure = new_figure(96 + 20 * len(shown))
    drawn = ratio.fillna(0.0).clip(upper=CALM).where(level == "ok", ratio.fillna(1.0).clip(lower=1.0))
    drawn = drawn.mask(level == "unknown")
    places, apart = _with_gaps(x)
    figure.add_trace(
        go.Heatmap(
            z=_spread(drawn.to_numpy(), apart, float("nan")),
            x=places,
            y=shown,
            text=_spread(np.array(hover, dtype=object), apart, ""),
            hovertemplate="%{text}<extra></extra>",
            hoverongaps=False,
            colorscale=HEAT,
            zmin=0,
            zmax=2,
            xgap=1,
            ygap=1,
            colorbar={
                "title": {"text": "value / limit", "side": "right", "font": {"size": 11}},
                "thickness": 8,
                "outlinewidth": 0,
                "tickvals": [0, 0.5, 1, 1.5, 2],
                "ticktext": ["0", "0.5", "1", "1.5", "2+"],
            },
        )
    )
    _add_verdicts(figure, level, cells["verdict"], hover, x)
    rest = len(columns) - len(shown)
    figure.update_yaxes(autorange="reversed", showgrid=False, type="category", ticklabelstandoff=4)
    if rest > 0:
        figure.update_yaxes(title={"text": f"{rest} calmer columns not drawn", "font": {"size": 11}})
    name_time_axis(figure, tz, windows[-1])
    figure.update_layout(margin={"t": 24, "b": 48}, showlegend=False)
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


def _word(level: str, verdict: object) -> str:
    """A level's word; a cell that is not known says why in its own."""
    if level != "unknown" or not isinstance(verdict, str):
        return STATES[level].word
    return UNKNOWN_WORDS.get(verdict, STATES[level].word)


def _add_verdicts(
    figure: go.Figure, level: pd.DataFrame, verdict: pd.DataFrame, hover: list[list[str]], x: pd.Series[datetime]
) -> None:  # fmt: skip
    """Shapes as text, because text takes the theme's own colour and so stands out on any cell."""
    legend = []
    for name in ("attention", "page", "injected", "unknown"):
        cells = np.argwhere((level == name).to_numpy())
        if not len(cells):
            continue
        unknown = name == "unknown"
        usual = HATCH if unknown else STATES[name].shape
        glyphs = [WAITING.get(str(verdict.iat[i, j]), usual) for i, j in cells]
        if usual in glyphs:
            legend.append(f"{usual} {STATES[name].word}" + (", not over, or too few rows" if unknown else ""))
        legend += [f"{shape} {UNKNOWN_WORDS[one]}" for one, shape in WAITING.items() if shape in glyphs]
        figure.add_trace(
            go.Scatter(
                x=[x.iloc[j] for _, j in cells],
                y=[level.index[i] for i, _ in cells],
                mode="text",
                name=STATES[name].word,
                text=glyphs,
                textfont={"size": 10},
                customdata=[hover[i][j] for i, j in cells],
                hovertemplate="%{customdata}<extra></extra>",
            )
        )
    if legend:
        figure.add_annotation(
            text="   ".join(legend),
            x=0,
            y=1,
            xref="paper",
            yref="paper",
            xanchor="left",
            yanchor="bottom",
            showarrow=False,
            font={"size": 11},
        )


def drift_series(
    points: pd.DataFrame,
    *,
    column: str,
    statistic: str = "PSI",
    deployments: Sequence[tuple[datetime, str]] = (),
    marks: Sequence[Mark] = (),
    tz: str | None = None,
) -> go.Figure:
    """One column's statistic over time, its threshold as a step line, and a shape wherever the verdict is not ok. A
    window without a value is a gap in the line and hatched over the whole height: it has no place on the value axis.

    `points` has window_start (UTC-aware), value, threshold, verdict of one column.
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
    rows = add_version_switches(figure, deployments, tz, (x.min(), x.max()))
    detail = [
        [w, format_metric(v), format_metric(t), f"{STATES[lv].shape} {_word(lv, verdict)}"]
        for w, v, t, lv, verdict in zip(
            texts, frame["value"], frame["threshold"], level, frame["verdict"], strict=True
        )
    ]
    hover = (
        f"<b>{statistic} %{{customdata[1]}}</b> (threshold %{{customdata[2]}})<br>%{{customdata[3]}}"
        "<br>window from %{customdata[0]}<extra></extra>"
    )
    figure.add_trace(
        go.Scatter(
            x=x,
            y=frame["threshold"],
            mode="lines",
            name="threshold",
            hoverinfo="skip",
            line={"color": MARK["reference"], "width": 1.5, "dash": "dash", "shape": "hvh"},
        )
    )
    figure.add_trace(
        go.Scatter(
            x=x,
            y=frame["value"],
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
        add_ground(figure)
        if name == "unknown" and not has_value:
            _add_gaps(figure, x, chosen, detail, hover, word)
            continue
        figure.add_trace(
            go.Scatter(
                x=x[chosen],
                y=frame["value"][chosen] if has_value else [0.97] * int(chosen.sum()),
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
    figure.update_layout(margin={"t": 12 + 16 * max(rows, 1), "b": 76}, showlegend=True)
    figure.update_yaxes(title={"text": f"{statistic} of {column}", "font": {"size": 11}}, rangemode="tozero")
    name_time_axis(figure, tz, frame["window_start"].max())
    return figure


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
                "pattern": {
                    "shape": "/",
                    "fgcolor": faded(MARK["unknown"], 0.55),
                    "size": 7,
                    "solidity": 0.15,
                },
            },
        )
    )
