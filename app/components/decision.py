"""Deciding on a change, and watching it being carried out. By id and by the digest the page was drawn with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from app import data
from app.components.actions import Field, action_form, came_too_late
from app.components.facts import key_values
from app.components.tables import badge, small
from app.session import live, perform, viewer
from app.words import CHANGE_LEVELS
from backend.governance.service import cancel_change, decide


def decision_box(change: Mapping[str, Any]) -> None:
    """Approve or reject; or why this person cannot, and whether they can withdraw it."""
    policy, ref = change["policy"], change["ref"]
    needed = ", ".join(f"{count} {role.replace('_', ' ')}" for role, count in policy["roles"].items())
    st.markdown(f"**Decision** · {change['approvals']} of {change['approvals_needed']} approvals")
    st.html(small(f"needs {needed}; neither the {' nor the '.join(policy['excluded'])} can decide"))
    if change["cannot_decide"]:
        _answer_late_click(change)
    if change["state"] != "waiting":
        st.caption(f"This change is {change['state']}; nothing is left to decide.")
    elif change["cannot_decide"]:
        st.info(f"You cannot decide: {change['cannot_decide']}.", icon=":material/block:")
    else:
        _offer(change, "approve", f"Approve {ref}")
        _offer(change, "reject", f"Reject {ref}")
        st.caption(
            f"You sign {change['digest'].removeprefix('sha256:')[:12]}…; it is void if files, data, card, policy or "
            "target change."
        )
    if change["can_cancel"]:
        _offer_withdrawal(change)


def _answer_late_click(change: Mapping[str, Any]) -> None:
    """Say that a click on a form that is gone did nothing. The second half of a double click is late, too, and is
    nothing to tell who has decided."""
    late = [came_too_late(verdict, object_id=str(change["id"])) for verdict in ("approve", "reject")]
    if any(late) and viewer().display_name not in {one["person"] for one in change["decisions"]}:
        st.error("**Nothing was decided.** The change moved on before your click.", icon=":material/error:")


def _offer(change: Mapping[str, Any], verdict: str, label: str) -> None:
    required = verdict in change["policy"]["comment_required_to"]
    sent = action_form(
        verdict, label=label, object_id=str(change["id"]), digest=change["digest"],
        fields=[Field("comment", f"Comment to {verdict}", "area", required=required)], danger=verdict == "reject",
    )  # fmt: skip
    if sent is None:
        return
    decided = perform(
        lambda session, me: decide(
            session, me, int(sent.object_id), verdict=verdict, comment=sent.values["comment"] or "",
            seen_digest=sent.digest,
        ),
        done=f"You decided to {verdict} {change['ref']}.",
    )  # fmt: skip
    if decided is not None:
        st.rerun()


def _offer_withdrawal(change: Mapping[str, Any]) -> None:
    sent = action_form(
        "withdraw", label=f"Withdraw {change['ref']}", object_id=str(change["id"]), digest=change["digest"],
        fields=[Field("reason", "Why you withdraw it")], danger=True,
    )  # fmt: skip
    if sent is None:
        return
    withdrawn = perform(
        lambda session, me: cancel_change(
            session, me, int(sent.object_id), reason=sent.values["reason"] or ""
        ),
        done=f"{change['ref']} is withdrawn.",
    )
    if withdrawn is not None:
        st.rerun()


def execution(change: Mapping[str, Any]) -> None:
    """Progress while a worker carries it out; what came of it afterwards."""
    if change["state"] in ("approved", "executing"):
        _progress(change["id"], change["state"])
    elif change["outcome"]:
        st.html(
            f'<div class="w-point">{badge(change["state"], CHANGE_LEVELS.get(change["state"], "unknown"))}</div>'
        )
        key_values({"outcome": change["outcome"], "finished": change["finished_at"]})


@live(run_every=1)
def _progress(change_id: int, shown: str) -> None:
    """Asks every second, and has the whole page drawn again once the state has moved."""
    scope = data.scope_of(viewer())
    now = data.change(scope, change_id)
    if now["state"] != shown:
        st.cache_data.clear()
        st.rerun(scope="app")
    run = data.run(scope, now["run_id"])
    st.progress(
        float(run["progress"]) if run else 0.0,
        text=f"{now['state']}: {now['step'] or 'waiting for a worker'}",
    )
