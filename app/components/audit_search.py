"""Searching the log: the fields, what was found, what to take away, and searches to keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode

import streamlit as st
from markupsafe import Markup

from app.components.actions import Field, action_form
from app.components.assurance_actions import done
from app.components.tables import Cell, anchor, badge, lines, small, table
from app.formats import format_utc
from backend.audit.actions import Action
from backend.audit.formats import FORMATS
from backend.audit.reading import EntryView
from backend.audit.saved_searches import LONGEST_NAME, delete_search, save_search
from backend.audit.searching import Search
from backend.database.session import WriteSession
from backend.identity.actor import Actor

FORM_NAMES = {"jsonl": "JSON Lines", "csv": "CSV", "ocsf": "OCSF", "cef": "CEF"}


def search_fields() -> Search:
    """What is looked for; the address of the page says it too. Days are of UTC, as records are."""
    kinds = sorted({action.value.split(":")[1] for action in Action})
    subjects = sorted({":".join(action.value.split(":")[:2]) for action in Action})
    first, second = st.columns([3, 2])
    with first, st.container(horizontal=True):
        who = st.text_input("Who", key="who", bind="query-params", placeholder="name, user name or id")
        action = st.selectbox(
            "What", ["", *subjects, *(one.value for one in Action)], key="action", bind="query-params",
            format_func=lambda value: value or "anything",
        )  # fmt: skip
        kind = st.selectbox(
            "Object", ["", *kinds], key="kind", bind="query-params",
            format_func=lambda value: value or "any object",
        )  # fmt: skip
        object_id = st.text_input("Its id", key="object", bind="query-params", placeholder="7, flight-delay")
    with second, st.container(horizontal=True):
        since = st.date_input("From (UTC)", value=None, key="since", bind="query-params")
        until = st.date_input("To (included)", value=None, key="until", bind="query-params")
        text = st.text_input(
            "Says", key="text", bind="query-params", placeholder="words in the entry",
            help="Entries that hold all these words. `delay*` finds every word that begins so.",
        )  # fmt: skip
    hide = st.toggle(
        "Hide routine entries (ingested batches, computed windows)",
        value=True,
        key="quiet",
        bind="query-params",
    )
    return Search(
        who=who or "", action=action or "", object_kind=kind or "", object_id=object_id or "",
        since=_moment(since), until=_moment(until, 1), text=text or "", routine=not hide or bool(action),
    )  # fmt: skip


def show_entries(entries: Sequence[EntryView]) -> None:
    table(
        ("entry", "when", "who", "did", "to", "why"),
        [_row(entry) for entry in entries],
        caption="audit entries",
        brief=True,
    )


def show_links(wanted: Search, *, older: int | None, newer: bool) -> None:
    """Other pages of the result, and all of it as a file."""
    here = {name: value for name, value in st.query_params.to_dict().items() if name != "before"}
    links = []
    if newer:
        links.append(f"[Newest](/audit?{urlencode(here)})")
    if older is not None:
        links.append(f"[Older](/audit?{urlencode(here | {'before': older})})")
    asked = {name: value for name, value in wanted.to_json().items() if name != "routine"}
    query = urlencode(asked if wanted.routine else asked | {"routine": "no"})
    files = ", ".join(f"[{FORM_NAMES[name]}](/export/audit.{name}?{query})" for name in FORMATS)
    st.caption(" · ".join([*links, f"All that match as {files}; taking it away is an entry itself"]))


def offer_kept(kept: Mapping[str, dict[str, Any]], wanted: Search) -> None:
    """Searches under a name: open one, keep this one, delete one."""
    with st.popover(f"Kept searches ({len(kept)})…"):
        for name, search in kept.items():
            st.html(f'<div class="w-point">{anchor(name, "audit", **_address(search))}</div>')
        sent = action_form(
            "keep-search", label="Keep this search", object_id="mine", digest=str(sorted(wanted.to_json().items())),
            fields=[Field("name", "Name", required=True, max_chars=LONGEST_NAME)],
        )  # fmt: skip
        done(
            sent,
            lambda session, me, form: save_search(session, me, name=form.values["name"], wanted=wanted),
            "The search is kept.",
        )
        if kept:
            sent = action_form(
                "delete-search", label="Delete it", object_id="mine", digest=str(sorted(kept)), danger=True,
                fields=[Field("name", "Delete", "select", required=True, options=list(kept))],
            )  # fmt: skip
            done(
                sent,
                lambda session, me, form: _delete(session, me, form.values["name"]),
                "The search is deleted.",
            )


def _delete(session: WriteSession, me: Actor, name: str) -> str:
    delete_search(session, me, name=name)
    return name


def _address(search: Mapping[str, Any]) -> dict[str, Any]:
    """A kept search as parameters of the page."""
    names = {"who": "who", "action": "action", "object_kind": "kind", "object_id": "object", "text": "text"}
    found: dict[str, Any] = {names[name]: value for name, value in search.items() if name in names}
    if search.get("since"):
        found["since"] = search["since"][:10]
    if search.get("until"):
        found["until"] = (date.fromisoformat(search["until"][:10]) - timedelta(days=1)).isoformat()
    found["quiet"] = "true" if search.get("routine") is False else "false"
    return found


def _moment(day: Any, days_after: int = 0) -> datetime | None:
    """The start of a day of UTC."""
    if not isinstance(day, date):
        return None
    return datetime.combine(day + timedelta(days=days_after), time(), UTC)


def _of_name(entry: EntryView) -> str:
    if entry.name_now:
        return f"today: {entry.name_now}"
    return "a Warrant process" if entry.actor_kind == "system" else ""


def _row(entry: EntryView) -> list[Cell]:
    subject, thing, verb = [*entry.action.split(":"), "", ""][:3]
    return [
        anchor(f"{entry.seq:,}", "audit_entry", seq=entry.seq),
        format_utc(entry.at),
        lines(Markup('<span class="w-name">{}</span>').format(entry.actor_name), small(_of_name(entry))),
        lines(f"{verb.replace('_', ' ')} {thing.replace('_', ' ')}", small(subject)),
        f"{entry.object_kind} {entry.object_id}",
        lines(
            badge("damaged", "page") if entry.damaged else "",
            small(entry.erased) if entry.erased else "",
            entry.why,
        ),
    ]
