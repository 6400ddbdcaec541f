"""Who did what, when, to what: search the log, see whether it is whole and fits what happened, and draw samples."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import empty_state
from app.components.audit_evidence import end_of_day, offer_sample, quarter_of, show_house, show_population
from app.components.audit_findings import show_findings, show_streams
from app.components.audit_parts import show_record
from app.components.audit_search import offer_kept, search_fields, show_entries, show_links
from app.formats import whole_number
from app.session import page_link, show_error, viewer
from backend import clock
from backend.errors import BadInput
from backend.identity.roles import Permission

PAGE = 50
VIEWS = {
    "entries": "Entries",
    "findings": "Findings",
    "population": "Population and sample",
    "then": "As it was",
}
actor = viewer()
scope = data.scope_of(actor)


def entries() -> None:
    try:
        wanted = search_fields()
    except BadInput as error:
        show_error(error)
        return
    offer_kept(data.kept_searches(scope), wanted)
    before = st.query_params.get("before", "")
    cursor = whole_number(before)
    found = data.audit_entries(scope, wanted=wanted, before_seq=cursor, limit=PAGE)
    if not found:
        empty_state(
            "No entry matches", "Take a condition away, show routine entries, or look at another time."
        )
        return
    show_entries(found)
    show_links(wanted, older=found[-1].seq if len(found) == PAGE else None, newer=cursor is not None)


def findings() -> None:
    found, closed, names, counts = data.log_findings(scope)
    people = data.people_to_choose(scope) if actor.may(Permission.HANDLE_FINDINGS) else {}
    show_findings(found, closed, names, people, data.log_compared(scope), counts)
    st.header("Systems that follow the log", anchor=False)
    show_streams(data.log_streams(scope))


def population() -> None:
    today = clock.now().date()
    with st.container(horizontal=True):
        period = st.text_input(
            "Period", value=st.query_params.get("period", quarter_of(today)), width=260,
            help="2026Q3, 2026-07, 2026, or 2026-07-01..2026-09-30; days are of UTC",
        )  # fmt: skip
        day = st.date_input("As of the end of (UTC)", today, max_value=today, key="asof", width=220)
    as_of = end_of_day(day)
    try:
        found = data.population(scope, period, as_of)
    except BadInput as error:
        show_error(error)
        return
    show_population(found)
    offer_sample(found, as_of=as_of)
    if actor.may(Permission.MAKE_PACKS):
        icon = ":material/folder_zip:"
        page_link("packs", "Evidence pack of this period", icon=icon, kind="period", period=period)


def then() -> None:
    today = clock.now().date()
    day = st.date_input("As it was at the end of (UTC)", today, max_value=today, key="then", width=260)
    house, names = data.house_then(scope, end_of_day(day))
    show_house(house, names)


state, published, verifiers = data.audit_state(scope)
show_record(state, published, verifiers, data.keys_of_log(scope))
asked = st.query_params.get("view", "entries")
view = st.segmented_control(
    "What to look at", list(VIEWS), default=asked if asked in VIEWS else "entries", format_func=VIEWS.__getitem__,
    label_visibility="collapsed", required=True,
)  # fmt: skip
if view != asked:
    st.query_params.from_dict({"view": view} if view and view != "entries" else {})
{"entries": entries, "findings": findings, "population": population, "then": then}[view or "entries"]()
