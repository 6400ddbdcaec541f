"""Asking for a change: everything the deciders will see, before it is sent."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import Field, action_form, empty_state, title
from app.components.evidence import (
    effect_sentence,
    show_alert,
    show_differences,
    show_live,
    show_metrics,
    show_policy,
    unresolved,
)  # fmt: skip
from app.components.pickers import pick
from app.components.tables import badge, open_point, table
from app.session import go, perform, viewer
from backend.errors import WarrantError
from backend.governance.service import request_change
from backend.identity.roles import Permission

actor = viewer()
scope = data.scope_of(actor)
query = st.query_params
kind, model = query.get("kind", "rollback"), query.get("model", "")
if model not in data.models(scope):
    empty_state("Which model?", "Start from a model's page or an incident.", ("Overview", "/"))
    st.stop()
alert_id = int(query["alert"]) if query.get("alert", "").isdigit() else None
serving = next((one for one in data.model(scope, model)["deployments"] if one["ended_at"] is None), None)
versions = [
    str(one["version"])
    for one in data.model(scope, model)["versions"]
    if serving is None or one["version"] != serving["version"]
]
proposed = None
if kind == "rollback":
    try:
        proposed = str(
            data.preview(scope, kind=kind, model=model, to_version=None, alert_id=alert_id)["to_version"]
        )
    except WarrantError as error:
        st.info(f"{error.title}. {error.message}")
if proposed in versions:
    versions.remove(proposed)
    versions.insert(0, proposed)
to = pick(
    "Return to" if kind == "rollback" else "Promote",
    versions,
    key="to",
    words=lambda v: f"version {v}",
    width=200,
)
if to is None:
    empty_state(
        "There is no other version",
        "Train and register one first.",
        ("Back to the model", f"/model?model={model}"),
    )
    st.stop()
preview = data.preview(scope, kind=kind, model=model, to_version=int(to), alert_id=alert_id)
evidence = preview["evidence"]
title(
    f"You would ask: {effect_sentence(preview)}",
    detail=evidence["why_target"] or "nothing is sent until you press the button",
)
main, side = st.columns([7, 3], gap="large")
with main:
    for point in unresolved(evidence):
        open_point(point)
    if preview["candidates"]:
        words = {
            True: ("served healthily", "ok"),
            False: ("did not", "attention"),
            None: ("not known", "unknown"),
        }
        table(
            ("earlier version", "while it served", "because"),
            [
                [f"v{one['version']}", badge(*words[one["healthy"]]), one["because"]]
                for one in preview["candidates"]
            ],
        )
    st.subheader("Before and after", anchor=False)
    show_metrics(evidence)
    st.subheader("Both in service", anchor=False)
    show_live(evidence)
    show_alert(evidence)
    with st.expander("Parameters, data and card: what differs", expanded=True):
        show_differences(evidence)
    with st.expander("Policy, and what a decision is bound to"):
        show_policy(preview["policy"], preview["bound"], preview["digest"])
with side, st.container(border=True, key="decide"):
    why_not = None if actor.may(Permission.REQUEST_CHANGE) else "Your role cannot ask for changes."
    sent = action_form(
        "request", label=f"Ask for the {'return' if kind == 'rollback' else 'promotion'} to v{to}",
        object_id=f"{model}/{to}", digest=preview["digest"],
        fields=[Field("reason", "Why", "area", required=True, help="the deciders read this first")],
        disabled_because=why_not,
    )  # fmt: skip
    if sent is not None:
        asked = perform(
            lambda session, me: request_change(
                session, me, kind=kind, model=model, environment=data.environment(), reason=sent.values["reason"],
                seen_digest=sent.digest, to_version=int(to), alert_id=alert_id,
            ),
            done="The change is asked for; it waits for a decision by somebody else.",
        )  # fmt: skip
        if asked is not None:
            go("change", id=asked.id)
