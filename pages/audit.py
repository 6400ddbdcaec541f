"""Who did what, when, to what: search the log, and see whether it is whole."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from app import data
from app.components import empty_state, headline, title, viewer_zone
from app.components.tables import Cell, anchor, badge, lines, small, table
from app.formats import format_count, format_when, zone
from app.session import viewer
from backend.audit.actions import Action
from backend.audit.reading import EntryView

PAGE = 50
scope = data.scope_of(viewer())


def log_state() -> None:
    """Size and root; a log shorter than a head that was published once is said first."""
    head = data.audit_head(scope)
    published = head["published_size"]
    if head["problem"]:
        headline("The published head of the log cannot be read", "page", detail=head["problem"])
    elif published is not None and published > head["size"]:
        text = f"The log was cut: {published:,} entries were published, {head['size']:,} are there"
        headline(text, "page", detail="Run `warrant audit verify`; it names the first missing entry.")
    else:
        facts = [
            f"root {head['root'][:16]}…",
            f"head of {format_count(published)} published outside the database",
            "`warrant audit verify` recomputes every hash",
        ]
        title(f"{format_count(head['size'])} entries in the audit log", detail=" · ".join(facts))


def moment(day: Any, days_after: int = 0) -> datetime | None:
    """The start of a day in the viewer's zone, as UTC."""
    if day is None:
        return None
    return datetime.combine(day, time(), zone(viewer_zone())).astimezone(UTC) + timedelta(days=days_after)


def search_fields() -> dict[str, Any]:
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
            "Object",
            ["", *kinds],
            key="kind",
            bind="query-params",
            format_func=lambda value: value or "any object",
        )
        object_id = st.text_input("Its id", key="object", bind="query-params", placeholder="7, flight-delay")
    with second, st.container(horizontal=True):
        since = st.date_input("From", value=None, key="since", bind="query-params")
        until = st.date_input("To (included)", value=None, key="until", bind="query-params")
        text = st.text_input("Says", key="text", bind="query-params", placeholder="words in the entry")
    hide = st.toggle(
        "Hide routine entries (ingested batches, computed windows)",
        value=True,
        key="quiet",
        bind="query-params",
    )
    return {
        "routine": not hide or bool(action),
        "who": who or "", "action": action or "", "object_kind": kind or "", "object_id": object_id or "",
        "text": text or "", "since": moment(since), "until": moment(until, 1),
    }  # fmt: skip


def row(entry: EntryView) -> list[Cell]:
    subject, thing, verb = [*entry.action.split(":"), "", ""][:3]
    return [
        anchor(f"{entry.seq:,}", "audit_entry", seq=entry.seq),
        format_when(entry.at, viewer_zone(), seconds=True),
        lines(entry.actor_name, small("a Warrant process" if entry.actor_kind == "system" else "")),
        lines(f"{verb.replace('_', ' ')} {thing.replace('_', ' ')}", small(subject)),
        f"{entry.object_kind} {entry.object_id}",
        lines(badge("damaged", "page") if entry.damaged else "", entry.why),
    ]


log_state()
wanted = search_fields()
before = st.query_params.get("before", "")
cursor = int(before) if before.isdigit() else None
entries = data.audit_entries(scope, **wanted, before_seq=cursor, limit=PAGE)
if entries:
    table(
        ("entry", "when", "who", "did", "to", "why"),
        [row(entry) for entry in entries],
        caption="audit entries",
    )
    plain = {
        key: value for key, value in wanted.items() if isinstance(value, str) and value
    }  # dates are left to the person: a file holds what matches
    query = urlencode(plain if wanted["routine"] else plain | {"routine": "no"})
    here = {name: value for name, value in st.query_params.to_dict().items() if name != "before"}
    links = [f"[Download as CSV](/export/audit.csv?{query})", f"[JSON](/export/audit.json?{query})"]
    if len(entries) == PAGE:
        links.insert(0, f"[Older](/audit?{urlencode(here | {'before': entries[-1].seq})})")
    if cursor is not None:
        links.insert(0, f"[Newest](/audit?{urlencode(here)})")
    st.caption(" · ".join(links))
else:
    empty_state("No entry matches", "Take a condition away, show routine entries, or look at another time.")
