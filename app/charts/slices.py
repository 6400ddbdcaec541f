"""Where a model is worse: slices beside the rows elsewhere, and each value of a column beside the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import plotly.graph_objects as go

from app.charts.changes import worsened
from app.charts.frame import empty_figure, new_figure
from app.charts.grid import panels
from app.formats import format_count, format_metric, format_share
from app.theme import MARK, faded

MOST_SLICES: Final = 10
MOST_COLUMNS: Final = 9
MOST_VALUES: Final = 6
ROW_PX: Final = 30
ROOM: Final = 0.2
"""What a panel leaves free for the values of the one to its right: `2.241 to 4.369`."""


def slices_figure(slices: Sequence[Mapping[str, Any]], *, metric: str, scale: float, unit: str) -> go.Figure:
    """The slices, largest cost first: on the left the metric inside (filled), elsewhere in the window (hollow) and
    inside in the reference (diamond), on the right what each costs the whole window, in `unit` after `scale`.

    `slices` have conditions (with text), inside, outside, reference_inside, rows, share, effect; at most
    `MOST_SLICES` are drawn.
    """
    shown = list(slices[:MOST_SLICES])
    if not shown:
        return empty_figure("No slice stands out", "None is worse than chance would make one of so many.")
    names = ["<br>and ".join(one["text"] for one in each["conditions"]) for each in shown]
    figure = new_figure(110 + ROW_PX * len(shown) + 12 * sum(len(one["conditions"]) - 1 for one in shown))
    told = [f"{format_count(one['rows'])} rows, {format_share(one['share'])} of the window" for one in shown]
    for name, one in zip(names, shown, strict=True):
        figure.add_trace(
            go.Scatter(
                x=[one["inside"], one["outside"]], y=[name, name], mode="lines", hoverinfo="skip", showlegend=False,
                line={"color": faded(MARK["reference"], 0.5), "width": 2},
            )
        )  # fmt: skip
    for key, word, marker in (
        (
            "reference_inside",
            "inside, in the reference",
            {"symbol": "diamond-open", "color": MARK["reference"]},
        ),
        ("outside", "elsewhere", {"symbol": "circle-open", "color": MARK["champion"]}),
        ("inside", "inside", {"symbol": "circle", "color": MARK["champion"]}),
    ):
        figure.add_trace(
            go.Scatter(
                x=[one[key] for one in shown], y=names, mode="markers", name=word,
                marker={"size": 9, "line": {"width": 1.5}, **marker},
                customdata=[[format_metric(one[key]), rows] for one, rows in zip(shown, told, strict=True)],
                hovertemplate=f"<b>{metric} %{{customdata[0]}}</b> {word}<br>%{{y}}"
                "<br>%{customdata[1]}<extra></extra>",
            )
        )  # fmt: skip
    figure.add_trace(
        go.Bar(
            x=[one["effect"] * scale for one in shown], y=names, orientation="h", xaxis="x2", showlegend=False,
            marker={"color": faded(MARK["champion"], 0.75)}, width=0.5,
            text=[worsened(one["effect"], scale) for one in shown], textposition="outside", textfont={"size": 11},
            cliponaxis=False, customdata=told,
            hovertemplate="<b>%{text}</b><br>%{y}<br>%{customdata}<extra></extra>", name="cost",
        )
    )  # fmt: skip
    small = {"font": {"size": 11}, "standoff": 4}
    axis = figure.layout.xaxis.to_plotly_json()
    most = max(abs(one["effect"] * scale) for one in shown) or 1.0
    figure.update_layout(
        xaxis=axis | {"domain": [0, 0.62], "title": {"text": metric} | small, "showgrid": True},
        xaxis2=axis | {
            "domain": [0.68, 1], "anchor": "y", "title": {"text": f"cost of the whole, {unit}"} | small,
            "range": [0, most * 1.6],
        },
        margin_t=6,
    )  # fmt: skip
    figure.update_yaxes(autorange="reversed", showgrid=False, type="category", ticklabelstandoff=4)
    return figure


def values_figure(
    segments: Sequence[Mapping[str, Any]], *, metric: str, upwards: bool, per_row: int = 2
) -> go.Figure:
    """A panel for each column, on one scale: the metric in each value now (filled) and in the reference (hollow); the
    column with the largest fall first, at most `MOST_COLUMNS` of them, in each the `MOST_VALUES` with most rows.

    `segments` have column and cells (value, metric, reference_metric, rows, share); `upwards`: higher is better.
    """
    known = {one["column"]: _known(one["cells"]) for one in segments if _known(one["cells"])}
    if not known:
        return empty_figure(
            "No value of a column has enough rows", "At least 20 labelled rows of a value are compared."
        )
    order = sorted(known, key=lambda column: -max(_fall(one, upwards) for one in known[column]))[
        :MOST_COLUMNS
    ]
    figure, places = panels(order, per_row=per_row, height=130, beside=ROOM)
    for column, place in zip(order, places, strict=True):
        cells = sorted(known[column], key=lambda one: (-one["rows"], str(one["value"])))[:MOST_VALUES]
        names = [str(one["value"]) for one in cells]
        for key, word, symbol in (
            ("reference_metric", "reference", "circle-open"),
            ("metric", "now", "circle"),
        ):
            figure.add_trace(
                go.Scatter(
                    x=[one[key] for one in cells], y=names, mode="markers", name=word, legendgroup=word,
                    showlegend=column == order[0],
                    marker={
                        "symbol": symbol, "size": 8, "line": {"width": 1.5},
                        "color": MARK["champion" if key == "metric" else "reference"],
                    },
                    customdata=[
                        [format_metric(one[key]), format_count(one["rows"]), format_share(one["share"])]
                        for one in cells
                    ],
                    hovertemplate=f"<b>{metric} %{{customdata[0]}}</b> {word}<br>{column} %{{y}}"
                    "<br>%{customdata[1]} rows now, %{customdata[2]} of the window<extra></extra>",
                ),
                **place,
            )  # fmt: skip
        figure.update_yaxes(
            autorange="reversed",
            showgrid=True,
            type="category",
            ticklabelstandoff=4,
            tickfont={"size": 11},
            **place,
        )
    figure.update_xaxes(matches="x", showgrid=True)
    figure.update_layout(margin_t=28)
    return figure


def _known(cells: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [one for one in cells if one["metric"] is not None]


def _fall(one: Mapping[str, Any], upwards: bool) -> float:
    if one["reference_metric"] is None:
        return 0.0
    rise = float(one["metric"] - one["reference_metric"])
    return -rise if upwards else rise
