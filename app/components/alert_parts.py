"""Alerts as pages show them: which concern a page, what each is about, and the way to its window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import streamlit as st
from markupsafe import Markup

from app import data
from app.components.links import href, viewer_zone
from app.components.status import empty_state
from app.components.tables import anchor, badge, lines, link, small, table
from app.formats import format_age, format_when
from app.words import ALERT_LEVELS
from backend import clock
from backend.alerting.incident_alerts import PAGE
from backend.alerting.sources import area_of
from backend.slo.wording import span_words

ALERT_PAGES = {
    "quality": "quality", "volume": "quality", "drift": "drift", "prediction": "drift",
    "realised": "performance", "estimated": "performance", "kpi": "performance",
    "fairness": "fairness", "attribution": "explanations",
}  # fmt: skip
"""Where the figures of an alert's kind are shown; any other kind is shown on the model's page."""


def firing_about(
    alerts: Sequence[Mapping[str, Any]], environment: str, kinds: Sequence[str]
) -> list[Mapping[str, Any]]:
    """Those of `alerts` that concern these kinds of figures, a monitor's by what it looks at, loudest first."""
    levels = list(ALERT_LEVELS)
    mine = [
        one
        for one in alerts
        if one["environment"] == environment
        and (one["details"].get("kind") if one["kind"] == "monitor" else one["kind"]) in kinds
    ]
    return sorted(mine, key=lambda one: levels.index(one["level"]))


def alert_address(alert: Mapping[str, Any], usual_size: str) -> str:
    """The page of an alert's kind, at its window, size and column."""
    page, query = alert_place(alert, usual_size)
    return href(page, **query)


def alert_place(alert: Mapping[str, Any], usual_size: str) -> tuple[str, dict[str, str]]:
    """The page of an alert's kind, and what to ask it for."""
    told = alert["details"]
    kind = told.get("kind") if alert["kind"] == "monitor" else alert["kind"]
    page = ALERT_PAGES.get(str(kind), "model")
    if not alert["model"]:
        return {"job": "jobs", "audit": "audit"}.get(str(kind), "silences"), {}
    if page == "model":
        return page, {"model": alert["model"]}
    if page == "explanations":
        start = clock.from_iso(told["window"]) if told.get("window") else alert["since"]
        place = {"show": "windows", "segment": told.get("segment") or "all", "window": clock.to_iso(start)}
        return page, {"model": alert["model"], **place}
    query = {
        "model": alert["model"],
        "size": told.get("size") or usual_size,
        "window": told.get("window") or alert["since"].isoformat(),
    }
    return page, query | {name: told[name] for name in ("column", "segment") if told.get(name)}


def place_of(alert: Mapping[str, Any], usual_size: str) -> tuple[str, datetime]:
    """The size and start of the window an alert is about."""
    told = alert["details"]
    start = clock.from_iso(told["window"]) if told.get("window") else alert["since"]
    return str(told.get("size") or usual_size), start


def about_windows(alert: Mapping[str, Any]) -> bool:
    """Whether it tells of a window of the model, not of requests, work or the record."""
    return area_of(str(alert.get("source", ""))) == "model"


def alert_window(alert: Mapping[str, Any], usual_size: str) -> str:
    """What an alert is about, beside its sentence: column, segment, the window and its size."""
    told = alert["details"]
    size, begun = place_of(alert, usual_size)
    if about_windows(alert):
        where = [f"window from {format_when(begun, viewer_zone())}", size_words(size)]
    else:
        where = [f"since {format_when(begun, viewer_zone())}"] if not told.get("long_s") else []
        where += [f"in the last {span_words(float(told['long_s']))}"] if told.get("long_s") else []
    parts = (told.get("column"), f"segment {told['segment']}" if told.get("segment") else "", *where)
    return " · ".join(part for part in parts if part)


def muted_words(alert: Mapping[str, Any]) -> str:
    """By what and to when an alert is muted, in the viewer's zone."""
    until = f", until {format_when(alert['muted_until'], viewer_zone())}" if alert["muted_until"] else ""
    return f"{alert['muted']}{until}"


def size_words(size: str) -> str:
    return f"windows of {int(size):,} rows" if size.isdigit() else f"windows of {size}"


def show_fired(alerts: Sequence[Mapping[str, Any]], usual_size: str) -> None:
    """The alerts of an incident, each leading to the page of its kind at its window and column."""
    if not alerts:
        empty_state("No alert belongs to it", "It was opened by hand or its alerts were taken away.")
        return
    rows = []
    for one in alerts:
        fires = one["state"] == "firing"
        muted, held = one.get("muted", ""), one.get("held_until")
        level = ALERT_LEVELS.get(one["level"], "unknown") if fires else "settled"
        injected = "rows of an injected fault" if one["details"].get("injected_rows") else ""
        rows.append(
            [
                lines(
                    link(one["title"], alert_address(one, usual_size)),
                    small(alert_window(one, usual_size)),
                    small(injected) if injected else None,
                    small(muted_words(one)) if muted else None,
                    small(f"comes and goes; held until {format_when(held, viewer_zone())}") if held else None,
                ),
                badge("suppressed", "unknown")
                if muted and fires
                else badge(
                    one["level"] if fires else one["state"].replace("_", " "),
                    level if one["state"] in ("firing", "resolved") else "unknown",
                ),
                one["kind"],
                one["fired_at"],
                f"{format_age(one['last_seen_at'])} ago",
            ]
        )
    table(("alert", "state", "kind", "noticed", "last seen"), rows, caption="alerts of this incident")


def show_alerts(scope: data.Scope, found: Mapping[str, Any], usual_size: str, wanted: str) -> None:
    """The page of its alerts that the address wants (from 1), and the way to the others."""
    pages = max(-(-found["alerts_in_all"] // PAGE), 1)
    number = min(int(wanted), pages) if wanted.isdecimal() and len(wanted) < 9 and int(wanted) else 1
    show_fired(data.alerts_of(scope, found["id"], number), usual_size)
    if pages == 1:
        return
    first, last = (number - 1) * PAGE + 1, min(number * PAGE, found["alerts_in_all"])
    ways = [
        anchor(word, "incident", id=found["id"], alerts=to)
        for word, to in (
            ("first", 1),
            ("earlier in the list", number - 1),
            ("next", number + 1),
            ("last", pages),
        )
        if 1 <= to <= pages and to != number
    ]
    said = f"{first:,} to {last:,} of {found['alerts_in_all']:,} alerts, those that fire first"
    st.html(Markup('<p class="w-detail">{} · {}</p>').format(said, Markup(" · ").join(ways)))
