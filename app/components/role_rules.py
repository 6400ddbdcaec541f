"""The rules that give roles by sign-on: what is in force, a draft, who it would change something for, asking for it."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import data
from app.components.actions import Field, action_form
from app.components.tables import open_point, table
from app.plain_text import plain
from app.session import go, perform, rendering_errors, viewer
from app.words import count_of
from backend.governance.asking import preview_change, refuse_stale
from backend.governance.kinds import Asked
from backend.governance.kinds.roles import request_role_rules
from backend.identity.role_rules import rules_in_force
from backend.settings import settings

EMPTY = "rules:\n  - {provider: corp, claim: groups, value: ml-leads, role: ml_lead}\n"


def offer_role_rules() -> None:
    """The rules in force as a draft. It replaces the revision that was in force when it was begun, or nothing."""
    actor = viewer()
    now = data.role_rules(actor)
    st.header("Roles by sign-on", anchor=False)
    if now["rules"]:
        table(
            ("provider", "claim", "value", "role"),
            [[one["provider"], one["claim"], one["value"], one["role"].replace("_", " ")] for one in now["rules"]],
            caption="rules that give roles",
        )  # fmt: skip
    else:
        st.caption(
            "No rule gives a role: whoever signs on the first time "
            + (
                "may look, and is given more by hand."
                if settings().sign_on_role == "viewer"
                else "has none, and is given one by hand or in a team."
            )
        )
    for one in now["open"]:
        open_point(f"{one['ref']} by {one['requested_by']} asks for other rules and is {one['state_words']}")
    with st.expander("Ask for other rules"):
        st.caption("You ask, somebody else approves. Roles given by hand are left alone.")
        begun = st.session_state.setdefault("role-rules:of", now["digest"])
        draft = st.text_area(
            "All rules as YAML", now["text"] if now["rules"] else EMPTY, height=240, key="role-rules"
        )
        if st.button("Who would gain or lose a role?", key="role-rules-dry-run"):
            with rendering_errors():
                _show_moved(data.role_rules_dry_run(actor, draft))
        sent = action_form(
            "role-rules", label="Ask for these rules", object_id=str(now["revision"]), digest=begun,
            fields=[Field("reason", "Why", "area", required=True)],
        )  # fmt: skip
    if sent is None:
        return

    def act(session: Any, me: Any) -> Any:
        refuse_stale(rules_in_force(session).digest, sent.digest, "the role rules that your draft replaces")
        seen = preview_change(session, me, Asked("roles", "*", subject={"document": draft})).digest
        return request_role_rules(
            session, me, document=draft, reason=sent.values["reason"] or "", seen_digest=seen
        )

    made = perform(act, done="The rules are asked for; they wait for somebody else's approval.")
    if made is not None:
        st.session_state.pop("role-rules:of", None)
        go("change", id=made.id)


def _show_moved(moved: list[dict[str, Any]]) -> None:
    st.markdown(f"**{plain(count_of(len(moved), 'person', 'people'))} would have other roles**")
    if moved:
        table(
            ("who", "loses at once", "gains at their next sign-on", "by what was said of them"),
            [[f"{one['display_name']} ({one['username']})", one["loses"] or None, one["gains"] or None, one["said_at"]]
             for one in moved],
            caption="who would gain or lose a role",
        )  # fmt: skip
