"""The parts of the fairness page: the sentence on top, what is not known yet, groups and gaps of one window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from app.components.links import href, viewer_zone
from app.components.seen import was_revised
from app.components.status import empty_state
from app.components.tables import Cell, badge, lines, small, table
from app.components.watching import Watched, say_headline
from app.formats import format_count, format_metric, format_share, format_when
from app.plain_text import plain
from app.session import page_link
from app.words import count_of, level_of, readable
from backend.monitoring.columns import ModelSpec
from backend.monitoring.fairness.measures import GAPS, GROUP_MEASURES, MEASURES, NO_BOUND

SHARES = ("selection_rate", "true_positive_rate", "false_positive_rate", "precision", "labelled_share")
DRAWN = ("selection_rate", "true_positive_rate", "false_positive_rate", "precision", "calibration")
INTERVALS = (
    "Bands of groups are 95 % intervals of each by itself. Intervals of gaps hold for all pairs of groups at once, and "
    "a verdict needs the whole interval on one side of the bound. Groups too small to be judged are in the table alone."
)


def titled(name: str) -> str:
    """A measure as the title of a panel."""
    title = MEASURES[name].title
    return title[:1].upper() + title[1:]


def stop_where_nothing_is_compared(watched: Watched) -> None:
    """End the run where the model's description names no groups, and say what to write into it."""
    spec, link = watched.spec, ("Open the model", href("model", model=watched.name))
    if spec.task != "binary":
        say_headline(watched, "Groups are not compared for this model", detail=watched.name)
        empty_state(
            "Fairness is counted for models that decide between two classes",
            f"{watched.name} is of task {spec.task}. Its performance by segment is on the Performance page.",
            ("Open performance", href("performance", model=watched.name)),
        )
        st.stop()
    if not spec.protected:
        say_headline(watched, "Nobody has said by which groups to compare", detail=watched.name)
        empty_state(
            "No protected column is declared",
            "Write `protected: [SEX]` and `favourable: positive` (or `negative`) into the model's spec, register it "
            "again, and press “Compute metrics now” on the model's page.",
            link,
        )
        st.stop()


def fairness_sentence(found: Sequence[Mapping[str, Any]], spec: ModelSpec) -> tuple[str, str]:
    """The answer and its level, from every gap as it stands."""
    judged = [one for one in found if one["judged"]]
    if not judged:
        if not found:
            return "Fairness is not known: no finished window has been counted by group", "unknown"
        return "No bound is declared, so gaps between groups are shown and not judged", "unknown"
    beyond = [one for one in judged if one["verdict"] == "alarm"]
    within = [one for one in judged if one["verdict"] == "ok"]
    if beyond:
        more = f"; {count_of(len(beyond) - 1, 'more gap')} beyond bounds" if len(beyond) > 1 else ""
        return f"{beyond[0]['text']}{more}", "attention"
    if len(within) == len(judged):
        return f"{_all(len(judged))} between groups with a bound within it", "ok"
    waits = next(one for one in judged if one["verdict"] != "ok")
    told = f"{waits['attribute']}: {MEASURES[waits['statistic']].title} is not judged, {waits['reason']}"
    return f"Not known of {len(judged) - len(within)} of {count_of(len(judged), 'gap')}: {told}", "unknown"


def _all(count: int) -> str:
    return "The gap" if count == 1 else f"All {count} gaps"


def first_attribute(found: Sequence[Mapping[str, Any]], attributes: Sequence[str]) -> int:
    """The place of the attribute that the sentence on top is about; 0 where it is about none."""
    beyond = next((one["attribute"] for one in found if one["verdict"] == "alarm"), None)
    return list(attributes).index(beyond) if beyond in attributes else 0


def headline_detail(found: Sequence[Mapping[str, Any]], watched: Watched) -> str:
    """Which windows speak: of decisions, and of what needs labels."""
    told = []
    for labels, word in ((False, "decisions"), (True, "labels")):
        window = next((one for one in found if MEASURES[one["statistic"]].labels == labels), None)
        if window is not None:
            start = format_when(window["start"], viewer_zone())
            told.append(f"{word}: window from {start}, v{window['version']}")
    return " · ".join([watched.name, *dict.fromkeys(told)])


def say_not_known(found: Sequence[Mapping[str, Any]]) -> None:
    """What cannot be said yet and why, each reason once."""
    reasons: dict[str, list[str]] = {}
    for one in found:
        if one["verdict"] in ("inconclusive", "no_data") and one["reason"] != NO_BOUND:
            reasons.setdefault(readable(one["reason"]), []).append(
                f"{MEASURES[one['statistic']].title} by {one['attribute']}"
            )
    for reason, gaps in reasons.items():
        named = ", ".join(gaps[:3]) + (f" and {len(gaps) - 3} more" if len(gaps) > 3 else "")
        st.caption(f"Not known yet: {plain(named)}: {plain(reason)}.")


def show_groups(points: pd.DataFrame, spec: ModelSpec) -> None:
    """Every group of one window: rows, rates with their intervals, and how many labels are known."""
    rows: list[Sequence[Cell]] = []
    for group, mine in points[points["segment"] != ""].groupby("segment", sort=True):
        by = {one["statistic"]: one for one in mine.to_dict("records")}
        count = by["selection_rate"]["rows"] if "selection_rate" in by else 0
        few = (
            small(f"fewer than {spec.fairness.min_group}: never judged")
            if count < spec.fairness.min_group
            else None
        )
        rows.append([
            str(group), lines(format_count(count), few), *(_figure(by.get(name)) for name in DRAWN),
            format_share(by["labelled_share"]["value"]) if "labelled_share" in by else None,
        ])  # fmt: skip
    names = (
        "group",
        "rows",
        *(MEASURES[name].title for name in DRAWN),
        GROUP_MEASURES["labelled_share"].title,
    )
    table(names, sorted(rows, key=lambda row: str(row[0])), caption="groups of this window")


def _figure(point: Mapping[str, Any] | None) -> Cell:
    if point is None or pd.isna(point["value"]):
        return None
    tell = format_share if point["statistic"] in SHARES else format_metric
    between = (
        f"{tell(point['low'])} to {tell(point['high'])}" if pd.notna(point["low"]) else "interval not known"
    )
    return lines(tell(point["value"]), small(f"{between}, {format_count(point['rows'])} rows"))


def show_gaps(points: pd.DataFrame) -> None:
    """Every gap of one window with its bound and verdict, and what it was seen as first."""
    rows: list[Sequence[Cell]] = []
    gaps = points[points["segment"] == ""].assign(revised=was_revised)
    order = list(GAPS)
    for one in sorted(gaps.to_dict("records"), key=lambda one: order.index(one["statistic"])):
        measure = GAPS[one["statistic"]]
        known = pd.notna(one["value"])
        between = (
            small(f"95 % {format_metric(one['low'])} to {format_metric(one['high'])}") if known else None
        )
        asked = None
        if pd.notna(one["threshold"]):
            asked = f"at {'least' if measure.below else 'most'} {format_metric(one['threshold'])}"
        rows.append([
            lines(measure.title, small(one["column"])),
            lines(format_metric(one["value"]), between) if known else None,
            asked or "none declared", _verdict(one),
            format_metric(one["first_value"]) if one["revised"] else "as now",
        ])  # fmt: skip
    table(
        ("gap", "value", "bound", "verdict", "first seen"), rows, caption="gaps between groups in this window"
    )


def _verdict(point: Mapping[str, Any]) -> Cell:
    words = {"alarm": "beyond its bound", "ok": "within its bound", "no_data": "no data"}
    told = badge(words.get(point["verdict"], "not judged"), level_of(point))
    return lines(told, small(readable(point["reason"])) if point["reason"] else None)


def show_ways_on(watched: Watched, window: Mapping[str, Any]) -> None:
    """Where the window's rows are looked at further, and where an own monitor of a gap is written."""
    query = {"model": watched.name, "size": watched.size, "window": window["start"].isoformat()}
    page_link("slices", "Worst slices of this window", icon=":material/stacked_bar_chart:", **query)
    page_link(
        "monitors",
        "Watch a gap with a monitor of your own",
        icon=":material/notifications:",
        model=watched.name,
    )
    page_link(
        "card", "What the model card says of fairness", icon=":material/description:", model=watched.name
    )
