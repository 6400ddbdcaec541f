"""Lists of what is open and of what fires, a page at a time, the gravest first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import streamlit as st
from markupsafe import Markup

from app import data
from app.components.alert_parts import alert_address, alert_window, muted_words
from app.components.links import ago
from app.components.listing import Column, listing
from app.components.status import empty_state, headline
from app.components.tables import Cell, anchor, badge, lines, link, small, table
from app.formats import format_age, whole_number
from app.words import ALERT_LEVELS, count_of

PAGE = 50
ALERT_COLUMNS = ("alert", "model", "state", "fires for")


def show_lists(scope: data.Scope) -> None:
    """The open incidents, or with `?show=alerts` the pages and tickets of no incident."""
    first = whole_number(st.query_params.get("from")) or 0
    if st.query_params.get("show") == "alerts":
        _show_loose(scope, first)
    else:
        _show_open(scope, first)


def _show_open(scope: data.Scope, first: int) -> None:
    found, total = data.open_incidents(scope, limit=PAGE, offset=first)
    if not total:
        headline("No incident is open", "ok")
        empty_state(
            "Nothing to handle", "Past incidents are on the timeline of their model.", ("Overview", "/")
        )
        return
    headline(f"{count_of(total, 'incident')} {'is' if total == 1 else 'are'} open", "attention")
    listing(
        found,
        COLUMNS,
        caption="open incidents, the gravest first",
        first=first,
        total=total,
        page=PAGE,
        row_links=True,
    )


def _name(one: Mapping[str, Any]) -> Cell:
    return lines(anchor(f"INC-{one['id']}", "incident", id=one["id"]), small(one["title"]))


COLUMNS: Final[tuple[Column[Mapping[str, Any]], ...]] = (
    Column("incident", "incident", _name, fixed=True),
    Column("severity", "severity", lambda one: f"SEV-{one['severity']}"),
    Column("model", "model", lambda one: one["model"] or "installation"),
    Column("open", "open for", lambda one: ago(one["opened_at"])),
    Column("firing", "alerts that fire", lambda one: f"{one['firing']:,}"),
    Column("on_it", "who is on it", lambda one: "acknowledged" if one["acknowledged_at"] else "nobody"),
)


def _show_loose(scope: data.Scope, first: int) -> None:
    found = data.firing(scope, loose=True, limit=PAGE + 1, offset=first)
    if not found and not first:
        headline("No page or ticket fires outside an incident", "ok")
        empty_state(
            "Nothing to handle", "What fires under an incident is on its page.", ("Incidents", "/incident")
        )
        return
    headline("Pages and tickets that fire and belong to no incident", "attention", detail="muted ones, too")
    table(
        ALERT_COLUMNS, [_alert_row(one) for one in found[:PAGE]], caption="pages and tickets of no incident"
    )
    _show_ways(first, len(found[:PAGE]), more=len(found) > PAGE, show="alerts")


def _alert_row(one: Mapping[str, Any]) -> list[Cell]:
    muted = one["muted"]
    return [
        lines(
            link(one["title"], alert_address(one, "1d")),
            small(alert_window(one, "1d")),
            small(muted_words(one)) if muted else None,
        ),
        one["model"] or "installation",
        badge("suppressed", "unknown")
        if muted
        else badge(one["level"], ALERT_LEVELS.get(one["level"], "unknown")),
        format_age(one["fired_at"]),
    ]


def _show_ways(first: int, shown: int, *, more: bool, of: str = "", **query: str) -> None:
    places = [("earlier in the list", max(first - PAGE, 0))] if first else []
    places += [("next", first + PAGE)] if more else []
    if places:
        ways = [anchor(word, "incident", **query, **{"from": place}) for word, place in places]
        said = f"{first + 1:,} to {first + shown:,}{of}"
        st.html(Markup('<p class="w-detail">{} · {}</p>').format(said, Markup(" · ").join(ways)))
