"""One change: what it would do, what is unresolved, the evidence as the deciders see it, and the decision."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import data
from app.components import Field, action_form, empty_state, headline, key_values, viewer_zone
from app.components.evidence import (
    effect_sentence,
    show_alert,
    show_differences,
    show_live,
    show_metrics,
    show_policy,
    unresolved,
)  # fmt: skip
from app.components.tables import badge, small, table
from app.formats import format_age, format_when
from app.session import live, page_link, perform, viewer
from app.words import CHANGE_LEVELS
from backend.governance.service import cancel_change, decide

actor = viewer()
scope = data.scope_of(actor)
wanted = st.query_params.get("id", "")
if not wanted.isdigit():
    empty_state("Which change?", "Open one from the list of changes.", ("Approvals", "/approvals"))
    st.stop()
change = data.change(scope, int(wanted))
evidence = change["evidence"]


def say_headline() -> None:
    expires = f" · expires in {format_age(change['expires_at'])}" if change["state"] == "waiting" else ""
    headline(
        f"{change['ref']}: {effect_sentence(change)}", CHANGE_LEVELS.get(change["state"], "unknown"),
        detail=f"{change['state']} · tier {evidence['model']['tier']} · asked by {change['requested_by']} "
        f"{format_age(change['requested_at'])} ago · {change['approvals']} of {change['approvals_needed']} approvals{expires}",
    )  # fmt: skip


@live(run_every=1 if change["state"] in ("approved", "executing") else None)
def execution() -> None:
    """Progress while a worker carries it out, then what came of it."""
    now = data.change(data.scope_of(viewer()), change["id"])
    if now["state"] in ("approved", "executing"):
        run = data.run(data.scope_of(viewer()), now["run_id"])
        st.progress(
            float(run["progress"]) if run else 0.0,
            text=f"{now['state']}: {now['step'] or 'waiting for a worker'}",
        )
    elif now["state"] != change["state"]:
        st.cache_data.clear()
        st.rerun(scope="app")
    elif now["outcome"]:
        key_values({now["state"]: now["outcome"], "finished": now["finished_at"]})


def decision_box() -> None:
    """Approve or reject: by id and by the digest this page was drawn with."""
    st.markdown("**Decision**")
    reason = change["cannot_decide"]
    needed = ", ".join(
        f"{count} {role.replace('_', ' ')}" for role, count in change["policy"]["roles"].items()
    )
    st.html(
        str(small(f"needed: {needed}; the {' and the '.join(change['policy']['excluded'])} cannot decide"))
    )
    if reason:
        st.info(f"You cannot decide on this change: {reason}.", icon=":material/block:")
    else:
        st.caption(
            f"You sign {change['digest'][7:19]}…; it is void if model files, data, card, policy or target change."
        )
        for verdict, label, must in (("approve", "Approve", False), ("reject", "Reject", True)):
            sent = action_form(
                verdict, label=f"{label} {change['ref']}", object_id=str(change["id"]), digest=change["digest"],
                fields=[Field("comment", f"Comment to {verdict}", "area", required=must)], danger=verdict == "reject",
            )  # fmt: skip
            if sent is not None and perform(
                lambda session, me, sent=sent, verdict=verdict: decide(
                    session, me, int(sent.object_id), verdict=verdict, comment=sent.values["comment"] or "",
                    seen_digest=sent.digest,
                ),
                done=f"You decided to {verdict} {change['ref']}.",
            ):  # fmt: skip
                st.rerun()
    if change["can_cancel"]:
        sent = action_form(
            "cancel", label=f"Withdraw {change['ref']}", object_id=str(change["id"]), digest=change["digest"],
            fields=[Field("reason", "Why")], danger=True,
        )  # fmt: skip
        if sent is not None and perform(
            lambda session, me: cancel_change(
                session, me, int(sent.object_id), reason=sent.values["reason"] or ""
            ),
            done=f"{change['ref']} is withdrawn.",
        ):
            st.rerun()


def people() -> None:
    key_values({"why it is asked": change["reason"], "asked by": f"{change['requested_by']}, "
                f"{format_when(change['requested_at'], viewer_zone())}", "trained by": change["trained_by"],
                "chosen because": evidence["why_target"] or None})  # fmt: skip
    decided: list[dict[str, Any]] = change["decisions"]
    if decided:
        table(
            ("who", "decided", "as", "comment", "when"),
            [
                [one["person"], badge(one["verdict"], "ok" if one["verdict"] == "approve" else "attention"),
                 one["role"].replace("_", " "), one["comment"], format_when(one["decided_at"], viewer_zone())]
                for one in decided
            ],
        )  # fmt: skip


say_headline()
main, side = st.columns([7, 3], gap="large")
with main:
    if change["state"] == "waiting":
        for open_point in unresolved(evidence):
            st.html(f"{badge('unresolved', 'attention')} {small(open_point)}")
    execution()
    people()
    st.subheader("Before and after", anchor=False)
    show_metrics(evidence)
    st.subheader("Both in service", anchor=False)
    show_live(evidence)
    show_alert(evidence)
    with st.expander("Parameters, data and card: what differs", expanded=change["kind"] == "promote"):
        show_differences(evidence)
    with st.expander("Policy, and what a decision is bound to"):
        show_policy(change["policy"], change["bound"], change["digest"])
    page_link(
        "audit",
        "Everything the log holds about it",
        icon=":material/history_edu:",
        kind="change",
        object=change["id"],
    )
with side, st.container(border=True, key="decide"):
    decision_box()
