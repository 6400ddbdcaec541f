"""What a page says of monitors: the list, a replay in plain words with its charts, and the false-alarm budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from app.charts.monitors import monitor_figure
from app.components import empty_state, key_values, viewer_zone
from app.components.charts import draw
from app.components.monitor_form import figure_words
from app.components.tables import anchor, badge, lines, small, table
from app.formats import (
    format_age,
    format_count,
    format_decimal,
    format_metric,
    format_rate,
    format_share,
    format_when,
)
from app.plain_text import plain
from app.words import ALERT_LEVELS, count_of, readable
from backend.monitoring.budget_service import BudgetChange, FalseAlarms
from backend.monitoring.monitor_replay import Replay
from backend.monitoring.monitors import Monitor

OFTEN_A_MONTH = 4.35
"""Tickets a month, one a week, from which a replay is marked: who reads more of them?"""
LONG = 0.25
"""The share of the time from which an alarm that goes on is marked."""


def show_monitors(model: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Every monitor: what it watches, its state, when it last fired, and how often it would have."""
    if not rows:
        empty_state(
            "Nobody has written a monitor for this model",
            "Warrant's calibrated limits are at work all the same. Write one below for what only you know; it shows "
            "when it would have fired before it is stored.",
        )
        return
    table(
        ("monitor", "state", "last fired", "over stored history"),
        [
            [
                lines(anchor(row["name"], "monitors", model=model, monitor=row["key"]),
                      small(readable(row["says"] or row["broken"]))),
                _state(row), _last_fired(row), _often(row),
            ]
            for row in rows
        ],
        caption="monitors that people wrote",
    )  # fmt: skip


def say_quiet(model: str, rows: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """The page's sentence where no monitor fires, and its level: quiet is what was looked at and holds."""
    if not rows:
        return f"{model} has no monitor of your own", "settled"
    told = [_state(row) for row in rows]
    quiet, paused = told.count(_QUIET), told.count(_PAUSED)
    unknown = len(rows) - quiet - paused
    rest = [f"{unknown} cannot tell now" if unknown else "", f"{paused} paused" if paused else ""]
    of = count_of(len(rows), "monitor")
    sentence = f"None of {of} fires" if len(rows) > 1 else "The one monitor of your own does not fire"
    return "; ".join(filter(None, [sentence, *rest])), "ok" if quiet == len(rows) else "unknown"


_QUIET: Final = badge("quiet", "ok")
_PAUSED: Final = badge("paused", "unknown")


def _state(row: Mapping[str, Any]) -> Any:
    if row["broken"]:
        return badge("cannot be looked at", "unknown")
    if row["state"] == "paused":
        return _PAUSED
    alert = row["alert"]
    if alert is not None and alert["state"] == "firing":
        return badge(f"fires ({alert['level']})", ALERT_LEVELS[alert["level"]])
    if row["holds"]:
        return badge("not looked at since it holds", "unknown")
    if not row["looked_at"]:
        return badge("not looked at yet", "unknown")
    if not row["mostly_tested"]:
        return badge("mostly not testable", "unknown")
    return _QUIET if row["judged"] else badge("not known now", "unknown")


def _last_fired(row: Mapping[str, Any]) -> str:
    alert = row["alert"]
    if alert is None:
        return "never" if row["looked_at"] else "not looked at yet"
    return f"{format_age(alert['fired_at'])} ago"


def _often(row: Mapping[str, Any]) -> str | None:
    if row["fired"] is None:
        return None
    if not row["tested"]:
        return "could not be tested"
    rate = f", {rate_words(row['per_month'])}" if row["per_month"] and row["fired"] > 1 else ""
    tested = "" if row["mostly_tested"] else f", tested in {count_of(row['tested'], 'window')} only"
    share = f", {format_share(row['firing_share'])} of the time" if row["fired"] else ""
    return f"{count_of(row['fired'], 'time')}{rate}{share}{tested}"


def rate_words(per_month: float, noun: str = "") -> str:
    """`3.2 pages a month`, or `one page in 4.1 months` where it is rarer."""
    if per_month >= 1:
        return f"{format_metric(per_month)}{f' {noun}s' if noun else ''} a month"
    return f"one{f' {noun}' if noun else ''} in {format_metric(1 / per_month)} months"


def replay_sentence(monitor: Monitor, found: Replay, allowed: FalseAlarms) -> tuple[str, str]:
    """How often it would have fired and for how long, as a sentence, and its level: never `ok` where fewer than half of
    the windows could be tested."""
    if not found.windows:
        return "No finished window is stored: whether it would have fired is not known.", "unknown"
    span = format_age(found.windows[-1].end - found.windows[0].start)
    period = f"{count_of(len(found.windows), 'window')} ({span})"
    if not found.looked_at:
        return f"None of {period} could be tested: whether it would have fired is not known.", "unknown"
    if found.inconclusive:
        period = f"the {found.looked_at:,} of {period} that could be tested"
    noun = {"page": "page", "ticket": "ticket", "info": "notice"}[monitor.level]
    if not found.firings:
        return f"It would not have fired in {period}.", "ok" if found.mostly_tested else "unknown"
    share = found.firing_share or 0.0
    said = f"It would have fired {count_of(len(found.firings), 'time')} in {period}"
    said += f", for {format_share(share)} of the time"
    if not found.mostly_tested:
        return f"{said}; too few could be tested to say how many {noun}s a month.", "unknown"
    if found.per_month is None or found.months < 1 / 4:
        return f"{said}; that is too short to say how many {noun}s a month.", "unknown"
    said += f": {rate_words(found.per_month, noun)}."
    long = share > LONG
    if long:
        said += " A monitor that fires so much of the time tells nothing new."
    if monitor.level != "page":
        return said, "attention" if long or found.per_month > OFTEN_A_MONTH else "ok"
    budget = f"The budget allows {rate_words(allowed.per_month, 'false page')}"
    if found.per_month <= allowed.per_month:
        return f"{said} {budget}, so it fits even if none of them is true.", "attention" if long else "ok"
    spare = 1 - allowed.per_month / found.per_month
    return (
        f"{said} {budget}: it fits only if {format_share(spare)} or more of them are worth waking for.",
        "attention",
    )


def show_replay(monitor: Monitor, found: Replay, *, key: str) -> None:
    """Charts of what it looked at, and the list of when it fired."""
    tz = viewer_zone()
    if found.why_not:
        reasons = "; ".join(f"{readable(why)} in {count_of(n, 'window')}" for why, n in found.why_not.items())
        tested = f"{found.looked_at:,} of {count_of(len(found.windows), 'window')} could be tested."
        st.caption(f"{plain(tested)} Missing: {plain(reasons)}.")
    for index, (name, figure) in enumerate(replay_figures(monitor, found, tz)):
        draw(figure, f"{name} over time with its threshold, and when the monitor fires", key=f"{key}:{index}")
    if found.firings:
        with st.expander(f"When it would have fired ({len(found.firings)})"):
            rows = [
                [format_when(one.start.start, tz), readable(one.text.removeprefix(f"{monitor.name}: ")),
                 "still fires" if one.end is None else f"{format_when(one.end.start, tz)}, {one.ended}",
                 None if one.version is None else f"v{one.version}"]
                for one in reversed(found.firings[-200:])
            ]  # fmt: skip
            table(
                ("window from", "because", "until", "version"),
                rows,
                caption="when the monitor would have fired",
            )
            listed = pd.DataFrame(found.to_json()["firings"])
            st.download_button(
                "Download as CSV",
                partial(listed.to_csv, index=False),
                f"{monitor.name}.csv",
                "text/csv",
                key=f"{key}:csv",
            )


def replay_figures(monitor: Monitor, found: Replay, tz: str | None) -> list[tuple[str, go.Figure]]:
    """The name and chart of each figure the monitor looks at, from the first window that has one of them."""
    if not found.windows:
        return []
    known = np.vstack([np.isfinite(trace.value) for trace in found.traces]).any(axis=0)
    first = int(known.argmax()) if known.any() else 0
    starts = pd.to_datetime([one.start for one in found.windows[first:]], utc=True)
    latest = found.windows[-1].end
    spans = [(one.start.start, one.end.start if one.end else latest) for one in found.firings]
    figures = []
    for trace in found.traces:
        name = figure_words(trace.condition.figure)
        frame = pd.DataFrame(
            {
                "window_start": starts,
                "value": trace.value[first:],
                "lower": trace.lower[first:],
                "upper": trace.upper[first:],
            }
        )
        figure = monitor_figure(frame, spans, name=name, level=ALERT_LEVELS[monitor.level], tz=tz)
        figures.append((name, figure))
    return figures


def count_of_pages(number: float) -> str:
    """`1 false page`, `2.5 false pages`: a number that people have set, as they set it."""
    return f"{number:g} false page{'' if number == 1 else 's'}"


def show_budget(allowed: FalseAlarms) -> None:
    """The false alarms the model may cause, and which of the two limits binds."""
    rota = f"{format_metric(allowed.rota_share_per_month)} a month, of {allowed.rota_per_shift:g} in a "
    rota += f"12-hour shift over {count_of(allowed.rota_models, 'model')} of the rota “{allowed.rota}”"
    binds = "its part of the rota's" if allowed.binds == "rota" else "its own"
    key_values(
        {
            "this model": f"{count_of_pages(allowed.own_per_quarter)} a quarter",
            "its part of the rota's": rota,
            "what holds": f"{format_metric(allowed.per_month)} a month ({binds}, the stricter)",
        }
    )


def show_wrong_alarms(wrong: Sequence[Mapping[str, Any]], pages_allowed_per_month: float) -> None:
    """Which monitors people called wrong of late, beside the false pages that the budget allows."""
    if not wrong:
        st.caption("Nobody has marked an alert of this model as a false alarm within 90 days.")
        return
    pages = sum(int(one["pages"]) for one in wrong)
    st.caption(f"False by what people said, within 90 days: {count_of(pages, 'page')}, "
               f"{format_decimal(pages / 3, 1)} a month; the budget "
               f"allows {format_metric(pages_allowed_per_month)} a month.")  # fmt: skip
    table(
        ("monitor", "kind", "fired", "called false"),
        [[one["about"], one["kind"], format_count(one["fired"]), format_rate(one["false"], one["fired"])]
         for one in wrong],
        caption="false alarms by monitor",
    )  # fmt: skip


def show_budget_change(found: BudgetChange) -> None:
    """What another budget changes, and from when on."""
    before, after = (rate_words(one, "false page") for one in (found.before, found.after))
    st.caption(
        plain(
            f"What holds: {before} now, {after} then." if before != after else f"What holds stays {before}."
        )
    )
    if not found.moved:
        st.caption(
            "No limit moves: each is at its strictest or mildest already, or the other limit still holds."
        )
        return
    table(
        ("a page by", "windows of", "now", "then"),
        [
            [f"{one.kind} performance", one.size, *(_standard_errors(number) for number in (one.before, one.after))]
            for one in found.moved
        ],
        caption="how much worse performance must be to page",
    )  # fmt: skip
    st.caption(
        "It holds for windows that are computed from then on, those that fill now and those that get late labels too. "
        "What was said of other windows stays as it is. Tickets of joint drift and outlier rows follow as well."
    )


def _standard_errors(number: float) -> str:
    return f"{format_decimal(number)} standard errors worse"
