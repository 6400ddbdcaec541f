"""The parts of the data quality page: what is broken, checks of columns, rules, rows as a whole, what is left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st
from markupsafe import Markup

from app.charts import sparkline_uri
from app.components.drift_parts import not_computed, window_facts
from app.components.links import viewer_zone
from app.components.status import empty_state, headline
from app.components.tables import Cell, anchor, badge, image, lines, small, table
from app.formats import format_count, format_metric, format_share, format_when
from app.words import count_of, level_of, statistic_word, verdict_words
from backend.monitoring.columns import ModelSpec
from backend.monitoring.distributions import Side
from backend.monitoring.excess import is_lower_limit, measure_excess
from backend.monitoring.rules import STATISTIC as RULE
from backend.monitoring.statistics import VALUED

CHECKS = ("missing_rate", "unseen_rate", "out_of_range_rate", "constant_value")
SHARES = (*CHECKS, RULE, "outlier_rows", "duplicates")
"""Statistics that are shares of rows."""
AT_ONCE = 8
NOTHING = Markup("")
"""A cell that has nothing to say, such as a check that is not for this kind of column; not the same as unknown."""
HEADS = {"constant_value": "on one value"}
LEFT_OUT = {
    "id": "identifies a row: almost every value is new, so there is no distribution to compare",
    "text": "free text: almost every value is new, so there is no distribution to compare",
    "time": "a moment: it always moves on",
    "embedding": "a vector: it is looked at as a whole, not as a column",
}


def amount(statistic: str, value: float | None) -> str:
    """A value of a check: shares as per cent."""
    return format_share(value) if statistic in SHARES else format_metric(value)


def say_quality(
    window: Mapping[str, Any], points: pd.DataFrame, history: pd.DataFrame, *, say: Callable[..., None] = headline
) -> None:  # fmt: skip
    """The headline: what is broken in this window, by how much against which limit; `history` are the worst checks of
    each window, of which the last break before this one is named."""
    detail = window_facts(window, points)
    broken = history[(history["verdict"] == "alarm") & (history["window_start"] < window["start"])]
    if len(broken):
        last = broken.assign(paged=broken["level"] == "page").sort_values(["window_start", "paged"]).iloc[-1]
        detail += (
            f" · last break before: {_subject(last)} {amount(last['statistic'], last['value'])}, "
            f"{format_when(last['window_start'].to_pydatetime(), viewer_zone())}"
        )
    alarms = points[points["verdict"] == "alarm"]
    judged = int(points["verdict"].isin(["ok", "alarm"]).sum())
    if points.empty or not judged:
        sentence = "Data quality could not be judged in this window"
        say(sentence if len(points) else not_computed(window), "unknown", detail=detail)
        return
    if alarms.empty and 2 * judged < len(points):
        say(f"Only {judged} of {len(points)} checks could be judged; they are within their limits",
                 "unknown", detail=detail)  # fmt: skip
        return
    if alarms.empty:
        fine = f"Nothing is broken: {judged} checks are within their limits"
        unfinished = window["state"] == "open"
        say(f"So far, not over yet: {fine[0].lower()}{fine[1:]}" if unfinished else fine,
                 "unknown" if unfinished else "ok", detail=detail)  # fmt: skip
        return
    ranked = alarms.assign(
        paged=alarms["level"] == "page", over=(alarms["value"] - alarms["threshold"]).abs().fillna(0)
    ).sort_values(["paged", "over"], ascending=False)
    worst = ranked.iloc[0]
    subjects = ranked.assign(of=ranked["column"].where(ranked["column"] != "", ranked["statistic"]))[
        "of"
    ].nunique()
    rest = f"; {count_of(subjects - 1, 'more finding')}" if subjects > 1 else ""
    limit = _limit(worst)
    level = "page" if worst["paged"] else "attention"
    subject = _subject(worst)
    if worst["statistic"] == RULE or not worst["column"]:
        subject = subject[:1].upper() + subject[1:]
    value = amount(worst["statistic"], worst["value"])
    say(f"{subject} {value}, {limit}{rest}", level, detail=detail)


def _limit(point: Mapping[str, Any]) -> str:
    """`limit 2.9 %`; where values below it alarm (a rate that fell) it is a lower limit."""
    below = is_lower_limit(point)
    return f"{'lower limit' if below else 'limit'} {amount(point['statistic'], point['threshold'])}"


def _subject(point: Mapping[str, Any]) -> str:
    if point["statistic"] == RULE:
        return f"the rule “{point['column']}” is violated by"
    word = statistic_word(point["statistic"])
    return f"{point['column']}: {word}" if point["column"] else word


def worst_checks(points: pd.DataFrame) -> list[str]:
    """Columns of one window's points: pages, alarms, then how near a limit that a share can reach; rules and whole rows
    are left out."""
    mine = points[(points["column"] != "") & (points["statistic"] != RULE)]
    if mine.empty:
        return []
    alarm = mine["verdict"] == "alarm"
    placed = mine.assign(
        rank=alarm.astype(int) + (alarm & (mine["level"] == "page")),
        over=measure_excess(mine).where(mine["threshold"].between(0, 1, inclusive="neither")).fillna(0),
    )
    worst = placed.groupby("column")[["rank", "over"]].max()
    return [str(one) for one in worst.sort_values(["rank", "over"], ascending=False).index]


def show_columns(
    order: Sequence[str], points: pd.DataFrame, history: pd.DataFrame, facts: Mapping[str, tuple[Side, Side]],
    **query: Any,
) -> None:  # fmt: skip
    """Every column with each check: its value, the reference's, the limit, and the windows before as a line. The first
    `AT_ONCE` stand open."""
    found = {(one["column"], one["statistic"]): one for one in points.to_dict("records")}
    rows: list[Sequence[Cell]] = []
    for column in order:
        reference, current = facts.get(column, (None, None))
        rows.append(
            [
                lines(anchor(column, "drift", column=column, **query), _schema(current)),
                *(_check(found.get((column, check)), check, reference) for check in CHECKS),
                _line(history[history["column"] == column], column),
            ]
        )
    heads = [HEADS.get(check) or statistic_word(check) for check in CHECKS]
    columns = ("column", *heads, "over the windows")
    table(columns, rows[:AT_ONCE], caption="checks of each column")
    if len(rows) > AT_ONCE:
        with st.expander(f"{len(rows) - AT_ONCE} calmer columns"):
            table(columns, rows[AT_ONCE:], caption="checks of each calmer column")


def _check(point: Mapping[str, Any] | None, statistic: str, reference: Side | None) -> Cell:
    if point is None:
        return NOTHING
    before = {
        "missing_rate": reference and reference.missing,
        "unseen_rate": reference and reference.unseen,
        "out_of_range_rate": reference and reference.outside,
    }.get(statistic)
    held = [f"reference {format_share(before)}"] if before is not None else []
    if point["value"] and pd.notna(point["value"]) and statistic in ("unseen_rate", "out_of_range_rate"):
        held.insert(0, f"of {format_count(point['rows'])} {VALUED}")
    if pd.notna(point["threshold"]) and not (statistic in SHARES and point["threshold"] >= 1):
        held.append(_limit(point))
    if pd.isna(point["value"]):
        return lines(badge("inconclusive", "inconclusive"), small(point["reason"] or "no value"))
    told = amount(statistic, point["value"])
    if point["verdict"] == "alarm":
        return lines(badge(told, level_of(point)), small(", ".join(held)))
    if point["verdict"] != "ok":
        return lines(told, badge("not judged", "unknown"), small(point["reason"] or ""))
    return lines(told, small(", ".join(held)) if point["value"] or before else None)


def _schema(side: Side | None) -> Cell:
    if side is None:
        return None
    if side.absent:
        return badge(f"not in the data of {format_share(side.absent)} of rows", "attention")
    if side.invalid:
        return badge(f"{format_share(side.invalid)} of rows cannot be read as its kind", "attention")
    return None


def _line(history: pd.DataFrame, column: str) -> Cell:
    if history["value"].notna().sum() < 2:
        return None
    frame = history.sort_values("window_start")
    levels = frame["level"].where(frame["verdict"] == "alarm", frame["verdict"]).fillna("alarm")
    values = (frame["value"] / frame["threshold"].where(frame["threshold"] > 0)).fillna(0.0)
    known = [value if pd.notna(raw) else None for value, raw in zip(values, frame["value"], strict=True)]
    return image(sparkline_uri(known, list(levels)), f"worst check of {column}, value over limit, by window")


def show_rules(points: pd.DataFrame, history: pd.DataFrame, spec: ModelSpec) -> None:
    """Declared rules: how many of the rows violate each. A rule that was not counted is said to be unknown."""
    if not spec.rules:
        empty_state(
            "No rule is declared",
            "Write conditions that every row should meet under `rules` in the model's spec, such as “arrival >= 0”.",
        )
        return
    found = {one["column"]: one for one in points[points["statistic"] == RULE].to_dict("records")}
    rows: list[Sequence[Cell]] = []
    for rule in spec.rules:
        point = found.get(rule)
        mine = history[(history["statistic"] == RULE) & (history["column"] == rule)]
        if point is None:
            rows.append([rule, badge("not counted", "unknown"), None, None, _line(mine, rule)])
            continue
        rows.append(
            [rule, _verdict(point), format_share(point["value"]), format_share(point["threshold"]), _line(mine, rule)]
        )  # fmt: skip
    table(
        ("rule", "verdict", "rows that violate it", "limit", "over the windows"),
        rows,
        caption="declared rules",
    )


def show_whole(
    points: pd.DataFrame, history: pd.DataFrame, window: Mapping[str, Any], windows: pd.DataFrame
) -> None:
    """Rows as a whole: how many came and when, outliers, duplicates, and drift across columns, which is context."""
    usual = windows[(windows["state"] == "complete") & (windows["start"] < window["start"])]["rows"].tail(28)
    said = f"{format_count(usual.median())} in the usual window before" if len(usual) else "no window before"
    open_now = badge("not over yet", "unknown") if window["state"] == "open" else None
    rows: list[Sequence[Cell]] = [
        ["rows", open_now or NOTHING, format_count(window["rows"]), small(said), NOTHING],
        [
            "newest prediction",
            NOTHING,
            format_when(_moment(window["watermark"]), viewer_zone()),
            NOTHING,
            NOTHING,
        ],
    ]
    for point in points[points["column"] == ""].to_dict("records"):
        statistic = point["statistic"]
        mine = history[(history["column"] == "") & (history["statistic"] == statistic)]
        rows.append(
            [
                statistic_word(statistic),
                _verdict(point),
                amount(statistic, point["value"]),
                lines(
                    _limit(point) if pd.notna(point["threshold"]) else None,
                    small("context: drift alone never pages") if point["kind"] == "drift" else None,
                    small(point["reason"]) if point["reason"] else None,
                ),
                _line(mine, statistic_word(statistic)),
            ]
        )
    table(("", "verdict", "value", "held against", "over the windows"), rows, caption="rows as a whole")


def _moment(value: Any) -> Any:
    return None if pd.isna(value) else value.to_pydatetime()


def _verdict(point: Mapping[str, Any]) -> Cell:
    return badge(verdict_words(point), level_of(point))


def show_left_out(spec: ModelSpec) -> None:
    """Columns that the spec names and that no check looks at, with the reason."""
    named = [*spec.excluded, *((name, "embedding") for name in spec.embeddings)]
    rows = [[name, kind, LEFT_OUT.get(kind, "declared so in the spec")] for name, kind in named]
    if rows:
        table(("column", "declared as", "not checked because"), rows, caption="columns left out")
