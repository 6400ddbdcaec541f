"""How versions came to serve: a column a stage, from data to deployment, and a line for each step."""

from __future__ import annotations

from html import escape
from typing import Final

import plotly.graph_objects as go

from app.charts.frame import empty_figure, new_figure
from app.theme import MARK, faded
from backend.assurance.lineage import STAGES, Lineage, Node

WORDS: Final = {
    "data": "training data", "code": "code", "run": "run", "version": "version", "change": "change",
    "deployment": "deployment",
}  # fmt: skip
BOX, ROW_PX, TALL = 0.86, 58, 0.74
LONGEST: Final = 17  # characters that a box has room for


def lineage_figure(found: Lineage) -> go.Figure:
    """Boxes with broken lines are things that nobody recorded. Hovering says what does not fit into a box."""
    if not found.of("version"):
        return empty_figure("No version is registered here", "Register one, and its lineage is drawn.")
    places = {
        node.id: (column, -row)
        for column, stage in enumerate(STAGES)
        for row, node in enumerate(found.of(stage))
    }
    rows = max(len(found.of(stage)) for stage in STAGES)
    figure = new_figure(48 + ROW_PX * rows)
    line = {"color": faded(MARK["reference"], 0.7), "width": 1.3}
    for left, right in found.edges:
        path = _path(places[left], places[right])
        figure.add_shape(type="path", path=path, line=line, layer="below")
    for node in found.nodes:
        _box(figure, node, *places[node.id])
    for column, stage in enumerate(STAGES):
        figure.add_annotation(
            x=column,
            y=0.72,
            text=f"<b>{WORDS[stage]}</b>",
            showarrow=False,
            xanchor="left",
            font={"size": 12},
        )
    figure.add_trace(
        go.Scatter(
            x=[places[node.id][0] + BOX / 2 for node in found.nodes],
            y=[places[node.id][1] for node in found.nodes],
            mode="markers", marker={"size": 30, "opacity": 0}, showlegend=False,
            text=[escape(f"{WORDS[node.stage]}: {node.label} {node.detail}".strip()) for node in found.nodes],
            hovertemplate="%{text}<extra></extra>",
        )
    )  # fmt: skip
    figure.update_xaxes(visible=False, range=[-0.02, len(STAGES) - 1 + BOX + 0.02], fixedrange=True)
    figure.update_yaxes(visible=False, range=[-rows + 0.35, 0.95], fixedrange=True)
    figure.update_layout(margin={"l": 2, "r": 2, "t": 4, "b": 4})
    return figure


def _path(left: tuple[int, int], right: tuple[int, int]) -> str:
    """A curve to the next column; past a column between them it runs in the gap below the row it comes from."""
    (x0, y0), (x1, y1) = left, right
    start, end = x0 + BOX, float(x1)
    if x1 - x0 == 1:
        middle = (start + end) / 2
        return f"M {start} {y0} C {middle} {y0} {middle} {y1} {end} {y1}"
    gap, bend = y0 - 0.5, (1 - BOX) / 2
    inner, outer = start + bend * 2, end - bend * 2
    return (
        f"M {start} {y0} C {start + bend} {y0} {start + bend} {gap} {inner} {gap} L {outer} {gap} "
        f"C {end - bend} {gap} {end - bend} {y1} {end} {y1}"
    )


def _box(figure: go.Figure, node: Node, x: int, y: int) -> None:
    dash = "solid" if node.known else "dot"
    colour = MARK["realised"] if node.stage == "version" else MARK["reference"]
    figure.add_shape(
        type="rect", x0=x, x1=x + BOX, y0=y - TALL / 2, y1=y + TALL / 2, fillcolor=faded(colour, 0.07),
        line={"color": colour, "width": 1.2, "dash": dash},
    )  # fmt: skip
    label = escape(_short(node.label))
    text = label if node.known else f"<i>{label}</i>"
    if node.detail:
        text += f"<br><span style='font-size:10px'>{escape(_short(node.detail))}</span>"
    figure.add_annotation(
        x=x + 0.04, y=y, text=text, showarrow=False, xanchor="left", align="left", font={"size": 11}
    )


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
