"""Asking for a change: everything the deciders will see, before it is sent."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from app import data
from app.components import Field, action_form, empty_state, title
from app.components.decision import box_head, way_down
from app.components.request_parts import pick_segments, pick_version, show_wanted
from app.components.urgent import offer_break_glass
from app.formats import whole_number
from app.plain_text import plain
from app.session import go, perform, viewer
from backend.governance.asking import request_change
from backend.governance.kinds import Asked
from backend.governance.move_answers import regularise
from backend.identity.roles import Permission

actor = viewer()
scope = data.scope_of(actor)
query = st.query_params
kind, model = query.get("kind", "rollback"), query.get("model", "")
if model not in data.models(scope):
    empty_state("Which model?", "Start from a model's page or an incident.", ("Overview", "/"))
    st.stop()
if not actor.may(Permission.REQUEST_CHANGE):
    empty_state(
        "Your role cannot ask for changes",
        "On-call, engineers and leads can; what is asked for is decided on under Approvals.",
        ("Back to the model", f"/model?model={model}"),
    )
    st.stop()
alert_id = whole_number(query.get("alert"))
asked_move = whole_number(query.get("move"))
move = data.move(scope, asked_move) if asked_move is not None else None
to = pick_version(scope, kind, model, alert_id)
if to is None:
    empty_state(
        "There is no other version",
        "Train and register one first.",
        ("Back to the model", f"/model?model={model}"),
    )
    st.stop()
incident_id = whole_number(query.get("incident"))
asked_for = Asked(kind, data.environment(), model, int(to), alert_id=alert_id, incident_id=incident_id)
preview = data.preview(scope, asked_for)
if move is None and (subject := pick_segments(scope, preview)):
    asked_for = replace(asked_for, subject=subject)
    preview = data.preview(scope, asked_for)
evidence = preview["evidence"]
title(
    f"You would ask: {preview['summary']}",
    detail=evidence["why_target"] or "nothing is sent until you press the button",
)
answers = move is not None and (move["model"], move["to_version"], kind) == (model, int(to), "promote")
if move is not None and answers:
    st.caption(
        f"It answers the move of the alias {plain(move['alias'])} to v{move['to_version']} that was made elsewhere."
    )
main, side = st.columns([7, 3], gap="large")
with main:
    show_wanted(preview, model)
    way_down("nothing is sent yet", "Ask for it")
with side, st.container(border=True, key="decide"):
    box_head("Ask for it")
    sent = action_form(
        "request", label=f"Ask for the {'return' if kind == 'rollback' else 'promotion'} to v{to}",
        object_id=f"{model}/{to}", digest=preview["digest"],
        fields=[Field("reason", "Why", "area", required=True, help="the deciders read this first")],
    )  # fmt: skip
    offer_break_glass(preview, asked_for)
    if sent is not None:
        seen = {"reason": sent.values["reason"], "seen_digest": sent.digest}
        asked = perform(
            lambda session, me: (
                regularise(session, me, move["id"], **seen)
                if move is not None and answers
                else request_change(session, me, asked_for, **seen)
            ),
            done="The change is asked for; it waits for a decision by somebody else.",
        )  # fmt: skip
        if asked is not None:
            go("change", id=asked.id)
