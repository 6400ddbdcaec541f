"""One retraining: how far it is, step by step, what it found and cost, and how to stop it."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import data
from app.components import Field, action_form, empty_state, headline, title
from app.components.decision import box_head
from app.components.retraining_parts import (
    LEVELS,
    cost_words,
    say_outcome,
    show_curve,
    show_findings,
    show_plan,
    show_steps,
)
from app.components.search_parts import show_search
from app.data import retraining
from app.plain_text import plain
from app.session import live, page_link, perform, viewer
from backend.retraining.plan import TRIGGER_WORDS
from backend.retraining.running import OPEN, cancel_run, resume_run

scope = data.scope_of(viewer())
wanted = st.query_params.get("id", "")
if not wanted:
    title("One retraining")
    empty_state("Which retraining?", "Open one from its model's page.", ("Overview", "/"))
    st.stop()


@live(run_every=2)
def wait_for_it(change_id: int) -> None:
    """Until a worker has begun it, and the page of the run can be drawn."""
    before = retraining.change_before(data.scope_of(viewer()), wanted)
    if before is None:
        st.rerun()
    headline(
        f"Retraining {before['model']} has not begun", LEVELS["queued"],
        detail=f"CHG-{change_id} is {before['words']} · the page goes on by itself once a worker has begun it",
    )  # fmt: skip


ahead = retraining.change_before(scope, wanted)
if ahead is not None:
    wait_for_it(ahead["id"])
    page_link("change", f"CHG-{ahead['id']}, which it will carry out", icon=":material/rule:", id=ahead["id"])
    st.stop()
first = retraining.retraining_run(scope, wanted)


def say_headline(run: dict[str, Any]) -> None:
    facts = [
        run["state_words"],
        run["step"].lower(),
        cost_words(run["cost"]),
        f"asked by {run['requested_by']}",
    ]
    said = f"{run['model']} is retrained" if run["state"] in OPEN else f"{run['model']} was retrained"
    if run["state"] in ("failed", "cancelled"):
        said = f"Retraining {run['model']} {'failed' if run['state'] == 'failed' else 'was cancelled'}"
    headline(
        f"{said}, {TRIGGER_WORDS[run['trigger']]}",
        LEVELS[run["state"]],
        detail=" · ".join(filter(None, facts)),
    )


@live(run_every=2 if first["state"] in OPEN else None)
def show_state() -> None:
    """Where it is, above everything, on a phone too."""
    run = retraining.retraining_run(data.scope_of(viewer()), wanted)
    if run["state"] != first["state"]:
        st.rerun()
    say_headline(run)
    if run["state"] in OPEN:
        st.progress(float(run["progress"]), text=run["step"] or run["state_words"])
    say_outcome(run)


@live(run_every=2 if first["state"] in OPEN else None)
def show_progress() -> None:
    """What moves while it runs."""
    run = retraining.retraining_run(data.scope_of(viewer()), wanted)
    show_steps(run)
    show_search(run)
    show_curve(run)


def show_actions(run: dict[str, Any]) -> None:
    box_head("Act")
    if run["can_cancel"]:
        sent = action_form(
            "cancel", label=f"Cancel {run['id']}", object_id=run["id"], digest=run["state"], danger=True,
            fields=[
                Field("sure", "Stop it: what is trained so far is not used", "checkbox", required=True),
                Field("reason", "Why"),
            ],
        )  # fmt: skip
        if sent is not None and perform(
            lambda session, me: cancel_run(session, me, run["id"], reason=sent.values["reason"] or ""),
            done="It is being cancelled.",
        ):
            st.rerun()
    elif run["cancel_asked_at"] is not None:
        st.caption(plain(f"{run['cancel_asked_by'] or 'Somebody'} cancelled it. {run['cancel_reason']}"))
    if run["can_resume"]:
        sent = action_form(
            "resume", label=f"Begin {run['id']} again", object_id=run["id"], digest=run["state"]
        )
        if sent is not None and perform(
            lambda session, me: resume_run(session, me, run["id"]), done="It is queued again."
        ):
            st.rerun()
    page_link("change", f"CHG-{run['change_id']}, which it is", icon=":material/rule:", id=run["change_id"])
    if run["promote_change_id"]:
        page_link("change", f"CHG-{run['promote_change_id']}: the promotion of v{run['version']}",
                  icon=":material/upgrade:", id=run["promote_change_id"])  # fmt: skip
    if run["incident_id"]:
        page_link("incident", f"INC-{run['incident_id']}, which set it off", icon=":material/warning:",
                  id=run["incident_id"])  # fmt: skip
    page_link(
        "retraining", "All retraining of the model", icon=":material/model_training:", model=run["model"]
    )
    page_link("model", "The model", icon=":material/deployed_code:", model=run["model"])


show_state()
main, side = st.columns([7, 3], gap="large")
with main:
    show_progress()
    show_findings(first)
    st.header("The plan", anchor=False)
    show_plan(first)
with side, st.container(border=True, key="act"):
    show_actions(first)
