"""Lists of incidents and of what fires outside one, a page at a time, the gravest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st
from markupsafe import Markup

from app import data
from app.components.alert_parts import alert_address, alert_window, muted_words
from app.components.links import when
from app.components.pickers import pick
from app.components.status import empty_state, headline
from app.components.tables import Cell, anchor, badge, lines, link, small, table
from app.formats import format_age, whole_number
from app.words import ALERT_LEVELS, count_of
from backend.alerting.incident_list import SEVERITIES, STATES, Wanted

PAGE = 50
EVERY, HOUSE = "any", "-"  # no model is called so
COLUMNS = ("incident", "severity", "state", "model", "since", "who has it", "alerts that fire")
ALERT_COLUMNS = ("alert", "model", "state", "fires for")
WHO = {EVERY: "whoever has it", "me": "I have it", "nobody": "nobody has it"}
STATE_WORDS = {EVERY: "open and over", "open": "open", "closed": "over"}


def show_lists(scope: data.Scope) -> None:
    """Incidents by the filters in the address, or with `?show=alerts` the pages and tickets of no incident."""
    first = whole_number(st.query_params.get("from")) or 0
    if st.query_params.get("show") == "alerts":
        _show_loose(scope, first)
    else:
        _show_incidents(scope, first)


def _show_incidents(scope: data.Scope, first: int) -> None:
    top = st.container()
    wanted, asked = _filters(scope)
    if asked != st.session_state.get("incidents:asked", asked):
        first = 0  # another filter begins at its first page
        st.query_params.pop("from", None)
    st.session_state["incidents:asked"] = asked
    found, opened, closed = data.incidents(scope, wanted, limit=PAGE, offset=first)
    with top:
        _say(found, opened, closed, is_filtered=wanted != Wanted(), first=first)
    if found:
        table(COLUMNS, [_row(one) for one in found], caption="incidents, open ones first, the gravest on top")
        total = opened + closed
        _show_ways(first, len(found), more=first + PAGE < total, of=f" of {total:,}", **asked)
    loose = link("Pages and tickets of no incident", "/incidents?show=alerts")
    st.html(
        Markup('<p class="w-detail w-take">{} · {}</p>').format(
            loose, link("Silences and maintenance", "/silences")
        )
    )


def _filters(scope: data.Scope) -> tuple[Wanted, dict[str, str]]:
    """What the address asks for, as the service takes it and as the address has it."""
    models = [EVERY, HOUSE, *sorted(data.models(scope))]
    said = {EVERY: "every model", HOUSE: "the installation"}
    with st.container(horizontal=True):
        state = pick("State", [EVERY, *STATES], key="state", words=STATE_WORDS.__getitem__, width=170)
        severity = pick(
            "Severity", [EVERY, *map(str, SEVERITIES)], key="severity", width=170,
            words=lambda one: "every severity" if one == EVERY else f"SEV-{one}",
        )  # fmt: skip
        model = pick("Model", models, key="of", words=lambda one: said.get(one, one), width=260)
        who = pick("Who has it", list(WHO), key="has", words=WHO.__getitem__, width=190)
    asked = {"state": state, "severity": severity, "of": model, "has": who}
    kept = {name: value for name, value in asked.items() if value is not None and value != EVERY}
    wanted = Wanted(
        "open" if state == "open" else "closed" if state == "closed" else None, whole_number(kept.get("severity")),
        kept.get("of"), mine=who == "me", nobodys=who == "nobody",
    )  # fmt: skip
    return wanted, kept


def _say(
    found: Sequence[Mapping[str, Any]], opened: int, closed: int, *, is_filtered: bool, first: int
) -> None:
    over = f"{closed:,} over" if closed else "none is over"
    if opened:
        worst = found[0] if found and not first and found[0]["state"] == "open" else None
        sentence = f"{count_of(opened, 'incident')} {'is' if opened == 1 else 'are'} open"
        if worst is not None:
            sentence += (
                f"; worst: INC-{worst['id']} SEV-{worst['severity']} {worst['model'] or 'installation'}, "
                f"{worst['title']}, for {format_age(worst['opened_at'])}, {_has_it(worst)}"
            )
        grave = worst is not None and worst["severity"] <= 2
        headline(sentence, "page" if grave else "attention", detail=over)
    elif is_filtered:
        headline("No incident of these is open", "unknown", detail=over)
    else:
        headline("No incident is open", "ok", detail=over)
    if not found and not first:
        if is_filtered:
            empty_state("No incident fits", "Take a filter away.", ("Every incident", "/incidents"))
        else:
            empty_state(
                "Nothing to handle",
                "A page that fires opens an incident by itself; `warrant incident list` shows the same.",
                ("Overview", "/"),
            )


def _has_it(one: Mapping[str, Any]) -> str:
    if one["has_it"]:
        return f"{one['has_it']} has it"
    return "nobody had it" if one["state"] == "closed" else "nobody is on it"


def _row(one: Mapping[str, Any]) -> list[Cell]:
    is_open = one["state"] == "open"
    level = ("page" if one["severity"] <= 2 else "attention") if is_open else "unknown"
    ago = (
        f"for {format_age(one['opened_at'])}"
        if is_open
        else f"lasted {format_age(one['closed_at'] - one['opened_at'])}"
    )
    return [
        lines(anchor(f"INC-{one['id']}", "incident", id=one["id"]), small(one["title"])),
        badge(f"SEV-{one['severity']}", level),
        one["phase"].replace("_", " "),
        anchor(one["model"], "model", model=one["model"]) if one["model"] else "installation",
        lines(when(one["opened_at"]), small(ago)),
        one["has_it"] or "nobody",
        f"{one['firing']:,}",
    ]


def _show_loose(scope: data.Scope, first: int) -> None:
    found = data.firing(scope, loose=True, limit=PAGE + 1, offset=first)
    if not found and not first:
        headline("No page or ticket fires outside an incident", "ok")
        empty_state(
            "Nothing to handle", "What fires under an incident is on its page.", ("Incidents", "/incidents")
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
        ways = [anchor(word, "incidents", **query, **{"from": place}) for word, place in places]
        said = f"{first + 1:,} to {first + shown:,}{of}"
        st.html(Markup('<p class="w-detail w-take">{} · {}</p>').format(said, Markup(" · ").join(ways)))
