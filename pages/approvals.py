"""What waits for my decision, what is open, and what was decided. Deciding happens on the change's own page."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import empty_state, headline
from app.components.inbox import COLUMNS, PAGE, change_row, part_of, say_part
from app.components.tables import table
from app.formats import whole_number
from app.session import page_link, viewer
from app.words import count_of
from backend.governance.machine import FINISHED
from backend.identity.roles import Permission

actor = viewer()
scope = data.scope_of(actor)
inbox = data.inbox(scope)
waiting = data.open_changes(scope)

if inbox:
    headline(
        f"{count_of(len(inbox), 'change')} for you to decide", "attention", detail="the most urgent first"
    )
    shown = data.listed(scope, part_of(inbox, "from"))
    table(COLUMNS, map(change_row, shown), caption="my inbox")
    say_part(inbox, "from", back="More urgent", on="Less urgent")
elif actor.may(Permission.DECIDE_CHANGE):
    headline(
        "Nothing waits for your decision", "ok", detail=f"{count_of(len(waiting), 'change')} open in all"
    )
else:
    headline(
        f"{count_of(len(waiting), 'change')} open", "unknown",
        detail="your role reads changes and does not decide on them",
    )  # fmt: skip

moved = data.open_moves(scope)
if moved:
    say = "waits for an answer" if len(moved) == 1 else "wait for an answer"
    page_link("registry", f"{count_of(len(moved), 'move')} made elsewhere {say}", icon=":material/move_down:")
owed = data.reviews_owed(scope)
if owed:
    st.header("The glass was broken, and nobody else has reviewed it", anchor=False)
    table(COLUMNS, map(change_row, owed), caption="reviews that are owed")

mine = set(inbox)
others = [number for number in waiting if number not in mine]
if others:
    st.header("Open, waiting for others or being carried out", anchor=False)
    table(COLUMNS, map(change_row, data.listed(scope, part_of(others, "open"))), caption="open changes")
    say_part(others, "open", back="Newer", on="Older")

st.header("History", anchor=False)
older_than = whole_number(st.query_params.get("before"))
history = data.changes(scope, FINISHED, PAGE, older_than)
if history:
    table(COLUMNS, map(change_row, history), caption="finished changes")
    links = ["[Download as CSV](/export/changes.csv)", "[JSON](/export/changes.json)"]
    if len(history) == PAGE:
        links.insert(0, f"[Older](/approvals?before={history[-1]['id']})")
    st.caption(" · ".join(links))
else:
    empty_state(
        "No change has been finished",
        "A change is asked for from a model's page or an incident, decided here, and kept.",
    )
