"""One incident: what is wrong, since when, why, what changed around it, and what one can do."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import headline, key_values, viewer_zone
from app.components.alert_parts import show_alerts
from app.components.incident_actions import show_handling
from app.components.incident_lists import show_lists
from app.components.incident_parts import (
    advice,
    around,
    show_around,
    show_changes,
    show_figures,
    show_similar,
    show_story,
    show_suspects,
    situation,
    standing,
    what_changed,
)
from app.components.notice_parts import show_told
from app.components.serious_parts import offer_serious, show_serious
from app.components.urgent import offer_way_back
from app.components.what_changed import draw_what_changed, fallen_window
from app.formats import format_when, whole_number
from app.plain_text import plain
from app.session import page_link, viewer
from backend.alerting.phases import CAUSES
from backend.alerting.sources import LEVELS
from backend.identity.roles import Permission

actor = viewer()
scope = data.scope_of(actor)
wanted = whole_number(st.query_params.get("id"))
if wanted is None:
    show_lists(scope)
    st.stop()
found = data.incident(scope, wanted, viewer_zone())
alerts = sorted(found["alerts"], key=lambda one: (one["state"] != "firing", LEVELS.index(one["level"])))
firing = [one for one in alerts if one["state"] == "firing"]
is_open, name = found["state"] == "open", found["model"]
level = ("page" if any(one["level"] == "page" for one in firing) else "attention") if is_open else "settled"
usual, fallen = "1d", None
headline(
    f"INC-{found['id']} SEV-{found['severity']} {name or 'installation'}: {found['title']}", level,
    detail=standing(found),
)  # fmt: skip
st.markdown(plain(found["sentence"]))
if name:
    model, health = data.model(scope, name), data.health_of(scope, name)
    usual, fallen = str(model["spec"]["window"]), fallen_window(alerts, model["spec"])
    answers = situation(found, model, health, usual) | {
        "what changed": what_changed(scope, found, fallen, usual)
    }
    budgets = {"error budget": "; ".join(found["budgets"])} if found["budgets"] else {}
    doing = {
        "what to do": advice(found, health),
        "can approve now": ", ".join(found["can_approve"]) or "nobody",
    }
    key_values(answers | budgets | (doing if is_open else {}))
serious = data.serious(scope, found["id"]) if name else None
main, side = st.columns([7, 3], gap="large")
with side, st.container(border=True, key="act"):
    show_handling(actor, found)
    if is_open and name:
        mine = [one for one in firing or alerts if one["model"] == name]  # others came by a merge
        first = mine[0]["id"] if mine else None
        offer_way_back(actor, name, alert_id=first, incident_id=found["id"])
        offer_serious(serious)
        page_link("request_change", "Return to an earlier version…", icon=":material/undo:", kind="rollback",
                  model=name, alert=first, incident=found["id"])  # fmt: skip
    if is_open and name:
        page_link("retraining", "Retrain the model…", icon=":material/model_training:", model=name,
                  alert=next((one["id"] for one in firing if one["model"] == name), None))  # fmt: skip
    if name:
        page_link("performance", "Performance", icon=":material/monitoring:", model=name)
        page_link("quality", "Data quality", icon=":material/fact_check:", model=name)
        page_link("drift", "Drift", icon=":material/grid_on:", model=name)
        page_link("model", "The model", icon=":material/deployed_code:", model=name)
    page_link("silences", "Silences and maintenance", icon=":material/notifications_paused:")
    plain = f"/i/{found['id']}"
    st.html(
        f'<p class="w-detail"><a href="{plain}" target="_self">For a phone, without scripts</a> · report: '
        f'<a href="{plain}/report.md" target="_self">Markdown</a> · '
        f'<a href="{plain}/report.pdf" target="_self">PDF</a></p>'
    )
with main:
    if name:
        show_serious(serious)
    if not is_open:
        cause = {"cause": CAUSES[found["cause"]]} if found["cause"] in CAUSES else {}
        key_values({"closed": found["closed_at"], "because": found["closed_because"]} | cause)
    st.header("What fired", anchor=False)
    show_alerts(scope, found, usual, st.query_params.get("alerts", "1"))
    st.header("Why: suspected causes", anchor=False)
    show_suspects(found)
    if name:
        st.header("Figures over time", anchor=False)
        show_figures(scope, found, model, usual)
    if fallen is not None:
        st.header(f"What changed in the window from {format_when(fallen[1], viewer_zone())}", anchor=False)
        draw_what_changed(name, found["environment"], *fallen)
    elif name:
        st.header("What happened before it", anchor=False)
        if any(one["kind"] == "estimated" for one in firing):
            st.caption("Performance fell by estimate. What changed can be told in points once labels have come; until "
                       "then the drift page ranks columns by their estimated effect.")  # fmt: skip
        show_around(scope, found, usual)
    if name:
        st.header("Changes and faults around it", anchor=False)
        show_changes(found, data.fault_switches(scope, name, *around(found)))
    st.header("Timeline", anchor=False)
    show_story(found)
    st.header("Similar incidents before", anchor=False)
    show_similar(found)
    if actor.may(Permission.READ_JOBS):
        st.header("Who was told", anchor=False)
        show_told(data.told_of(scope, found["id"]))
