"""Bring in a model: connect data, say what is what, set the reference, choose what is watched, confirm, follow it."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import Field, action_form, headline, title
from app.components.code_block import code_block
from app.components.start_form import (
    NAME,
    SOURCE,
    change_types,
    choices_of,
    choose_reference,
    choose_roles,
    choose_source,
    choose_tier,
    choose_watched,
    name_it,
    roles_said,
    types_said,
)
from app.components.start_parts import (
    SURE,
    follow,
    show_columns,
    show_differences,
    show_lacks,
    show_periods,
    show_tier,
    step,
    what_a_file_needs,
)
from app.formats import format_count
from app.plain_text import plain
from app.session import perform, rendering_errors, show_error, viewer
from app.words import count_of
from backend.errors import BadInput, ChangedSinceSeen
from backend.onboarding.applying import apply_document
from backend.onboarding.choosing import confirm
from backend.onboarding.document import read_document
from backend.onboarding.writing import write_document

query = st.query_params
scope = data.scope_of(viewer())


def connect() -> None:
    title(
        "Bring in a model: a file of its predictions is enough",
        detail="Five steps, each with a proposal; nothing is recorded before you confirm",
    )
    step(1)
    choose_source(scope)
    what_a_file_needs()
    st.caption(
        "The same as a document for git: `warrant init predictions.csv -o warrant.yaml`, then `warrant apply "
        "warrant.yaml`. Live predictions come over the API or the gateway, without any file."
    )


def propose(path: str) -> data.Proposed | None:
    """What is proposed, with the roles as the person named them. None: they have to be named first."""
    name = str(st.session_state.get(NAME) or "")
    try:
        return data.proposed(scope, path, name=name, roles=roles_said())
    except BadInput as error:
        title("Say which columns hold time and prediction")
        show_error(BadInput(f"{error.message.partition(';')[0]}; choose it below"))
        step(2)
        choose_roles(data.source_columns(scope, path), {})
        return None


def decide(path: str) -> None:
    found = propose(path)
    if found is None:
        return
    document, said = found.document, types_said()
    preview = data.previewed(scope, path, document["history"]["columns"])
    unsure = [part for part, (sure, _) in found.grounds.items() if part.startswith("spec.") and sure < SURE]
    headline(
        f"{path.rsplit('/', 1)[-1]}: {format_count(preview.rows)} predictions, "
        f"{preview.first:%d %b %Y} to {preview.last:%d %b %Y}",
        "ok" if not unsure else "attention",
        detail=f"{count_of(len(preview.columns), 'column')}; task {document['spec']['task']}; "
        f"{count_of(len(unsure), 'proposal')} to check. Nothing is recorded before you confirm.",
    )
    if st.button("Another file", key="start-again", icon=":material/undo:"):
        del query[SOURCE]
        st.rerun()
    step(2)
    choose_roles(data.source_columns(scope, path), document["history"]["columns"])
    show_columns(document, found.grounds, preview, said)
    change_types(document["spec"]["features"], said)
    step(3)
    reference = choose_reference(scope, path, document, preview)
    with st.expander(f"How the model did, by {plain(preview.of_which)}", expanded=True):
        show_periods(preview, reference[0])
    step(4)
    st.text_input("Name, for good", document["model"]["name"], key=NAME, max_chars=100)
    named, watched, tier = name_it(scope, document), choose_watched(document), choose_tier(scope)
    show_tier(scope, tier[0])
    made = confirm(document, choices_of(said, reference, named, watched, tier))
    with st.expander("The card's skeleton"):
        code_block(made["card"])
    text = write_document(made)
    with st.expander("All of it as warrant.yaml, for git"):
        code_block(text)
    step(5)
    with rendering_errors():
        settle(text)


def settle(text: str) -> None:
    """What will happen, and the button; then the address says which import to follow."""
    outcome = data.outcome(scope, text)
    if outcome.there:
        st.warning(
            f"{plain(outcome.name)} is registered already: this would change it. Another name makes another model."
        )
    show_differences(outcome.differences)
    show_lacks(read_document(text).document.as_dict(), outcome.unanswered)
    sent = action_form(
        "bring-in", label=f"Bring in {outcome.name}", object_id=outcome.name, digest=outcome.digest,
        fields=[Field("why", "Why", help="goes into the record")],
    )  # fmt: skip
    if sent is None:
        return
    why = str(sent.values["why"] or "")
    if sent.digest != outcome.digest:
        raise ChangedSinceSeen("the document has changed since the button was drawn")
    done = perform(
        lambda session, me: apply_document(session, me, written=read_document(text), why=why),
        done=f"{outcome.name} is recorded.",
    )
    if done is not None:
        run = next((one.run for one in done if one.run), None)
        query.clear()
        query["model"] = outcome.name
        if run:
            query["run"] = run
        st.rerun()


if query.get("model"):
    follow(query["model"], query.get("run"))
elif query.get(SOURCE):
    decide(query[SOURCE])
else:
    connect()
