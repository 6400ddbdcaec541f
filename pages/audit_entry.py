"""One entry of the log: what it says, what was hashed, and the proof that it is in the log."""

from __future__ import annotations

import json

import streamlit as st

from app import data
from app.components import empty_state, headline, key_values
from app.components.code_block import code_block, copied_text
from app.components.entry_parts import entry_facts
from app.formats import whole_number
from app.log_words import sentence_of
from app.plain_text import plain
from app.session import page_link, viewer
from backend.identity.roles import Permission

actor = viewer()
scope = data.scope_of(actor)
seq = whole_number(st.query_params.get("seq"))
if seq is None:
    empty_state("Which entry?", "Open one from the audit log.", ("Audit log", "/audit"))
    st.stop()
found = data.audit_entry(scope, seq)
entry = found["view"]
headline(
    f"Entry {entry.seq:,}: {entry.actor_name} {sentence_of(entry.action, entry.object_kind, entry.object_id)}",
    "page" if entry.damaged or found["proof_problem"] else "ok",
    detail="this row is not as it was recorded" if entry.damaged else "the row hashes to what the log holds",
)
page_link("audit", "All entries about this object", icon=":material/history_edu:", kind=entry.object_kind,
          object=entry.object_id)  # fmt: skip
key_values(entry_facts(entry, found["leaf"]))
st.header("What was recorded", anchor=False)
if entry.erased:
    st.caption(f"The clear text was {plain(entry.erased)}. The leaf and its commitment stay.")
elif not actor.may(Permission.READ_AUDIT_PAYLOAD):
    st.caption(
        "Your role sees entries and not their clear text (comments, addresses, values before and after)."
    )
elif entry.payload:
    code_block(json.dumps(entry.payload, indent=1, ensure_ascii=False, default=str))
else:
    st.caption("There is no clear text. The commitment in the leaf stays.")
st.header("Proof", anchor=False)
proof = found["proof"]
if proof is None:
    empty_state(
        "This entry cannot be proved",
        found["proof_problem"] or "the log is damaged; run `warrant audit verify`",
    )
else:
    st.markdown(
        f"[Receipt](/receipt/{entry.seq:d}): this entry in the signed log, in a file that verifies offline"
    )
    with st.expander("The proof: from the hash of the leaf to the root"):
        st.caption("The leaf hashes to the leaf hash; with the path it gives the root (RFC 9162, 2.1.3).")
        code_block(json.dumps(proof, indent=1, default=str))
with st.expander("The leaf, byte for byte as it was hashed"):
    copied_text(found["leaf"])
    if found["salt"]:
        st.caption(f"salt of the payload's commitment: {plain(found['salt'])}")
