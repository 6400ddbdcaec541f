"""Which objectives are in danger: what is left of each budget, how fast it goes, and by what that is said."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import banner, empty_state, headline, viewer_zone
from app.components.code_block import code_block
from app.components.history import deployments_of
from app.components.pickers import pick, pick_model
from app.components.slo_form import (
    objective_document,
    offer_definition,
    offer_maintenance,
    offer_retirement,
    show_findings,
)
from app.components.slo_parts import (
    answer_of,
    budget_words,
    level_of,
    name_of,
    show_budget,
    show_maintenance,
    show_month,
    show_revisions,
    show_rows,
    show_standings,
)
from app.data import slos as read
from app.formats import format_when
from app.plain_text import plain
from app.session import page_link, show_error, viewer
from backend import clock
from backend.errors import BadInput
from backend.identity.roles import Permission
from backend.slo.wording import target_words

actor = viewer()
scope = data.scope_of(actor)
standings = read.standings(scope)
cannot = None if actor.may(Permission.WRITE_OBJECTIVES) else "Your role reads objectives; it cannot set them."
by_key = {one.revision.key: one for one in standings}

if standings:
    sentence, level, rests_on = answer_of(standings)
    headline(sentence, level, detail=rests_on)
else:
    headline("No objective is set", "unknown", detail="nothing is promised, so nothing can be in danger")
show_standings(standings)
if (known := read.how_many(scope)) > len(standings):
    st.caption(f"{len(standings):,} of {known:,}, the worst first. Each model's page has those of the model.")


def show_detail(key: str) -> None:
    """One objective: its sentence, budget, windows, maintenance, months, and what can be done to it."""
    found = read.detail(scope, key)
    one, row = found.standing, found.standing.revision
    st.header(plain(name_of(one.objective)), anchor=False)
    state = one.state
    judged = f"; judged {format_when(state.judged_at, viewer_zone())}" if state and state.judged_at else ""
    banner(one.says, level_of(one), word={"breach": "in danger", "ok": "holds"}.get(one.word, "no data"))
    st.caption(plain(f"{row.model} in {row.environment}: {target_words(one.objective)}{judged}"))
    if state is not None and state.judged_at and (told := budget_words(one)) not in one.says:
        st.caption(plain(f"{told[:1].upper()}{told[1:]}."))
    if state is not None and state.problem and state.problem != one.says:
        banner(state.problem, "attention", word="its source says")
    show_budget(found, deployments_of(scope, row.model))
    show_rows(found)
    show_month(found)
    show_maintenance(found)
    by_change = read.only_by_change(scope, row.model)
    barred = cannot or by_change
    with st.expander("Leave a time out"):
        now = clock.now()
        running = {
            each.id: f"{format_when(each.starts_at, viewer_zone())}, {each.reason[:60]}"
            for each in found.maintenance
            if each.withdrawn_at is None and each.ends_at > now
        }
        offer_maintenance(row, running, disabled_because=barred)
    with st.expander("Definition, revisions, retire"):
        code_block(row.document)
        document = st.text_area(
            "Revise it (OpenSLO)", row.document, key=f"revise:{key}:{row.number}", height=260
        )
        if document != row.document:
            offer_text(row.model, document, revision=key)
        show_revisions(read.revisions(scope, key))
        offer_retirement(row, by_change=by_change, disabled_because=cannot)
    page_link("model", "The model", icon=":material/deployed_code:", model=row.model)


def offer_text(model: str, document: str, *, revision: str | None = None) -> None:
    """What a text is warned of, and the way to store it."""
    checked = read.checked(document)
    show_findings(checked.findings)
    if checked.objective is None:
        return
    row = by_key[revision].revision if revision is not None else None
    offer_definition(
        model, document, row=row, by_change=read.only_by_change(scope, model), disabled_because=cannot
    )


if standings:
    words = {key: f"{name_of(one.objective)} · {one.revision.model}" for key, one in by_key.items()}
    chosen = pick("Objective", list(words), key="objective", words=words.__getitem__, width=420)
    if chosen:
        show_detail(chosen)
st.header("Define an objective", anchor=False)
with st.expander("What must be good, and how often", expanded=not standings):
    model = pick_model(data.models(scope))
    if model is None:
        empty_state("No model is registered", "An objective is about a model.")
        st.stop()
    try:
        text = objective_document(f"slo:{model}", model, data.environment(), zone=viewer_zone())
    except BadInput as error:
        show_error(error)
    else:
        offer_text(model, text)
