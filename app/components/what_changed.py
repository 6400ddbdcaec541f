"""What changed in a window: one sentence, its parts with intervals, what is behind them, and what happened before.

`draw_what_changed` is used by the pages of an incident, of performance and of slices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from html import escape
from typing import Any

import pandas as pd
import streamlit as st

from app import data
from app.charts.changes import LANES, PART_WORDS, happened_figure, worsened
from app.components.charts import draw
from app.components.links import viewer_zone
from app.components.progress import job_progress
from app.components.status import empty_state
from app.components.tables import badge, small, table
from app.data.figures import parts_figure
from app.formats import format_age, format_count, format_share, format_when
from app.plain_text import plain
from app.session import live, perform, viewer
from app.words import metric_word, readable
from backend import clock
from backend.identity.roles import Permission
from backend.monitoring.analysis_service import request_analysis
from backend.monitoring.change_words import say_baselines

DAYS_BEFORE = 7
NOTHING_HAPPENED = (
    "No deployment, schema change, data-quality alarm or injected fault is recorded in the days before."
)
_WORDS = {"page": "page", "attention": "ticket", "injected": "injected"}


def draw_what_changed(model: str, environment: str, size: str, start: datetime) -> None:
    """Everything stored about why this window's metric changed; without an analysis, a button that asks for one."""
    if isinstance(start, pd.Timestamp):
        start = start.to_pydatetime()
    scope = data.scope_of(viewer())
    found = data.analysis(scope, model, size, start, environment)
    if found is None:
        empty_state(
            "This window has not been analysed",
            "Windows whose realised performance fell beyond its limit are analysed by themselves within minutes; for "
            "any other, ask here.",
        )
        ask_for_analysis(model, size, start, label="Analyse this window")
        return
    st.html(f'<p class="w-lead">{escape(found["says"])}</p>')
    say_held_against(held_against(model, environment, size, start, found["metric"]), found)
    split = found["split"]
    if split["parts"]:
        metric = metric_word(found["metric"])
        figure = parts_figure(split["parts"], metric=metric, scale=found["scale"], unit=found["unit"])
        alt = f"parts of the change of {metric} in the window from {format_when(start, viewer_zone())}"
        draw(figure, alt, key=f"parts:{model}:{size}:{start.isoformat()}")
        show_contributors(found)
    show_happened(
        scope,
        model,
        environment,
        size,
        start,
        found["window_end"],
        found["happened"],
        key=f"happened:{model}:{size}",
    )
    st.caption(f"{plain(foundation(found))} · a split is no proof of cause")
    ask_for_analysis(
        model, size, start, label="Analyse again" if not found["stale"] else "Analyse with the new rows"
    )


def held_against(
    model: str, environment: str, size: str, start: datetime, metric: str
) -> Mapping[str, Any] | None:
    """The window's realised figure of a metric as it was judged; None where none is stored."""
    if environment != data.environment():
        return None
    every = data.points(
        data.scope_of(viewer()), model, size, ("realised",), statistic=metric, since=start, segment=""
    )  # fmt: skip
    found = every[every["window_start"] == start].to_dict("records")
    return {str(key): value for key, value in found[0].items()} if found else None


def say_held_against(point: Mapping[str, Any] | None, found: Mapping[str, Any]) -> None:
    """Where the change that is split and the change that is judged differ, both, so that either can be traced."""
    if point is None:
        return
    held, value = (None if pd.isna(point[name]) else point[name] for name in ("reference_value", "value"))
    words = say_baselines(found["metric"], found["split"]["reference"], held, value)
    if words:
        st.caption(plain(readable(words)))


def fallen_window(
    alerts: Sequence[Mapping[str, Any]], spec: Mapping[str, Any]
) -> tuple[str, datetime] | None:
    """The size and start of the newest window in which realised performance fell; None where none of these did."""
    fell = [one for one in alerts if one["kind"] == "realised"]
    if not fell:
        return None
    newest = max(fell, key=lambda one: (one["state"] == "firing", one["last_seen_at"]))
    told = newest["details"].get("window")
    start = clock.from_iso(told) if told else newest["since"]
    return str(newest["details"].get("size") or spec["window"]), start


def show_contributors(found: Mapping[str, Any]) -> None:
    """Each part that counts, and what stands behind it. They explain a part and need not add up to it."""
    rows = [
        [PART_WORDS[part["kind"]] if first else "", one["name"], worsened(one["points"], found["scale"])]
        for part in found["split"]["parts"]
        for first, one in zip([True] + [False] * 20, part["contributors"], strict=False)
    ]
    if rows:
        heads = ("part", "most by", f"{found['unit'] or metric_word(found['metric'])}, each alone")
        table(heads, rows, caption="What stands behind the parts of the change")


def show_happened(
    scope: data.Scope, model: str, environment: str, size: str, start: datetime, end: datetime,
    happened: Sequence[Mapping[str, Any]], *, key: str,
) -> None:  # fmt: skip
    """Deployments, schema changes, data-quality alarms and incidents of the days before, and the parts by which the
    metric changed in windows that were analysed, on one time axis."""
    since = min([start - timedelta(days=DAYS_BEFORE), *(one["at"] for one in happened)])
    analysed = data.parts_between(scope, model, size, since, end, environment)
    analysed = [one for one in analysed if one["parts"]]
    figure = happened_figure(happened, window=(start, end), since=since, tz=viewer_zone(), analysed=analysed)
    alt = "what happened before and during the window, and the parts of the change of each analysed window"
    draw(figure, alt, key=f"{key}:{start.isoformat()}")
    if analysed and not happened:
        st.caption(NOTHING_HAPPENED)
    if happened:
        with st.expander("The same as a list"):
            table(
                ("when", "what", "level"),
                [
                    [format_when(one["at"], viewer_zone()), f"{LANES[one['kind']]}: {one['text']}",
                     badge(_WORDS.get(one["level"], "change"), one["level"]) if one["level"] in _WORDS else small("")]
                    for one in happened
                ],
            )  # fmt: skip


def foundation(found: Mapping[str, Any]) -> str:
    """What the analysis rests on, and how old it is."""
    split, used = found["split"], found["rows_used"]
    facts = [
        f"{format_count(split['rows_window'])} labelled rows of the window against "
        f"{format_count(split['rows_reference'])} of the reference of v{found['version']}",
        f"{format_share(found['completeness'])} of labels",
        f"at most {format_count(used['window'])} rows drawn evenly" if used != found["rows_read"] else "",
        f"analysed {format_age(found['computed_at'])} ago",
        "rows or labels have come since" if found["stale"] else "",
    ]
    return " · ".join(fact for fact in facts if fact)


def ask_for_analysis(model: str, size: str, start: datetime, *, label: str) -> None:
    """A button that queues an analysis of this window, or how far its own is that is under way. Analyses of other
    windows hold nobody up."""
    actor = viewer()
    runs = data.analysis_runs(data.scope_of(actor), model)
    if any(_is_about(run, size, start) for run in runs):
        _follow(model, size, start.isoformat())
        return
    if runs:
        st.caption("Other windows of this model are being analysed now; this one takes its turn after them.")
    allowed = actor.may(Permission.COMPUTE_METRICS)
    asked = st.button(
        plain(label),
        key=f"analyse:{model}:{size}:{start.isoformat()}", disabled=not allowed, icon=":material/troubleshoot:",
        help=plain(None if allowed else f"Your role lacks {Permission.COMPUTE_METRICS.value}."),
    )  # fmt: skip
    if asked and perform(
        lambda session, me: request_analysis(session, me, model=model, start=start, size=size),
        done="The analysis is queued.",
    ):
        st.rerun()


def _is_about(run: Mapping[str, Any], size: str, start: datetime) -> bool:
    """Whether a queued or running analysis was asked for this window."""
    told = run["arguments"]
    return told.get("size") == size and bool(told.get("start")) and clock.from_iso(told["start"]) == start


@live(run_every=2)
def _follow(model: str, size: str, start: str) -> None:
    """The analysis of one window that is under way; the page is drawn anew when it is done."""
    moment = clock.from_iso(start)
    runs = [run for run in data.analysis_runs(data.scope_of(viewer()), model) if _is_about(run, size, moment)]
    for run in runs:
        title = f"Analyse the window from {format_when(moment, viewer_zone())}"
        job_progress(title, run["state"], share=run["progress"], since=run["requested_at"])
    if not runs:
        st.rerun(scope="app")
