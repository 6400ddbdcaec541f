"""The policy of all changes: what each one needs, its history, and asking for another one."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import headline
from app.components.code_block import code_block
from app.components.policy_draft import offer_policy
from app.components.policy_parts import freeze_row, rule_row, show_difference
from app.components.tables import anchor, long_text, open_point, table
from app.formats import whole_number
from app.session import viewer
from app.words import count_of

actor = viewer()
scope = data.scope_of(actor)
policy = data.policy(scope, whole_number(st.query_params.get("revision")))
now_in_force = data.policy(scope)
in_force = now_in_force["revision"]


headline(
    f"Revision {policy['revision']} of the policy {'is' if policy['revision'] == in_force else 'was'} in force",
    "settled" if policy["revision"] == in_force else "unknown",
    detail=f"{count_of(len(policy['rules']), 'rule')}; the first one that matches a change governs it",
)
table(
    ("rule", "who agrees", "gates", "rollout", "valid for", "breaks the glass"),
    [rule_row(entry) for entry in policy["rules"]],
    caption="rules",
)
for caution in policy["cautions"]:
    open_point(caution, word="mind")
if policy["freezes"]:
    st.header("Freezes", anchor=False)
    table(
        ("freeze", "nothing is executed", "where", "but for"),
        [freeze_row(freeze) for freeze in policy["freezes"]],
        caption="freezes",
    )
    st.caption(
        "An approval starts when the freeze is over. An agreed return waits too, unless rollback is excepted; breaking "
        "the glass does not, and what is under way goes on."
    )
with st.expander("As YAML"):
    code_block(policy["text"])

offer_policy(policy, now_in_force)

st.header("Revisions", anchor=False)
revisions = data.policy_revisions(scope)
table(
    ("revision", "why", "change", "since"),
    [
        [anchor(str(one["revision"]), "policy", revision=one["revision"]), long_text(one["note"]),
         anchor(f"CHG-{one['change_id']}", "change", id=one["change_id"]) if one["change_id"] else None,
         one["created_at"] or "the beginning"]
        for one in revisions
    ],
    caption="revisions",
)  # fmt: skip
if len(revisions) > 1:
    numbers = [one["revision"] for one in revisions]
    st.header("What differs between two revisions", anchor=False)
    left, right = st.columns(2)
    with left:
        later = st.selectbox("Revision", numbers, key="later", format_func=str)
    with right:
        earlier = st.selectbox("compared with", numbers, index=min(numbers.index(later) + 1, len(numbers) - 1),
                               key=f"earlier-than-{later}", format_func=str)  # fmt: skip
    show_difference(data.policy(scope, earlier), data.policy(scope, later))
