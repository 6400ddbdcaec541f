"""The parts of the page that says what a version leans on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import streamlit as st

from app import data
from app.charts.attributions import (
    attribution_drift,
    beeswarm,
    cohort_figure,
    dependence,
    importance_figure,
    versions_figure,
)
from app.charts.frame import Ends
from app.charts.marks import NOTHING as NOT_MARKED
from app.charts.marks import Happened
from app.components.change_effects import signed_points
from app.components.charts import draw
from app.components.downloads import csv_link
from app.components.links import viewer_zone
from app.components.pickers import pick
from app.components.status import banner, empty_state
from app.components.tables import small, table
from app.data import explanations
from app.formats import format_count, format_decimal, format_metric, format_share, format_when
from app.plain_text import plain
from app.session import viewer
from app.words import count_of
from backend import clock
from backend.explain.figures import LEAST_OF_COHORT, MOVED, interacting, with_intervals
from backend.identity.roles import Permission

VIEWS: Final = {
    "importance": "What it leans on",
    "rows": "Single rows: swarm and dependence",
    "windows": "Windows: has it moved?",
    "versions": "Another version beside it",
    "cohorts": "One group beside the others",
}
NAMED: Final = 3
ALL: Final = "all"
NOTHING: Final = (
    "No sampled prediction of this version is explained",
    "Declare `explanations: {sample: 100}` in the model's spec: a job then explains a sample of each finished window.",
)


def say_leaning(
    version: int, sampled: Mapping[str, Any] | None, summary: Mapping[str, Any] | None,
    windows: Sequence[Mapping[str, Any]],
) -> tuple[str, str]:  # fmt: skip
    """The page's sentence and its level: on what the version leans, and whether the newest window has kept it."""
    columns = (sampled or {}).get("columns") or with_intervals((summary or {}).get("features") or [])
    total = sum(one["mean_abs"] for one in columns)
    if not total:
        return f"On what version {version} leans is not known: nothing of it is explained", "unknown"
    first = [f"{one['column']} ({format_share(one['mean_abs'] / total)})" for one in columns[:NAMED]]
    told = f"Version {version} leans most on {', '.join(first)}"
    whole = [one for one in windows if not one["segment"] and one["ndcg"] is not None]
    if not whole:
        return told, "unknown"
    newest = whole[-1]
    if newest["ndcg"] >= MOVED:
        return f"{told}; the newest window keeps that order (NDCG {format_metric(newest['ndcg'])})", "ok"
    moved = newest["ranks"][0]
    return (
        f"{told}; in the newest window the order has moved (NDCG {format_metric(newest['ndcg'])}): {moved['column']} "
        f"went from place {moved['before']} to {moved['now']}",
        "attention",
    )


def show_importance(
    name: str, version: int, sampled: Mapping[str, Any] | None, summary: Mapping[str, Any] | None, *, picture: str
) -> None:  # fmt: skip
    """Over the predictions it made, and over its reference."""
    if sampled is None and summary is None:
        empty_state(
            "Nothing of this version is explained", "Press “Explain” on the right: a worker explains it."
        )
        return
    if sampled is not None:
        st.header("Over predictions it made", anchor=False)
        if sampled["apart"]:
            banner(
                f"{count_of(sampled['apart'], 'row')} do not add up to what the model answered.", "attention"
            )
        draw(importance_figure(sampled["columns"], unit=sampled["unit"], rows=sampled["rows"]),
             f"importance over predictions of {name} version {version}", key="sampled", picture=picture,
             rows=False)  # fmt: skip
        st.caption(plain(f"{sampled['method']}; bars are 95 % intervals of the mean over the sampled rows."))
        csv_link("These figures", "importance", model=name, version=version)
    if summary is not None:
        st.header("Over its reference data", anchor=False)
        columns = with_intervals(summary["features"])
        figure = importance_figure(columns, unit="the model's output", rows=summary["rows"])
        draw(
            figure,
            f"importance over the reference of {name} version {version}",
            key="reference",
            picture=picture,
        )
        st.caption(
            plain(f"{summary['method']}; computed {format_when(summary['computed_at'], viewer_zone())}.")
        )


def show_single_values(scope: data.Scope, name: str, version: int, *, picture: str) -> None:
    """Each row's values: all columns as a swarm, one column by what it holds."""
    if not viewer().may(Permission.EXPLAIN_PREDICTION):
        empty_state(
            "Values of single predictions are for others",
            f"Your role lacks {Permission.EXPLAIN_PREDICTION.value}.",
        )
        return
    found = explanations.local_values(scope, name, version)
    if found is None:
        empty_state(*NOTHING)
        return
    rows = count_of(len(found.values), "sampled row")
    draw(beeswarm(found.columns, found.values, found.inputs, unit=found.unit),
         f"swarm of SHAP values of {name} version {version}", key="swarm", picture=picture)  # fmt: skip
    st.caption(
        plain(f"{rows}, the newest; a point is one prediction, right of the line it raised the output.")
    )
    order = np.argsort(-np.abs(found.values).mean(axis=0), kind="stable")
    column = pick("Column", [found.columns[place] for place in order], key="column", width=240)
    place = found.columns.index(str(column))
    given = [row[place] for row in found.inputs]
    other = interacting(found.values, _numbers(found.inputs), place)
    by = "" if other is None else found.columns[other]
    draw(
        dependence(str(column), given, found.values[:, place], unit=found.unit, by=by,
                   by_given=[row[other] for row in found.inputs] if other is not None else ()),
        f"dependence on {column} of {name} version {version}", key="dependence", picture=picture,
    )  # fmt: skip
    if by:
        st.caption(plain(f"Coloured by {by}, which says most about what {column} alone leaves open."))
    csv_link("These rows", "shap-values", model=name, version=version)


def show_windows(
    name: str, windows: Sequence[Mapping[str, Any]], *, picture: str, happened: Happened = NOT_MARKED,
    ends: Ends | None = None, none_in: str = "",
) -> None:  # fmt: skip
    """Whether the order of columns has moved from window to window, and which columns did in one of them.

    `none_in` are the words of the range that is shown, where windows outside of it are explained.
    """
    if not windows and none_in:
        empty_state(f"No window of {none_in} is explained", "Choose a longer range above.")
        return
    if not windows:
        empty_state(*NOTHING)
        return
    segments = sorted({one["segment"] or ALL for one in windows}, key=lambda one: (one != ALL, one))
    segment = pick(
        "Rows", segments, key="segment", words=lambda one: "all rows" if one == ALL else one, width=260
    )
    mine = [one for one in windows if (one["segment"] or ALL) == segment]
    refused = [one for one in mine if one["reason"]]
    if refused:
        newest = refused[-1]
        banner(f"Not explained, {count_of(len(refused), 'window')}: {newest['reason']}", "unknown")
    figure = attribution_drift(mine, tz=viewer_zone(), limit=MOVED, happened=happened, ends=ends)
    draw(figure, f"drift of attributions of {name}", key="ndcg",
         picture=picture)  # fmt: skip
    st.caption(
        f"NDCG of the order of columns against the version's explanation on its reference; 1: the same order. "
        f"Below {format_decimal(MOVED)} it counts as moved."
    )
    known = [one for one in reversed(mine) if one["columns"]]
    if not known:
        return
    by_start = {one["start"]: one for one in known}
    start = pick("Window", list(by_start), key="window", width=300,
                 words=lambda one: format_when(clock.from_iso(one), viewer_zone()))  # fmt: skip
    window = by_start[str(start)]
    places = {one["column"]: one for one in window["ranks"]}
    table(
        ("column", "mean |SHAP|", "95 %", "place on the reference", "place now", ""),
        [
            [
                one["column"], format_metric(one["mean_abs"]), _interval(one), _place(places, one["column"], "before"),
                _place(places, one["column"], "now"), _moved_words(places.get(one["column"])),
            ]
            for one in window["columns"]
        ],
        caption="columns of the window",
    )  # fmt: skip
    st.caption(f"{format_count(window['rows'])} of {format_count(window['window_rows'])} rows explained.")
    csv_link("All windows", "attributions", model=name)


def show_versions_apart(
    scope: data.Scope, name: str, version: int, others: Sequence[str], *, picture: str
) -> None:
    """Another version beside this one: each column's share of the mean |SHAP| on its own reference."""
    other = pick("Beside", list(others), key="other", words=lambda one: f"version {one}", width=200)
    if other is None:
        empty_state("There is no other version", "Register another one, then compare what both lean on.")
        return
    before, after = sorted((int(other), version))
    found = explanations.explanations_apart(scope, name, before, after)
    if found is None or not found["known"]:
        why = found["why"] if found else "both are one version"
        empty_state(
            "What differs is not known", f"{why[:1].upper()}{why[1:]}. Explain it from the model's page."
        )
        return
    rank = found["rank_correlation"]
    st.header(
        plain(f"{format_share(found['moved'])} of the weight lies elsewhere in version {after}"), anchor=False
    )
    draw(versions_figure(found["columns"], before, after), f"what versions {before} and {after} of {name} lean on",
         key="versions", picture=picture, rows=False)  # fmt: skip
    table(
        ("column", f"v{before}", f"v{after}", "difference"),
        [
            [
                one["column"], *(format_share(one[side]) if one[side] is not None else small("not used")
                                 for side in ("before", "after")),
                signed_points(one["difference"]),
            ]
            for one in found["columns"]
        ],
        caption="shares of the mean |SHAP|",
    )  # fmt: skip
    told = (
        f"rank correlation {format_metric(rank)}"
        if rank is not None
        else "too few columns for a rank correlation"
    )
    ways = {found["before"]["method"], found["after"]["method"]}
    st.caption(
        plain(f"Each version on rows of its own reference; {told}; {'; against '.join(sorted(ways))}.")
    )
    csv_link("These shares", "explanations-apart", model=name, before=before, after=after)


def show_cohorts(
    scope: data.Scope, name: str, version: int, sampled: Mapping[str, Any] | None, *, picture: str
) -> None:
    """Rows of which a column holds something beside all others."""
    if sampled is None:
        empty_state(*NOTHING)
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        column = str(pick("By", [one["column"] for one in sampled["columns"]], key="by", width=220))
        values = explanations.cohorts(scope, name, version, column)
        value = pick("Group", values, key="group", width=260)
    if value is None:
        empty_state("No group to compare", "Choose another column.")
        return
    found = explanations.cohort(scope, name, version, column, value)
    if not found["columns"]:
        empty_state(
            "Too few rows to compare",
            f"{found['rows']} rows with {column} = {value} and {found['others']} others are explained; "
            f"{LEAST_OF_COHORT} of each are needed.",
        )
        return
    draw(cohort_figure(found["columns"], unit=found["unit"]), f"{column} = {value} beside the others of {name}",
         key="cohort", picture=picture, rows=False)  # fmt: skip
    st.caption(
        plain(
            f"Mean SHAP value of the {format_count(found['rows'])} sampled rows with {column} = {value}, less that of "
            f"the {format_count(found['others'])} others; lines are 95 % intervals, hollow where chance explains it."
        )
    )
    csv_link("These figures", "cohort", model=name, version=version, column=column, value=value)


def _numbers(inputs: Sequence[Sequence[Any]]) -> Any:
    """Values as numbers; categories as codes, by how they sort, so that one can be a colour."""
    columns = []
    for given in zip(*inputs, strict=True):
        texts = [one for one in given if isinstance(one, str)]
        codes = {one: place for place, one in enumerate(sorted(set(texts)))}
        columns.append(
            [np.nan if one is None else codes[one] if isinstance(one, str) else float(one) for one in given]
        )
    return np.array(columns, dtype="float64").T


def _interval(one: Mapping[str, Any]) -> str:
    return "" if one["low"] is None else f"{format_metric(one['low'])} to {format_metric(one['high'])}"


def _place(places: Mapping[str, Mapping[str, Any]], column: str, when: str) -> str:
    return str(places[column][when]) if column in places else "not known"


def _moved_words(one: Mapping[str, Any] | None) -> str:
    if one is None or not one["moved"]:
        return ""
    return f"{'up' if one['moved'] > 0 else 'down'} {abs(one['moved'])}"
