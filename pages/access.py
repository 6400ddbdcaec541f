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
    show_rights,
)
from app.components.downloads import csv_link
from app.session import viewer

scope = data.scope_of(viewer())
rights, reviews = data.access_rights(scope), data.access_reviews(scope)
running = next((one for one in reviews if one.review.closed_at is None), None)
if running is None:
    say_rights(rights, reviews)
    offer_review(first=not reviews)
else:
    say_review(running)
    show_items(data.access_items(scope, running.review.id))
st.subheader("Who can do what now", anchor=False)
if rights:
    show_rights(rights)
    csv_link("every right with its permissions", "access")
else:
    empty_state("Nobody has any right", "Add people on the People page.", ("People", "/people"))
show_earlier(reviews)
