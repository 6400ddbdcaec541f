"""One change: its effect, what is unresolved, gates, who flips, the evidence, and the decision."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import empty_state, headline
from app.components.as_shown import show_as_shown
from app.components.assurance_parts import show_of_change
from app.components.audit_parts import show_receipts
from app.components.change_effects import show_effect, show_same_rows
from app.components.change_parts import (
    show_flips,
    show_gates,
    show_news,
    show_people,
    show_plan,
    show_review,
    show_texts,
)
from app.components.decision import decision_box, execution, way_to_decision
from app.components.evidence import (
    PENDING,
    show_alert,
    show_differences,
    show_live,
    show_metrics,
    show_policy,
)
from app.components.explanation_parts import show_explanations
from app.components.group_parts import show_groups
from app.components.precedent_parts import (
    show_drift,
    show_objectives,
    show_provenance,
    show_trials,
)
from app.components.rollout import show_rollout
from app.formats import format_age, whole_number
from app.session import page_link, viewer
from app.words import CHANGE_LEVELS, approval_words, count_of
from backend import clock
from backend.identity.roles import Permission

actor = viewer()
scope = data.scope_of(actor)
wanted = whole_number(st.query_params.get("id"))
if wanted is None:
    empty_state("Which change?", "Open one from the list of changes.", ("Approvals", "/approvals"))
    st.stop()
digest = st.query_params.get("shown")
if digest:
    show_as_shown(data.change_as_shown(scope, wanted, digest))
    st.stop()
change = data.change(scope, wanted)
news = data.look_at(scope, change)
evidence = change["evidence"]
pending = change["state"] in PENDING
serving = "after" in evidence


def say_headline() -> None:
    tier = (evidence.get("model") or {}).get("tier")
    facts = [
        change["state_words"],
        f"tier {tier}" if tier else "",
        f"asked by {change['requested_by']} {format_age(change['requested_at'])} ago",
        approval_words(change),
    ]
    if news and news["decided"]:
        facts.append(f"{count_of(len(news['parts']), 'part')} changed since you decided")
    if change["state"] in ("draft", "checking", "waiting"):
        facts.append(f"expires in {format_age(change['expires_at'])}")
    level = CHANGE_LEVELS.get(change["state"], "unknown")
    headline(f"{change['ref']}: {change['summary']}", level, detail=" · ".join(filter(None, facts)))


say_headline()
main, side = st.columns([7, 3], gap="large")
with main:
    show_news(news)
    show_review(change)
    show_effect(change)
    execution(change)
    show_rollout(change)
    st.header("Gates", anchor=False)
    show_gates(change)
    if serving:
        st.header("Who flips", anchor=False)
        show_flips(change)
    if serving:
        st.header("Before and after", anchor=False)
        measured = show_same_rows(evidence)
        if not measured:
            show_metrics(evidence, pending=pending)
        show_groups(evidence)
        show_objectives(evidence)
        show_drift(evidence)
        show_trials(evidence)
    else:
        st.header("What differs", anchor=False)
        show_texts(evidence)
    show_plan(change)
    st.header("People", anchor=False)
    show_people(change)
    show_of_change(change)
    if serving:
        if evidence.get("alert"):
            with st.expander("The alert it answers"):
                show_alert(evidence)
        if measured:
            with st.expander("Held-out metrics, each on its own rows"):
                show_metrics(evidence, pending=pending)
        with st.expander("Both in service, when it was asked"):
            show_live(evidence, pending=pending)
        again = (
            "“Evaluate the gates again”"
            if change["policy"]["gates"]
            else "sending it again, after somebody asked for changes,"
        )
        show_explanations(evidence, change["model"], pending=pending, bind=again)
        with st.expander("Code, data, parameters and card: what differs"):
            show_provenance(evidence, pending=pending)
            show_differences(evidence, pending=pending)
    with st.expander("Policy, and what a decision is bound to"):
        show_policy(change["policy"], change["bound"], change["digest"])
    if change["kind"] == "retrain" and change["state"] == "executed":
        page_link("retraining_run", "The run that it started", icon=":material/model_training:",
                  id=f"retrain-{change['id']}")  # fmt: skip
    receipts, actors = data.change_receipts(scope, change["id"])
    if receipts:
        with st.expander("Receipts: proof of each decision and execution"):
            show_receipts(receipts, actors)
    if change["model"] is not None:
        then = change["finished_at"] and clock.to_iso(change["finished_at"])
        icon = ":material/view_timeline:"
        page_link("timeline", "What served then, and why" if then else "What serves, and why", icon=icon,
                  model=change["model"], environment=change["environment"], at=then)  # fmt: skip
    icon = ":material/history_edu:"
    page_link("audit", "Everything the log holds about it", icon=icon, kind="change", object=change["id"])
    way_to_decision(change)
    if actor.may(Permission.MAKE_PACKS):
        page_link(
            "packs", "Evidence pack of it", icon=":material/folder_zip:", kind="change", change=change["id"]
        )
with side, st.container(border=True, key="decide"):
    decision_box(change)
