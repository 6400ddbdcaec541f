"""One model: how it is, what serves, its versions, card, explanation and service levels."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import banner, headline, viewer_zone
from app.components.job_parts import offer_job
from app.components.model_parts import (
    offer_data_owner,
    show_alerts,
    show_card,
    show_conditions,
    show_explanation,
    show_reports,
    show_timeline,
    show_versions,
)
from app.components.performance_parts import labels_words
from app.components.pickers import pick, pick_model
from app.components.slo_parts import show_objectives_card
from app.components.urgent import offer_way_back
from app.data import slos
from app.formats import format_when
from app.session import live, page_link, viewer
from app.words import in_sentence, metric_text, metric_word
from backend.explain.service import request_explanation
from backend.identity.roles import Permission
from backend.monitoring.columns import parse_spec
from backend.monitoring.requests import request_metrics, request_report

actor = viewer()
scope = data.scope_of(actor)
name = pick_model(data.models(scope))
if name is None:
    st.stop()
model, health, firing = data.model(scope, name), data.health_of(scope, name), data.firing(scope, name)
serving = next(
    (one for one in model["deployments"] if one["ended_at"] is None and one["role"] == "champion"), None
)


def say_headline() -> None:
    facts = [name, f"tier {model['tier']}", f"owner {model['owner'] or 'nobody'}", data.environment()]
    if model["team"]:
        facts.insert(2, f"team {model['team']}")
    if serving:
        facts.append(f"v{serving['version']} serves since {format_when(health.serving_since, viewer_zone())}")
    if health.value is not None:
        told = "estimated" if health.estimated else "realised"
        facts.append(
            f"{metric_word(health.metric)} {metric_text(health.metric, health.value, health.unit)} ({told})"
        )
    facts += labels_words(health)
    headline(f"{model['title']}: {in_sentence(health.because)}", health.level, detail=" · ".join(facts))
    if model["notice"]:
        banner(model["notice"], "injected", word="about these data")


def show_actions() -> None:
    alert = firing[0]["id"] if firing else None
    offer_way_back(actor, name)
    page_link("request_change", "Return to an earlier version…", icon=":material/undo:", kind="rollback", model=name,
              alert=alert)  # fmt: skip
    page_link("request_change", "Promote a version…", icon=":material/upgrade:", kind="promote", model=name)
    page_link("retraining", "Retrain it…", icon=":material/model_training:", model=name, alert=alert)
    offer_job("Compute metrics now", f"metrics:{name}", Permission.COMPUTE_METRICS,
              lambda session, me: request_metrics(session, me, model=name))  # fmt: skip
    version = int(chosen or 0)
    if version:
        offer_job(f"Explain v{version}", f"explain:{name}/{version}", Permission.COMPUTE_METRICS,
                  lambda session, me: request_explanation(session, me, model=name, version=version))  # fmt: skip
        offer_data_owner(str(name), next(one for one in model["versions"] if one["version"] == version))
    windows = data.windows(scope, name, str(model["spec"]["window"]))
    filled = windows[windows["rows"] > 0]
    if len(filled):
        start = filled["start"].iloc[-1].to_pydatetime()
        offer_job("Evidently report of the last window", f"report:{name}/{start.isoformat()}", Permission.WRITE_REPORT,
                  lambda session, me: request_report(session, me, model=name, window_start=start))  # fmt: skip
    page_link("registry", "Its rules, and moves made elsewhere", icon=":material/inventory_2:", about=name)
    if actor.may(Permission.MAKE_PACKS):
        page_link("packs", "Evidence pack of it", icon=":material/folder_zip:", kind="model", model=name)
    show_reports(data.reports(scope, name)[:5])
    show_running()


@live(run_every=2)
def show_running() -> None:
    """What is being computed for this model now."""
    for run in data.runs_about(data.scope_of(viewer()), str(name)):
        st.progress(float(run["progress"]), text=f"{run['title']}: {run['state']} {run['step']}")


say_headline()
main, side = st.columns([7, 3], gap="large")
with main:
    if firing:
        show_alerts(firing, str(model["spec"]["window"]))
    st.header("Versions", anchor=False)
    show_versions(model, serving)
    show_conditions(data.conditions(scope, name))
    show_timeline(model, data.marks(scope, name))
    page_link("timeline", "What served at a moment, and why", icon=":material/view_timeline:", model=name)
    st.header("Service levels", anchor=False)
    show_objectives_card(slos.standings(scope, name), name)
    page_link("slos", "Objectives and their budgets", icon=":material/speed:")
    versions = [str(one["version"]) for one in model["versions"]]
    now = versions.index(str(serving["version"])) if serving else 0
    chosen = pick(
        "Card and explanation of", versions, key="version", words=lambda v: f"version {v}", index=now
    )
with side, st.container(border=True, key="act"):
    show_actions()
if chosen:
    left, right = st.columns(2, gap="large")
    with left:
        show_card(data.card(scope, name, int(chosen)), name, chosen)
    with right:
        show_explanation(data.explanation(scope, name, int(chosen)), chosen, parse_spec(model["spec"]))
