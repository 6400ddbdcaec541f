"""Channels, routes, rotas and notices as tables, and the button that tries one again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from app.components.links import href, viewer_zone
from app.components.status import empty_state
from app.components.tables import Cell, anchor, badge, lines, small, table
from app.formats import format_when
from app.plain_text import plain
from app.session import perform, viewer
from app.words import count_of
from backend.identity.roles import Permission
from backend.notifications.channels import KINDS
from backend.notifications.service import retry_notice

_STATES = {"sent": ("sent", "ok"), "queued": ("waits", "unknown"), "refused": ("refused", "page")}


def channel_level(channel: Mapping[str, Any]) -> tuple[str, str]:
    """(word, level) of a channel. One that was never used is unknown, not well."""
    if channel["refused"]:
        return f"{count_of(channel['refused'], 'notice')} refused", "page"
    if channel["problem"]:
        return "cannot be reached", "attention"
    if channel["sent_at"] is None:
        return "never used", "unknown"
    return ("deaf", "attention") if channel["deaf"] else ("works", "ok")


def show_channels(channels: Sequence[Mapping[str, Any]]) -> None:
    table(
        ("channel", "state", "last told", "what is wrong"),
        [
            (
                lines(one["name"], small(KINDS[one["kind"]].title)),
                lines(
                    badge(*channel_level(one)), small(f"{one['waiting']} waiting") if one["waiting"] else None
                ),
                format_when(one["sent_at"], viewer_zone()) if one["sent_at"] else None,
                one["problem"]
                or (f"nothing can be heard there: {one['deaf']}" if one["deaf"] else "nothing"),
            )
            for one in channels
        ],
        caption="Channels and how they do",
    )


def show_routes(routes: Sequence[Mapping[str, Any]]) -> None:
    """Who is told of what, in the order of the file."""
    if not routes:
        empty_state("No route is written", "A channel that no route leads to is told of nothing.")
        return
    table(
        ("route", "incidents", "told at once", "while nobody acknowledges"),
        [
            (
                one["name"],
                _when_words(one["when"]),
                ", ".join(one["to"]),
                "; ".join(f"after {step['after_min']} min {', '.join(step['to'])}" for step in one["then"])
                or "nobody else",
            )
            for one in routes
        ],
        caption="Routes",
    )


def _when_words(when: Mapping[str, Any]) -> str:
    asked = ("severity", "tier", "model", "environment", "team")
    said = [f"{key}: {', '.join(when[key])}" for key in asked if when[key]]
    hours = when["hours"]
    if hours:
        days = "" if len(hours["days"]) == 7 else f" {', '.join(hours['days'])}"
        said.append(f"from {hours['from']} to {hours['to']}{days} ({hours['zone']})")
    return "; ".join(said) or "all"


def show_on_call(rotas: Sequence[Mapping[str, Any]]) -> None:
    for one in rotas:
        who = ", ".join(one["people"]) or ("not known" if one["problem"] else "nobody")
        until = f" until {format_when(one['until'], viewer_zone())}" if one["until"] else ""
        problem = f" ({one['problem']})" if one["problem"] else ""
        st.text(f"{one['rota']}: {who}{until}{problem}")
    if not rotas:
        st.caption(
            "The contacts name no rota: `rotas` takes calendars as PagerDuty, Opsgenie and others export them."
        )


def show_told(told: Mapping[str, Any]) -> None:
    """Of one incident: each notice with what was answered, and who is on call."""
    if told["on_call"]:
        show_on_call(told["on_call"])
    if told["notices"]:
        show_notices(told["notices"])
    elif told["problem"]:
        empty_state("Nobody is told of incidents", told["problem"], ("Notifications", href("notifications")))
    elif told["wanted"]:
        names = ", ".join(told["wanted"])
        empty_state(
            "Nobody was told of it yet", f"A worker tells {names} within seconds, unless all of its alerts are muted.",
            ("Notifications", href("notifications")),
        )  # fmt: skip
    else:
        empty_state(
            "Nobody was told of it",
            "No route of the contacts fits it.",
            ("Notifications", href("notifications")),
        )


def show_notices(notices: Sequence[Mapping[str, Any]]) -> None:
    if not notices:
        empty_state(
            "Nobody was told of anything yet", "The next incident that a route fits is told within seconds."
        )
        return
    zone = viewer_zone()
    rows: list[tuple[Cell, ...]] = [
        (
            anchor(f"INC-{one['incident_id']}", "incident", id=one["incident_id"]),
            one["channel"],
            lines(badge(*_STATES[one["state"]]), small(_attempts(one)) if one["attempts"] > 1 else None),
            format_when(one["sent_at"] or one["created_at"], zone),
            lines(one["why"], small(one["problem"] or one["receipt"])),
        )
        for one in notices
    ]
    table(("incident", "channel", "state", "when", "why, and what was answered"), rows, caption="Notices")
    for one in notices:
        if one["state"] == "refused":
            _retry_button(one)


def _attempts(notice: Mapping[str, Any]) -> str:
    return count_of(notice["attempts"], "attempt")


def _retry_button(notice: Mapping[str, Any]) -> None:
    if not viewer().may(Permission.ACKNOWLEDGE):
        return
    label = f"Tell {notice['channel']} of INC-{notice['incident_id']} again"
    if st.button(plain(label), key=f"notice:{notice['id']}", icon=":material/refresh:"):
        again = perform(
            lambda session, actor: retry_notice(session, actor, notice["id"]),
            done="It is tried again within seconds.",
        )
        if again is not None:
            st.rerun()
