"""The parts of the performance page: the sentence on top, the table of metrics, the estimator's record, segments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from app.components.links import viewer_zone
from app.components.status import headline
from app.components.tables import Cell, badge, lines, small, table
from app.formats import (
    UNKNOWN,
    format_age,
    format_change,
    format_count,
    format_metric,
    format_share,
    format_when,
)
from app.words import metric_word
from backend.monitoring.performance import LOWER_IS_BETTER
from backend.monitoring.track_service import TrackSummary

JUDGED = ("ok", "alarm")


def reference_of(points: pd.DataFrame, model: Mapping[str, Any], metric: str) -> float | None:
    """What the newest figure was held against: the reference's own windows, else the held-out rows of the version
    that serves; None when neither is known."""
    against = points[points["reference_value"].notna()]
    if len(against):
        return float(against["reference_value"].iloc[-1])
    serving = next(
        (one for one in model["deployments"] if one["ended_at"] is None and one["role"] == "champion"), None
    )
    version = next((v for v in model["versions"] if serving and v["version"] == serving["version"]), None)
    held_out = (version["metrics"].get(metric) or {}) if version else {}
    return held_out.get("value") if isinstance(held_out, dict) else held_out


def as_first_seen(points: pd.DataFrame) -> pd.DataFrame:
    """The same points with what they said when they were first computed; their intervals of then are not kept."""
    return points.assign(value=points["first_value"], low=float("nan"), high=float("nan"))


def say_performance(
    realised: pd.DataFrame, estimated: pd.DataFrame, *, metric: str, reference: float | None
) -> None:
    """The headline: the newest judged realised value, and what is estimated since; unknown is said to be unknown."""
    word = metric_word(metric)
    judged, guess = (
        realised[realised["verdict"].isin(JUDGED)],
        estimated[estimated["verdict"].isin(JUDGED)],
    )
    against = f" against {format_metric(reference)} in the reference" if reference is not None else ""
    if judged.empty and guess.empty:
        headline(f"{word} cannot be told yet", "unknown", detail="too few rows or labels in every window")
        return
    if judged.empty:
        last = guess.iloc[-1]
        headline(
            f"{word} {format_metric(last['value'])} by estimate{against}; no label has come to confirm it",
            "attention" if last["verdict"] == "alarm" else "unknown",
            detail=f"window from {format_when(last['window_start'], viewer_zone())}, {format_count(last['rows'])} rows",
        )
        return
    last = judged.iloc[-1]
    later = guess[guess["window_start"] > last["window_start"]]
    change = f" ({format_change(reference, last['value'])})" if reference is not None else ""
    since, level = "", _level(last)
    if len(later):
        newest = later.iloc[-1]
        fell = newest["verdict"] == "alarm"
        since = f"; {format_metric(newest['value'])} by estimate since, {'beyond' if fell else 'within'} its limit"
        level = "attention" if fell and level == "ok" else level
    headline(
        f"{word} {format_metric(last['value'])}{against}{change}{since}",
        level,
        detail=f"latest judged window from {format_when(last['window_start'], viewer_zone())} · "
        f"limit {format_metric(last['threshold'])} · {format_count(last['rows'])} labelled rows, "
        f"{format_share(last['completeness'])} of labels · "
        f"computed {format_age(last['computed_at'].to_pydatetime())} ago",
    )


def _level(point: Mapping[str, Any]) -> str:
    if point["verdict"] == "alarm":
        return "page" if point["level"] == "page" else "attention"
    return "ok" if point["verdict"] == "ok" else "unknown"


def say_record(found: TrackSummary, *, primary: bool) -> None:
    """How far estimates can be believed: their record, and for the primary metric whether they may page alone."""
    word, record = metric_word(found.metric), found.record
    if record is None:
        st.caption(f"No estimate of {word} has been checked by labels yet: its record begins when they come.")
        return
    alone = f" It may not page alone: {found.sentence}." if primary and not found.may_page else ""
    st.caption(f"Estimates of {word} were {record.sentence} ({record.points} windows).{alone}")


def show_metrics(points: pd.DataFrame) -> None:
    """Every metric of one window: what labels say and what was estimated, each with its interval."""
    rows: list[Sequence[Cell]] = []
    names = [*dict.fromkeys(points["statistic"])]
    for name in sorted(names, key=lambda one: (one != "roc_auc", one)):
        mine = points[points["statistic"] == name]
        came, guess = (_one(mine, kind) for kind in ("realised", "estimated"))
        told = came if came is not None and pd.notna(came["value"]) else guess
        told = told if told is not None else came
        rows.append(
            [
                metric_word(name),
                _with_interval(came),
                _with_interval(guess),
                format_metric(told["reference_value"]) if told is not None else UNKNOWN,
                format_metric(told["threshold"]) if told is not None else UNKNOWN,
                _verdict(came, guess),
                format_count(came["rows"] if came is not None and pd.notna(came["value"]) else None),
            ]
        )
    columns = ("metric", "from labels", "by estimate", "reference", "limit", "verdict", "labelled rows")
    table(columns, rows, caption="metrics of this window")


def _one(points: pd.DataFrame, kind: str) -> Mapping[str, Any] | None:
    found = points[points["kind"] == kind].to_dict("records")
    return {str(key): value for key, value in found[0].items()} if found else None


def _with_interval(point: Mapping[str, Any] | None) -> Cell:
    if point is None:
        return None
    if pd.isna(point["value"]):
        return small(point["reason"] or "no value")
    between = f"{format_metric(point['low'])} to {format_metric(point['high'])}"
    return lines(format_metric(point["value"]), small(between) if pd.notna(point["low"]) else None)


def _verdict(came: Mapping[str, Any] | None, guess: Mapping[str, Any] | None) -> Cell:
    for point, of in ((came, ""), (guess, " by estimate")):
        if point is not None and point["verdict"] in JUDGED:
            fell = point["verdict"] == "alarm"
            return badge(("beyond its limit" if fell else "ok") + of, _level(point))
    return badge("not judged", "unknown")


def worst_segments(points: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Points of segments in the order of how much the newest known value is worse than the segment's reference."""
    worse = {}
    for segment, mine in points[points["segment"] != ""].groupby("segment"):
        known = mine[mine["value"].notna()].sort_values("window_start")
        if known.empty:
            worse[segment] = float("-inf")
            continue
        last = known.iloc[-1]
        fall = last["reference_value"] - last["value"]
        worse[segment] = -fall if metric in LOWER_IS_BETTER else fall
    order = sorted(worse, key=lambda one: (-worse[one] if pd.notna(worse[one]) else 0.0, str(one)))
    placed = points[points["segment"].isin(order)].copy()
    placed["place"] = placed["segment"].map({name: place for place, name in enumerate(order)})
    return placed.sort_values(["place", "window_start"]).drop(columns="place")
