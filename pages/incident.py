"""One incident: what is wrong, since when, what changed around it, and what one can do."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import Field, action_form, empty_state, headline, key_values, viewer_zone
from app.components.alert_parts import show_fired
from app.components.incident_parts import (
    advice,
    around,
    show_around,
    show_changes,
    situation,
    standing,
    what_changed,
)
from app.components.what_changed import draw_what_changed, fallen_window
from app.formats import format_when
from app.session import page_link, perform, viewer
from app.words import count_of
from backend.alerting.service import acknowledge, close_by_hand
from backend.identity.roles import Permission

actor = viewer()
scope = data.scope_of(actor)
wanted = st.query_params.get("id", "")
if not wanted.isdigit():
    empty_state("Which incident?", "Open one from the overview.", ("Overview", "/"))
    st.stop()
found = data.incident(scope, int(wanted))
alerts = found["alerts"]
firing = [one for one in alerts if one["state"] == "firing"]
is_open = found["state"] == "open"
level = ("page" if any(one["level"] == "page" for one in firing) else "attention") if is_open else "ok"
model, health = data.model(scope, found["model"]), data.health_of(scope, found["model"])
usual = str(model["spec"]["window"])
headline(f"INC-{found['id']} {found['model']}: {found['title']}", level, detail=standing(found))
fallen = fallen_window(alerts, model["spec"])
answers = situation(found, model, health, usual) | {"what changed": what_changed(found, fallen, usual)}
key_values(answers | ({"what to do": advice(found, health)} if is_open else {}))
main, side = st.columns([7, 3], gap="large")
with side, st.container(border=True, key="act"):
    if found["acknowledged_at"]:
        key_values({"on it": found["acknowledged_by_name"], "since": found["acknowledged_at"]})
    elif is_open:
        sent = action_form(
            "acknowledge", label=f"Acknowledge INC-{found['id']}", object_id=str(found["id"]), digest="open",
            disabled_because=None if actor.may(Permission.ACKNOWLEDGE) else "Your role cannot acknowledge incidents.",
        )  # fmt: skip
        if sent is not None and perform(
            lambda session, me: acknowledge(session, me, int(sent.object_id)), done="You are on it."
        ):
            st.rerun()
    if is_open:
        over = action_form(
            "close", label=f"Close INC-{found['id']}", object_id=str(found["id"]), digest="open", danger=True,
            fields=[Field("why", "Why it is over", required=True)],
            disabled_because=f"{count_of(len(firing), 'alert')} still firing" if firing
            else None if actor.may(Permission.ACKNOWLEDGE) else "Your role cannot close incidents.",
        )  # fmt: skip
        if over is not None and perform(
            lambda session, me: close_by_hand(session, me, int(over.object_id), why=over.values["why"]),
            done="The incident is closed.",
        ):
            st.rerun()
        first = firing[0]["id"] if firing else None
        page_link("request_change", "Return to an earlier version…", icon=":material/undo:", kind="rollback",
                  model=found["model"], alert=first)  # fmt: skip
    page_link("performance", "Performance", icon=":material/monitoring:", model=found["model"])
    page_link("quality", "Data quality", icon=":material/fact_check:", model=found["model"])
    page_link("drift", "Drift", icon=":material/grid_on:", model=found["model"])
    page_link("model", "The model", icon=":material/deployed_code:", model=found["model"])
with main:
    if not is_open:
        key_values({"closed": found["closed_at"], "because": found["closed_because"]})
    st.subheader("What fired", anchor=False)
    show_fired(alerts, usual)
    if fallen is not None:
        st.subheader(f"What changed in the window from {format_when(fallen[1], viewer_zone())}", anchor=False)
        draw_what_changed(found["model"], found["environment"], *fallen)
    else:
        st.subheader("What happened before it", anchor=False)
        if any(one["kind"] == "estimated" for one in firing):
            st.caption("Performance fell by estimate. What changed can be told in points once labels have come; until "
                       "then the drift page ranks columns by their estimated effect.")  # fmt: skip
        show_around(found, usual)
    st.subheader("Changes and faults around it", anchor=False)
    show_changes(found, data.fault_switches(scope, found["model"], *around(found)))
