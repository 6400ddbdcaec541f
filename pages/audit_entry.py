"""One entry of the log: what it says, what was hashed, and the proof that it is in the log."""

from __future__ import annotations

import json

import streamlit as st

from app import data
from app.components import empty_state, headline, key_values, viewer_zone
from app.formats import format_when
from app.session import page_link, viewer
from backend.identity.roles import Permission

actor = viewer()
scope = data.scope_of(actor)
seq = st.query_params.get("seq", "")
if not seq.isdigit():
    empty_state("Which entry?", "Open one from the audit log.", ("Audit log", "/audit"))
    st.stop()
found = data.audit_entry(scope, int(seq))
entry = found["view"]
what = entry.action.replace(":", " ").replace("_", " ")
headline(
    f"Entry {entry.seq:,}: {entry.actor_name}, {what}",
    "page" if entry.damaged or found["proof_problem"] else "ok",
    detail="this row is not as it was recorded" if entry.damaged else "the row hashes to what the log holds",
)
page_link("audit", "All entries about this object", icon=":material/history_edu:", kind=entry.object_kind,
          object=entry.object_id)  # fmt: skip
key_values(
    {
        "when": format_when(entry.at, viewer_zone(), seconds=True),
        "who": f"{entry.actor_name} ({entry.actor_id}, {entry.actor_kind})",
        "acting for": entry.acting_for,
        "what": entry.action,
        "object": f"{entry.object_kind} {entry.object_id}",
        "why": entry.why or None,
    }
)
st.subheader("What was recorded", anchor=False)
if not actor.may(Permission.READ_AUDIT_PAYLOAD):
    st.caption(
        "Your role sees entries and not their clear text (comments, addresses, values before and after)."
    )
elif entry.payload:
    st.json(entry.payload, expanded=2)
else:
    st.caption("The clear text was erased, or there was none. The commitment in the leaf stays.")
st.subheader("Proof", anchor=False)
proof = found["proof"]
if proof is None:
    empty_state(
        "This entry cannot be proved",
        found["proof_problem"] or "the log is damaged; run `warrant audit verify`",
    )
else:
    st.caption("The leaf hashes to the leaf hash; with the path it gives the root (RFC 9162, 2.1.3).")
    st.code(json.dumps(proof, indent=1, default=str), language="json")
with st.expander("The leaf, byte for byte as it was hashed"):
    st.code(found["leaf"], language="json", wrap_lines=True)
    if found["salt"]:
        st.caption(f"salt of the payload's commitment: {found['salt']}")
