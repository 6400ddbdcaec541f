"""Is everybody told? Channels and how they do, who is told of what, who is on call, each notice with its receipt."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import empty_state, headline
from app.components.notice_parts import (
    answer,
    offer_tests,
    show_channels,
    show_heartbeat,
    show_notices,
    show_on_call,
    show_reminders,
    show_routes,
    show_untold,
)
from app.components.rota_parts import offer_shifts, show_shifts
from app.session import live, viewer


@live(run_every=3)
def state_of_notices() -> None:
    found = data.notifications(data.scope_of(viewer()))
    channels = found["channels"]
    if found["problem"] or not channels:
        headline(
            "Nobody is told of incidents",
            "attention",
            detail=found["problem"] or "The contacts name no channel.",
        )
        empty_state(
            "Say who is told, and how",
            "Write channels and routes into a YAML file and name it in WARRANT_CONTACTS; "
            "`warrant contacts check` reads it, `warrant contacts test CHANNEL` tries one.",
        )
    else:
        sentence, level, detail = answer(found)
        headline(sentence, level, detail=detail)
        show_untold(found["untold"])
        st.header("Channels", anchor=False)
        show_channels(channels, is_sent=not found["sending"]["problem"])
        offer_tests(channels)
        st.header("Who is told of what", anchor=False)
        show_routes(found["routes"])
        show_reminders(found["reminders"])
        st.header("On call now", anchor=False)
        show_on_call(found["on_call"])
        show_shifts(found["shifts"])
    st.header("Who watches Warrant", anchor=False)
    show_heartbeat(found["heartbeat"])
    if channels or found["notices"]:
        st.header("Notices", anchor=False)
        show_notices(found["notices"])


state_of_notices()
known = data.notifications(data.scope_of(viewer()))
if known["channels"]:
    offer_shifts(known)
