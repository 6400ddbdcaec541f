"""One prediction: what went in and came out, what moved it, and who let that version decide."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import empty_state, headline, href, key_values
from app.components.prediction_parts import offer_explanation, show_moved, show_reasons
from app.components.tables import anchor, link, table
from app.formats import format_utc
from app.session import page_link, viewer
from backend.data_rights.explanation import NO_CHANGE, NOBODY_BEFORE
from backend.data_rights.handing_out import FORMS, shown
from backend.errors import NotFound

actor = viewer()
scope = data.scope_of(actor)
models = data.models_with_data(scope)
query = st.query_params
with st.form("find", border=False):
    left, middle, right = st.columns([3, 5, 1], vertical_alignment="bottom")
    chosen = query.get("model", "")
    model = left.selectbox("Model", models, models.index(chosen) if chosen in models else 0)
    wanted = middle.text_input("Prediction id", query.get("prediction", ""), max_chars=1024)
    if right.form_submit_button("Find", width="stretch") and model:
        query.from_dict({"model": model, "prediction": wanted.strip()})
if not query.get("model") or not query.get("prediction"):
    empty_state("Which prediction?", "Write the model and the id that came with the answer, then find it.")
    st.stop()
try:
    found = data.explained(scope, query["model"], query["prediction"])
except NotFound as missing:
    empty_state("This prediction is not stored", missing.message)
    st.stop()

when = format_utc(found.facts["ts"])
headline(found.decision, "settled", detail=f"{found.title} version {found.version}, {when}")
main, side = st.columns([7, 3], gap="large")
with main:
    st.header("What went in", anchor=False)
    table(["Input", "Value"], [[name, shown(value)] for name, value in found.inputs.items()], cards=False)
    show_reasons(found)
    show_moved(found)
    st.header("Who let this version decide", anchor=False)
    if found.approvals:
        table(
            ["Who", "Role", "Verdict", "When"],
            [[one["person"], one["role"], one["verdict"], format_utc(one["at"])]
             for one in found.approvals],
        )  # fmt: skip
    else:
        st.caption(NOBODY_BEFORE if found.change else NO_CHANGE)
with side, st.container(border=True, key="act"):
    facts = found.facts
    change = found.change
    key_values(
        {
            "prediction": found.prediction_id,
            "score": shown(found.score),
            "cut-off then": shown(found.cutoff) if found.cutoff is not None else None,
            "answer": found.prediction,
            "environment": f"{facts['environment']}, as {facts['role']}",
            "came true": facts["label"] if facts["label_status"] == "known" else "not known",
            "came into service by": anchor(change["ref"], "change", id=change["id"]) if change else None,
            "trained by": found.trained_by,
            "card": link(f"number {found.card['number']} ({found.card['state']})",
                         href("card", model=found.model, version=found.version)) if found.card else None,
        }
    )  # fmt: skip
    offer_explanation(found)
    st.caption("The same as a document:")
    names = {"model": found.model, "prediction": found.prediction_id}
    st.markdown(
        " · ".join(f"[{form.upper()}]({href(f'export/explanation/{form}', **names)})" for form in FORMS)
    )
    page_link("explanations", "What this version leans on", icon=":material/query_stats:", model=found.model,
              version=found.version)  # fmt: skip
    page_link("model", "How the model performs", icon=":material/monitoring:", model=found.model)
