"""A search of hyper-parameters on the page of its run: how far it is, each trial, and which one is taken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import streamlit as st

from app.charts.search import trials_figure, words_of
from app.components.charts import draw
from app.components.tables import badge, lines, small, table
from app.formats import format_decimal, format_metric, format_plain, format_seconds
from app.plain_text import plain
from app.words import metric_word

LEVELS: Final = {"complete": "settled", "pruned": "unknown", "failed": "page", "running": "attention"}
WORDS: Final = {"complete": "done", "pruned": "ended early", "failed": "failed", "running": "running"}


def show_search(run: Mapping[str, Any]) -> None:
    """Nothing where the plan has no search, or before its first trial."""
    found = next(step["result"] for step in run["steps"] if step["name"] == "train").get("search")
    if not found:
        return
    st.header("Search of parameters", anchor=False)
    metric = metric_word(found["metric"])
    st.caption(plain(_summary(found, metric)))
    figure = trials_figure(found["trials"], metric=metric, upwards=found["goal"] == "maximize")
    if figure is not None:
        draw(figure, f"{metric} of the trials of {run['id']}", key=f"trials:{run['id']}")
    table(
        ("trial", "state", metric, "parameters", "took"),
        [
            [str(one["number"]),
             lines(badge(WORDS[one["state"]], LEVELS[one["state"]]),
                   small("taken" if one["number"] == found["chosen"] and found["ended"] else one["note"])),
             format_metric(one["value"]) if one["value"] is not None else "", words_of(one["parameters"]),
             format_seconds(one["seconds"])]
            for one in _best_first(found)
        ],
    )  # fmt: skip


def _summary(found: Mapping[str, Any], metric: str) -> str:
    states = [one["state"] for one in found["trials"]]
    told = [
        f"{len(states)} of {found['planned']} trials, "
        f"{format_decimal(found['seconds'] / 60, 1)} of {format_plain(found['minutes'])} min"
    ]
    told += (
        [f"{states.count('pruned')} ended early by the {found['pruner']} pruner"]
        if "pruned" in states
        else []
    )
    told += [found["ended"]] if found["ended"] else []
    return (
        "; ".join(told) + f". {metric.capitalize()} of the validation rows; the held-out rows take no part."
    )


def _best_first(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    sign = -1 if found["goal"] == "maximize" else 1
    order = {"running": 0, "complete": 1, "pruned": 2, "failed": 3}
    return sorted(
        found["trials"],
        key=lambda one: (
            order[one["state"]],
            sign * one["value"] if one["value"] is not None else 0.0,
            one["number"],
        ),
    )
