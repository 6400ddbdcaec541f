"""The parts of the slices page: the table of worst slices, what was looked at, and segments side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st
from markupsafe import Markup

from app.charts.changes import worsened
from app.components.charts import draw
from app.components.status import empty_state
from app.components.tables import Cell, anchor, lines, small, table
from app.data.figures import slices_figure, values_figure
from app.formats import UNKNOWN, format_count, format_metric, format_share
from app.words import count_of, metric_word
from backend.monitoring.performance import LOWER_IS_BETTER

SEARCHES = {
    "became_worse": "became worse than the reference",
    "always_hard": "is worst, always hard or not",
}
CORRECTED = (
    "A slice is compared with equally many rows drawn from the same window; its p is multiplied by the number of "
    "slices looked at, so that where no column matters, any slice at all is named in at most 5 % of searches."
)


def chance_words(p: float) -> str:
    return "<0.001" if p < 0.001 else format_metric(p)


def say_slices(found: Mapping[str, Any], search: Mapping[str, Any], *, fell: bool = False) -> tuple[str, str]:
    """The headline and its level: where the model is worst, or that nothing stands out of so many slices.

    fell  the window itself is beyond its limit: that no slice stands out is then no good news
    """
    metric = metric_word(found["metric"])
    if search["reason"]:
        return f"Slices cannot be searched: {search['reason']}", "unknown"
    if not search["slices"]:
        looked = f"{format_count(search['looked_at'])} slices on {count_of(search['rows'], 'labelled row')}"
        if fell:
            return (
                f"The window is beyond its limit, and no slice stands out from chance: looked at {looked}",
                "unknown",
            )
        return f"No slice stands out from chance: looked at {looked}", "ok"
    worst = search["slices"][0]
    inside, outside = format_metric(worst["inside"]), format_metric(worst["outside"])
    return f"{where(worst)}: {metric} {inside} against {outside} elsewhere", "attention"


def where(one: Mapping[str, Any]) -> str:
    """A slice in words: `shop = north and x 0.2 to 1.4`."""
    return " and ".join(condition["text"] for condition in one["conditions"])


def show_slices(found: Mapping[str, Any], search: Mapping[str, Any], address: Mapping[str, Any]) -> None:
    """The slices, largest cost first; each column leads to its distributions (`address`: the window for links)."""
    if not search["slices"]:
        return
    metric, unit = metric_word(found["metric"]), found["unit"] or metric_word(found["metric"])
    draw(
        slices_figure(search["slices"], metric=metric, scale=found["scale"], unit=unit),
        f"{metric} inside and outside of each slice, and what it costs", key="slices", rows=False,
    )  # fmt: skip
    table(
        ("slice", f"{metric} inside", "elsewhere", "inside, reference", "rows", "p, corrected", f"effect, {unit}"),
        [
            [_conditions(one, address), format_metric(one["inside"]), format_metric(one["outside"]),
             lines(format_metric(one["reference_inside"]), small(f"{format_count(one['reference_rows'])} rows")),
             lines(format_count(one["rows"]), small(f"{format_share(one['share'])} of the window")),
             chance_words(one["p_corrected"]), worsened(one["effect"], found["scale"])]
            for one in search["slices"]
        ],
        caption=f"Slices on which the model {search_words(search, found)}",
    )  # fmt: skip


def search_words(search: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    return next(words for key, words in SEARCHES.items() if found[key] is search)


def say_looked_at(search: Mapping[str, Any]) -> None:
    """What was searched and how chance was kept out, in one sentence."""
    if search["reason"]:
        return
    st.caption(
        f"Looked at {format_count(search['looked_at'])} slices of one and two columns, each with at least 50 rows, on "
        f"{count_of(search['rows'], 'labelled row')}. {CORRECTED}"
    )


def show_segments(found: Mapping[str, Any], column: str) -> None:
    """The metric in each value of a column, in the window beside the reference."""
    rows: Sequence[Mapping[str, Any]] = next(
        (one["cells"] for one in found["segments"] if one["column"] == column), ()
    )
    if not rows:
        empty_state(
            "No value of this column has enough rows", "At least 20 labelled rows of a value are compared."
        )
        return
    metric = metric_word(found["metric"])
    table(
        (column, f"{metric} now", "in the reference", "changed", "rows"),
        [
            [one["value"], format_metric(one["metric"]),
             lines(format_metric(one["reference_metric"]), small(f"{format_count(one['reference_rows'])} rows")),
             _changed(one, found),
             lines(format_count(one["rows"]), small(f"{format_share(one['share'])} of the window"))]
            for one in rows
        ],
        caption=f"{metric} by {column}",
    )  # fmt: skip


def draw_segments(found: Mapping[str, Any]) -> None:
    """Every column that has values with enough rows, the largest fall first."""
    metric = metric_word(found["metric"])
    figure = values_figure(found["segments"], metric=metric, upwards=found["metric"] not in LOWER_IS_BETTER)
    with st.container(key="wide-values"):
        draw(figure, f"{metric} in each value of each column, now and in the reference", key="values")


def _changed(one: Mapping[str, Any], found: Mapping[str, Any]) -> Cell:
    if one["metric"] is None or one["reference_metric"] is None:
        return UNKNOWN
    rise = one["metric"] - one["reference_metric"]
    return worsened(rise if found["metric"] in LOWER_IS_BETTER else -rise, found["scale"], found["unit"])


def _conditions(one: Mapping[str, Any], address: Mapping[str, Any]) -> Markup:
    links = [
        anchor(condition["text"], "drift", **{**address, "column": condition["column"]})
        for condition in one["conditions"]
    ]
    return Markup(" and ").join(links)
