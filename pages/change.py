"""One change: what it would do, what is unresolved, the evidence as the deciders see it, and the decision."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import empty_state, headline, key_values, viewer_zone
from app.components.decision import decision_box, execution
from app.components.evidence import (
    PENDING,
    effect_sentence,
    show_alert,
    show_differences,
    show_live,
    show_metrics,
    show_policy,
    unresolved,
)
from app.components.tables import badge, open_point, table
from app.formats import format_age, format_when
from app.session import page_link, viewer
from app.words import CHANGE_LEVELS

scope = data.scope_of(viewer())
wanted = st.query_params.get("id", "")
if not wanted.isdigit():
    empty_state("Which change?", "Open one from the list of changes.", ("Approvals", "/approvals"))
    st.stop()
change = data.change(scope, int(wanted))
evidence = change["evidence"]
pending = change["state"] in PENDING


def say_headline() -> None:
    facts = [
        change["state"],
        f"tier {evidence['model']['tier']}",
        f"asked by {change['requested_by']} {format_age(change['requested_at'])} ago",
        f"{change['approvals']} of {change['approvals_needed']} approvals",
    ]
    if change["state"] == "waiting":
        facts.append(f"expires in {format_age(change['expires_at'])}")
    level = CHANGE_LEVELS.get(change["state"], "unknown")
    headline(f"{change['ref']}: {effect_sentence(change)}", level, detail=" · ".join(facts))


def show_people() -> None:
    key_values(
        {
            "why it is asked": change["reason"],
            "asked by": f"{change['requested_by']}, {format_when(change['requested_at'], viewer_zone())}",
            "trained by": change["trained_by"],
            "why this version": evidence["why_target"] or None,
        }
    )
    decided = [
        [
            one["person"],
            badge(one["verdict"], "ok" if one["verdict"] == "approve" else "attention"),
            one["role"].replace("_", " "),
            one["comment"],
            format_when(one["decided_at"], viewer_zone()),
        ]
        for one in change["decisions"]
    ]
    if decided:
        table(("who", "decided", "as", "comment", "when"), decided, caption="decisions")


say_headline()
main, side = st.columns([7, 3], gap="large")
with main:
    if change["state"] == "waiting":
        for point in unresolved(evidence):
            open_point(point)
    execution(change)
    show_people()
    st.subheader("Before and after", anchor=False)
    show_metrics(evidence, pending=pending)
    st.subheader("Both in service, when it was asked", anchor=False)
    show_live(evidence, pending=pending)
    show_alert(evidence)
    with st.expander("Parameters, data and card: what differs", expanded=change["kind"] == "promote"):
        show_differences(evidence, pending=pending)
    with st.expander("Policy, and what a decision is bound to"):
        show_policy(change["policy"], change["bound"], change["digest"])
    icon = ":material/history_edu:"
    page_link("audit", "Everything the log holds about it", icon=icon, kind="change", object=change["id"])
with side, st.container(border=True, key="decide"):
    decision_box(change)
