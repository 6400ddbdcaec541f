"""Asking for another policy: a draft that knows which revision it was begun from, tried on past changes first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from app import data
from app.components.actions import Field, action_form
from app.components.policy_form import policy_form
from app.components.tables import anchor, lines, long_text, open_point, small, table
from app.plain_text import plain
from app.session import go, perform, rendering_errors, viewer
from app.words import count_of
from backend.governance import machine
from backend.governance.asking import preview_change, refuse_stale, request_change
from backend.governance.kinds import Asked
from backend.governance.policies import active_policy
from backend.identity.roles import Permission


def offer_policy(shown: Mapping[str, Any], in_force: Mapping[str, Any]) -> None:
    """The text of `shown` as a draft. It replaces the revision that was in force when it was begun, or nothing."""
    scope = data.scope_of(viewer())
    st.header("Ask for another policy", anchor=False)
    st.caption("One person asks, others approve; nothing changes before that. Try it on past changes first.")
    for one in data.changes(scope, tuple(machine.OPEN), 200):
        if one["kind"] == "policy":
            open_point(
                f"{one['ref']} by {one['requested_by']} asks for another policy already and is {one['state_words']}; "
                "a second one is asked for when that one is over, and has to start from what it leaves"
            )
    place = f"draft:{shown['revision']}"
    st.session_state.setdefault(place, shown["text"])
    as_form, as_text = st.tabs(["Form", "YAML"])
    with as_form:
        policy_form(place)
    with as_text, st.container(key="yaml-policy"):
        draft = st.text_area("The whole policy as YAML", height=420, key=place)
        st.caption("The form writes into this text, and does not keep comments.")
    begun = st.session_state.setdefault(f"{place}:of", (in_force["revision"], in_force["digest"]))
    if begun[1] != in_force["digest"]:
        open_point(
            f"revision {in_force['revision']} came into force since this draft was begun from revision {begun[0]}: it "
            "would undo what that one changed"
        )
        if st.button("Begin again from what is in force", key="begin-again"):
            for key in (place, f"{place}:of"):
                st.session_state.pop(key, None)
            go("policy")
    st.divider()
    if st.button("What would it have said?", key="dry-run"):
        with rendering_errors():
            for caution in data.policy_draft_cautions(scope, draft):
                open_point(caution, word="mind")
            _show_dry_run(data.policy_dry_run(scope, draft))
    why_not = None if viewer().may(Permission.REQUEST_CHANGE) else "Your role cannot ask for changes."
    sent = action_form(
        "policy", label="Ask for this policy", object_id=str(in_force["revision"]), digest=begun[1],
        fields=[Field("reason", "Why", "area", required=True)], disabled_because=why_not,
    )  # fmt: skip
    if sent is None:
        return
    asked = Asked("policy", "*", subject={"document": draft})

    def act(session: Any, me: Any) -> Any:
        refuse_stale(active_policy(session).digest, sent.digest, "the policy that your draft replaces")
        seen = preview_change(
            session, me, asked
        ).digest  # of the policy that was drawn, and of one's own text
        return request_change(session, me, asked, reason=sent.values["reason"] or "", seen_digest=seen)

    made = perform(act, done="The policy is asked for; it waits for decisions by others.")
    if made is not None:
        st.session_state.pop(f"{place}:of", None)
        go("change", id=made.id)


def _show_dry_run(told: list[dict[str, Any]]) -> None:
    differing = [one for one in told if one["differs"]]
    allowed = sum(one["would"] == "allowed" for one in told)
    st.markdown(
        f"**Of {count_of(len(told), 'finished change')} it would have allowed {plain(allowed)} and refused "
        f"{len(told) - allowed}; {len(differing)} would have ended otherwise**"
    )
    if differing:
        table(
            ("change", "was", "would be", "because"),
            [[lines(anchor(one["ref"], "change", id=one["id"]), small(one["summary"])), one["was"], one["would"],
              long_text("; ".join(one["reasons"]))] for one in differing],
            caption="what it would have said otherwise",
        )  # fmt: skip
