"""What waits for my decision, what is open, and what was decided. Deciding happens on the change's own page."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import data
from app.components import empty_state, headline, viewer_zone
from app.components.tables import Cell, anchor, badge, lines, small, table
from app.formats import format_age, format_when
from app.session import viewer
from app.words import CHANGE_LEVELS, count_of
from backend.governance.service import OPEN_STATES
from backend.identity.roles import Permission

PAGE = 50
COLUMNS = ("change", "what", "state", "asked by", "why", "decisions", "when")

actor = viewer()
scope = data.scope_of(actor)
inbox = data.inbox(scope)
waiting = data.changes(scope, OPEN_STATES, 200)


def row(change: dict[str, Any]) -> list[Cell]:
    arrow = (
        f"v{change['from_version']} → v{change['to_version']}"
        if change["from_version"]
        else f"v{change['to_version']}"
    )
    expires = (
        f"expires in {format_age(change['expires_at'])}"
        if change["state"] == "waiting"
        else change["outcome"]
    )
    return [
        anchor(change["ref"], "change", id=change["id"]),
        lines(f"{change['kind']} {change['model']}", small(f"{arrow}, {change['environment']}")),
        lines(
            badge(change["state"], CHANGE_LEVELS.get(change["state"], "unknown")),
            small(change["step"] or expires),
        ),
        change["requested_by"],
        change["reason"],
        f"{change['approvals']} of {change['approvals_needed']}",
        lines(
            format_when(change["requested_at"], viewer_zone()),
            small(f"{format_age(change['requested_at'])} ago"),
        ),
    ]


if inbox:
    headline(
        f"{count_of(len(inbox), 'change')} for you to decide", "attention", detail="the most urgent first"
    )
    table(COLUMNS, [row(change) for change in inbox], caption="my inbox")
elif actor.may(Permission.DECIDE_CHANGE):
    headline(
        "Nothing waits for your decision", "ok", detail=f"{count_of(len(waiting), 'change')} open in all"
    )
else:
    headline(
        f"{count_of(len(waiting), 'change')} open", "unknown",
        detail="your role reads changes and does not decide on them",
    )  # fmt: skip

others = [change for change in waiting if change["id"] not in {mine["id"] for mine in inbox}]
if others:
    st.subheader("Open, waiting for others or being carried out", anchor=False)
    table(COLUMNS, [row(change) for change in others], caption="open changes")

st.subheader("History", anchor=False)
before = st.query_params.get("before")
older_than = int(before) if before and before.isdigit() else None
history = data.changes(
    scope, ("executed", "failed", "void", "rejected", "cancelled", "expired"), PAGE, older_than
)
if history:
    table(COLUMNS, [row(change) for change in history], caption="finished changes")
    links = ["[Download as CSV](/export/changes.csv)", "[JSON](/export/changes.json)"]
    if len(history) == PAGE:
        links.insert(0, f"[Older](/approvals?before={history[-1]['id']})")
    st.caption(" · ".join(links))
else:
    empty_state(
        "No change has been finished",
        "A change is asked for from a model's page or an incident, decided here, and kept.",
    )
