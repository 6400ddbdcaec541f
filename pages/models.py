"""Every model the viewer may see: which need somebody, whose they are, and one act on several of them."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import empty_state, headline
from app.components.fleet_acts import offer_acts
from app.components.fleet_parts import (
    COLUMNS,
    SEVERAL,
    asked_for,
    draw_filters,
    keep_in_address,
    offer_views,
    pick_view,
    say_how_many,
)
from app.components.listing import PAGE, choose_columns, chosen_columns, first_row, listing
from app.session import viewer

actor = viewer()
scope = data.scope_of(actor)
first = first_row()
top = st.container()
wanted, environment = draw_filters(
    scope, asked_for(), st.query_params.get("environment", "") or data.environment()
)
if keep_in_address(wanted, environment):
    first = 0
page = data.fleet(scope, wanted, environment, first, PAGE)
if page.total and not page.rows:  # the list has become shorter than the address says
    first = 0
    page = data.fleet(scope, wanted, environment, first, PAGE)
with top:
    said, level = say_how_many(scope, wanted, environment, page)
    headline(
        said if page.known else "There is no model yet", level if page.known else "unknown",
        detail=f"environment {environment}; {page.total:,} of {page.known:,} shown here, {PAGE} at a time",
    )  # fmt: skip
if page.rows:
    listing(
        page.rows, COLUMNS, caption="models", first=first, total=page.total, shown=chosen_columns(COLUMNS),
        row_links=True,
        csv=("all that match", "fleet", {name: getattr(wanted, name) or None for name in (*SEVERAL, "text", "sort")}
             | {"environment": environment}),
    )  # fmt: skip
    offer_acts(scope, actor, wanted, environment, page)
elif page.known:
    empty_state("No model matches", "Take a filter away.", ("Every model", "/models"))
else:
    empty_state("Nothing to show", "Load the demo workload with `warrant demo load`, or register a model of your own "
                "with `warrant model register`.")  # fmt: skip
with st.expander("Columns and saved views"):
    columns, views = st.columns(2, gap="large")
    with columns:
        before = chosen_columns(COLUMNS)
        picked = choose_columns(COLUMNS)
        pick_view(scope)
    with views:
        offer_views(scope, actor, wanted, picked, environment)
    if picked != before:
        st.rerun()
