"""What a page says of monitors: the list, a replay in plain words with its charts, and the false-alarm budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from app.charts.monitors import monitor_figure
from app.components import empty_state, key_values, viewer_zone
from app.components.charts import draw
from app.components.monitor_form import figure_words
from app.components.tables import anchor, badge, lines, small, table
from app.formats import format_age, format_metric, format_when
from app.words import ALERT_LEVELS, count_of, readable
from backend.monitoring.budget_service import FalseAlarms
from backend.monitoring.monitor_replay import Replay
from backend.monitoring.monitors import Monitor

OFTEN_A_MONTH = 4.35
"""Tickets a month, one a week, from which a replay is marked: who reads more of them?"""


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


def _state(row: Mapping[str, Any]) -> Any:
    if row["broken"]:
        return badge("cannot be looked at", "unknown")
    if row["state"] == "paused":
        return badge("paused", "unknown")
    alert = row["alert"]
    if alert is not None and alert["state"] == "firing":
        return badge(f"fires ({alert['level']})", ALERT_LEVELS[alert["level"]])
    if row["holds"]:
        return badge("not looked at since it holds", "unknown")
    if not row["looked_at"]:
        return badge("not looked at yet", "unknown")
    return badge("quiet", "ok") if row["judged"] else badge("not known now", "unknown")


def _last_fired(row: Mapping[str, Any]) -> str:
    alert = row["alert"]
    if alert is None:
        return "never" if row["looked_at"] else "not looked at yet"
    return f"{format_age(alert['fired_at'])} ago"


def _often(row: Mapping[str, Any]) -> str | None:
    if row["fired"] is None:
        return None
    rate = f", {rate_words(row['per_month'])}" if row["per_month"] and row["fired"] > 1 else ""
    return f"{count_of(row['fired'], 'time')}{rate}"


def rate_words(per_month: float, noun: str = "") -> str:
    """`3.2 pages a month`, or `one page in 4.1 months` where it is rarer."""
    if per_month >= 1:
        return f"{format_metric(per_month)}{f' {noun}s' if noun else ''} a month"
    return f"one{f' {noun}' if noun else ''} in {format_metric(1 / per_month)} months"


def replay_sentence(monitor: Monitor, found: Replay, allowed: FalseAlarms) -> tuple[str, str]:
    """How often it would have fired, as a sentence, and its level: never `ok` where nothing could be judged."""
    if not found.windows:
        return "No finished window is stored: whether it would have fired is not known.", "unknown"
    span = format_age(found.windows[-1].end - found.windows[0].start)
    period = f"{count_of(len(found.windows), 'window')} ({span})"
    if not found.looked_at:
        return f"None of {period} could be judged: whether it would have fired is not known.", "unknown"
    if found.inconclusive:
        period = f"the {found.looked_at:,} of {period} that could be judged"
    noun = {"page": "page", "ticket": "ticket", "info": "notice"}[monitor.level]
    if not found.firings:
        half = found.looked_at >= len(found.windows) / 2
        return f"It would not have fired in {period}.", "ok" if half else "unknown"
    said = f"It would have fired {count_of(len(found.firings), 'time')} in {period}"
    if found.per_month is None or found.months < 1 / 4:
        return f"{said}; that is too short to say how many {noun}s a month.", "unknown"
    said += f": {rate_words(found.per_month, noun)}."
    if monitor.level != "page":
        return said, "attention" if found.per_month > OFTEN_A_MONTH else "ok"
    budget = f"The budget allows {rate_words(allowed.per_month, 'false page')}"
    if found.per_month <= allowed.per_month:
        return f"{said} {budget}, so it fits even if none of them is true.", "ok"
    spare = 1 - allowed.per_month / found.per_month
    return f"{said} {budget}: it fits only if {spare:.0%} or more of them are worth waking for.", "attention"


def show_replay(monitor: Monitor, found: Replay, *, key: str) -> None:
    """Charts of what it looked at, and the list of when it fired."""
    tz = viewer_zone()
    if found.inconclusive:
        reasons = "; ".join(f"{readable(why)} in {count_of(n, 'window')}" for why, n in found.why_not.items())
        st.caption(f"{count_of(found.inconclusive, 'window')} could not be judged. Missing: {reasons}.")
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
                listed.to_csv(index=False),
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
