"""Retraining of one model: its runs, what sets them off by itself, and asking for one by hand."""

from __future__ import annotations

import json
from typing import Any

import streamlit as st

from app import data
from app.components import Field, action_form, empty_state, headline
from app.components.decision import box_head
from app.components.pickers import pick, pick_model
from app.components.retraining_parts import say_runs, show_runs, show_triggers
from app.data import retraining
from app.formats import NARROW, format_plain, whole_number
from app.plain_text import plain
from app.session import go, page_link, perform, viewer
from backend.errors import BadInput, WarrantError
from backend.identity.roles import Permission
from backend.monitoring.columns import parse_spec
from backend.monitoring.spec_fields import delay
from backend.retraining.plan import Plan, Wish
from backend.retraining.service import asked_for, request_retraining
from backend.retraining.trainers import TRAINERS, trainer_of

actor = viewer()
scope = data.scope_of(actor)
name = pick_model(data.models(scope))
if name is None:
    st.stop()
model = data.model(scope, name)
query = st.query_params
alert_id = whole_number(query.get("alert"))
spec = parse_spec(model["spec"])


def chosen_plan() -> tuple[Plan, str] | None:
    """What the person has chosen, complete; None, and why, where it is none."""
    task = spec.task
    trainer = trainer_of(
        pick("Trainer", [one.name for one in TRAINERS if task in one.tasks], key="trainer",
             words=lambda one: trainer_of(one).title) or TRAINERS[0].name
    )  # fmt: skip
    st.caption(plain(trainer.explanation))
    device = pick("Device", list(trainer.devices), key=f"device:{trainer.name}") or "cpu"
    window = st.text_input("Rows of the last", "365d", key="window", help="such as 90d, 12h or 8w")
    hours = st.number_input("Hours of training at most", 0.1, 336.0, 1.0, 0.5, key="hours")
    written = st.text_area(
        "Parameters, as JSON",
        json.dumps(trainer.example, indent=1),
        key=f"parameters:{trainer.name}",
        height=110,
    )
    searched = st.text_area(
        "Search of parameters, as JSON; empty: none",
        key=f"search:{trainer.name}",
        height=70,
        help=plain(json.dumps({"space": {"learning_rate": {"type": "float", "low": 0.01, "high": 0.3, "log": True}},
                               "trials": 20, "minutes": 60})),
    )  # fmt: skip
    try:
        parameters: Any = json.loads(written or "{}")
        search: Any = json.loads(searched) if searched.strip() else None
        wish = Wish(trainer.name, parameters, window_s=delay(window, "window") or 0.0, device=device,
                    cpu_allowed=device == "gpu", wall_s=int(hours * 3600), search=search)  # fmt: skip
        seen = st.session_state.get("seen_plan")
        wanted = wish.plan()
        if (
            seen is not None
            and seen.model_copy(update={"as_of": wanted.as_of, "from_": wanted.from_}) == wanted
        ):
            wanted = seen  # the same plan at the time at which it was first shown
        st.session_state["seen_plan"] = wanted
    except json.JSONDecodeError as error:
        st.error(plain(f"parameters or search: line {error.lineno} is no JSON: {error.msg}"))
        return None
    except BadInput as error:
        st.error(plain(error.message))
        return None
    return wanted, trainer.title


def show_form() -> None:
    box_head("Retrain it")
    if not actor.may(Permission.REQUEST_CHANGE):
        st.caption("Your role cannot ask for changes; on-call, engineers and leads can.")
        return
    chosen = chosen_plan()
    if chosen is None:
        return
    plan, _ = chosen
    asked = asked_for(str(name), plan, alert_id=alert_id)
    try:
        preview = retraining.retraining_preview(scope, asked, plan)
    except WarrantError as error:  # it is being retrained already, say: what is there is shown all the same
        st.caption(plain(error.message))
        return
    st.caption(
        plain(f"It waits for a decision: {'; '.join(preview['outside'])}." if preview["needs_decision"]
              else "It goes ahead at once: the rule approved it in advance.")
    )  # fmt: skip
    st.caption(
        plain(
            f"At most {format_plain(round(plan.hours, 2))}{NARROW}h of training on a {plan.device}, "
            f"{plan.memory_mb:,}{NARROW}MiB."
        )
    )
    sent = action_form(
        "retrain", label=f"Retrain {name}", object_id=str(name), digest=preview["digest"],
        fields=[Field("reason", "Why", "area", required=True, help="others read this first")],
    )  # fmt: skip
    if sent is None:
        return
    change = perform(
        lambda session, me: request_retraining(
            session, me, asked, plan, reason=sent.values["reason"], seen_digest=sent.digest
        ),
        done="The retraining is asked for.",
    )
    if change is not None:
        go("change", id=change.id)


runs = retraining.retraining_runs(scope, name)
said, level = say_runs(model["title"], runs)
headline(
    said,
    level,
    detail=f"{name} · tier {model['tier']} · it ends by asking for a promotion",
)
main, side = st.columns([7, 3], gap="large")
with side, st.container(border=True, key="act"):
    show_form()
with main:
    show_runs(runs, name)
    st.header("What sets it off", anchor=False)
    show_triggers(retraining.retraining_triggers(scope, name))
    page_link("model", "The model", icon=":material/deployed_code:", model=name)
if not model["versions"]:
    empty_state("No version is registered yet", "The first one is compared with nothing.")
