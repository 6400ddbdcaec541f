"""Which objectives are in danger: what is left of each budget, how fast it goes, and by what that is said."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import empty_state, viewer_zone
from app.components.code_block import code_block
from app.components.history import deployments_of
from app.components.links import carry
from app.components.listing import PAGE, first_row, listing
from app.components.range_bar import asked_range, pick_range, take_up
from app.components.slo_form import (
    objective_document,
    offer_definition,
    offer_maintenance,
    offer_retirement,
    show_findings,
)
from app.components.slo_list import COLUMNS, PLACE, offer_definitions, pick_filters, say_all
from app.components.slo_over_time import show_over_time
from app.components.slo_parts import (
    say_objective,
    show_maintenance,
    show_month,
    show_revisions,
    show_rows,
)
from app.components.tables import anchor
from app.data import slos as read
from app.formats import format_when
from app.ranges import ABOUT_PERFORMANCE, to_address
from app.session import page_link, show_error, viewer
from backend import clock
from backend.errors import BadInput, NotFound
from backend.identity.roles import Permission
from backend.slo.tables import ObjectiveRevision

actor = viewer()
scope = data.scope_of(actor)
cannot = None if actor.may(Permission.WRITE_OBJECTIVES) else "Your role reads objectives; it cannot set them."


def show_objective(key: str) -> None:
    """One objective: its sentence, its board over the range, windows, months, and what can be done to it."""
    above = st.container()
    shown = pick_range(ABOUT_PERFORMANCE, page="slos")
    found = read.detail(scope, key, shown.span.since, shown.span.until)
    one, row = found.standing, found.standing.revision
    with above:
        say_objective(one)
        st.html(f'<div class="w-take">{anchor("Every objective", "slos")}</div>')
    show_over_time(found, shown, deployments_of(scope, row.model))
    show_rows(found)
    show_month(found, since=to_address(shown.span.since), until=to_address(shown.span.until))
    show_maintenance(found)
    by_change = read.only_by_change(scope, row.model)
    with st.expander("Leave a time out"):
        now = clock.now()
        running = {
            each.id: f"{format_when(each.starts_at, viewer_zone())}, {each.reason[:60]}"
            for each in found.maintenance
            if each.withdrawn_at is None and each.ends_at > now
        }
        offer_maintenance(row, running, disabled_because=cannot or by_change)
    with st.expander("Definition, revisions, retire"):
        code_block(row.document)
        document = st.text_area(
            "Revise it (OpenSLO)", row.document, key=f"revise:{key}:{row.number}", height=260
        )
        if document != row.document:
            offer_text(row.model, document, row=row)
        show_revisions(read.revisions(scope, key))
        offer_retirement(row, by_change=by_change, disabled_because=cannot)
    page_link("model", "The model", icon=":material/deployed_code:", model=row.model)


def offer_text(model: str, document: str, *, row: ObjectiveRevision | None = None) -> None:
    """What a text is warned of, and the way to store it."""
    checked = read.checked(document)
    show_findings(checked.findings)
    if checked.objective is not None:
        by_change = read.only_by_change(scope, model)
        offer_definition(model, document, row=row, by_change=by_change, disabled_because=cannot)


def show_list() -> None:
    """Every objective, the worst first, and a way to define another."""
    take_up("slos")  # the range of an objective that is opened from here
    if (asked := asked_range()) is not None:
        carry(asked.address())
    top, first = st.container(), first_row(PLACE)
    model, state = pick_filters(scope)
    part = read.listed(scope, model, state, first, PAGE)
    if part.total and not part.rows and first:  # the list has become shorter than the address says
        first, part = 0, read.listed(scope, model, state, 0, PAGE)
    with top:
        say_all(part)
    if part.rows:
        listing(
            part.rows, COLUMNS, caption="objectives, those in danger first", first=first, total=part.total,
            row_links=True, place=PLACE,
        )  # fmt: skip
        offer_definitions()
    elif part.worst is not None:
        empty_state("No objective matches", "Take a filter away.", ("Every objective", "/slos"))
    else:
        empty_state(
            "Nobody has said yet what has to hold",
            "An objective says which share of requests or windows must be good, over which time. Define one below; "
            "Warrant counts what there is of the past at once, and alerts by how fast the budget goes.",
        )
    define(model, expanded=part.worst is None)


def define(about: str | None, *, expanded: bool) -> None:
    st.header("Define an objective", anchor=False)
    with st.expander("What must be good, and how often", expanded=expanded):
        names = sorted(data.models(scope))
        if not names:
            empty_state("No model is registered", "An objective is about a model.")
            return
        index = names.index(about) if about in names else 0
        model = st.selectbox("Model it is about", names, index, width=260)
        try:
            text = objective_document(f"slo:{model}", model, data.environment(), zone=viewer_zone())
        except BadInput as error:
            show_error(error)
        else:
            offer_text(model, text)


wanted = st.query_params.get("objective")
try:
    if wanted:
        show_objective(wanted)
except NotFound:
    st.warning("The address asks for an objective that is not here or that you may not see.")
    wanted = None
if not wanted:
    show_list()
