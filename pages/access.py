"""Who can do what, when it was last used, and the review in which somebody else keeps or revokes it."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import empty_state
from app.components.access_parts import (
    offer_review,
    say_review,
    say_rights,
    show_earlier,
    show_items,
    show_movements,
    show_rights,
)
from app.components.downloads import csv_link
from app.components.trust_parts import show_trust
from app.session import rendering_errors, viewer
from backend import clock
from backend.identity.roles import Permission

scope = data.scope_of(viewer())
rights, reviews = data.access_rights(scope), data.access_reviews(scope)
running = next((one for one in reviews if one.review.closed_at is None), None)
if running is None:
    say_rights(rights, reviews)
    offer_review(data.reviewers(scope), data.teams_to_review(scope), first=not reviews)
else:
    say_review(running)
    show_items(data.access_items(scope, running.review.id))
st.header("Who can do what now", anchor=False)
if rights:
    show_rights(rights)
    csv_link("every right with its permissions", "access")
else:
    empty_state("Nobody has any right", "Add people on the People page.", ("People", "/people"))
show_earlier(reviews)
st.header("Who joined, moved and left", anchor=False)
period = st.text_input(
    "Period", f"{clock.now():%Y-%m}", help="2026Q3, 2026-07, 2026 or 2026-07-01..2026-09-30"
)
with rendering_errors():
    show_movements(data.movements(scope, period))
    csv_link("who joined, moved and left", "movements", period=period)

me = viewer()
accounts = data.people(me) if me.may(Permission.MANAGE_PEOPLE) else []
services = {
    one["username"]: one["id"] for one in accounts if one["kind"] == "service" and not one["disabled_at"]
}
show_trust(me, data.trust_rules(me), services, [one.value for one in Permission])
