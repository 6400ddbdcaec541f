"""One model: how it is, what serves, its versions, card, explanation and service levels."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import data
from app.charts import Mark, deployments_timeline, shap_summary
from app.components import action_form, banner, empty_state, headline, key_values, viewer_zone
from app.components.charts import draw
from app.components.history import periods
from app.components.pickers import pick, pick_model
from app.components.tables import badge, lines, small, table
from app.formats import format_age, format_count, format_metric, format_share, format_when
from app.session import live, page_link, perform, viewer
from app.words import ALERT_LEVELS, metric_word
from backend import clock
from backend.identity.roles import Permission
from backend.monitoring.requests import request_explanation, request_metrics, request_report

actor = viewer()
scope = data.scope_of(actor)
name = pick_model(data.models(scope))
if name is None:
    st.stop()
model, health = data.model(scope, name), data.health_of(scope, name)
serving = next(
    (one for one in model["deployments"] if one["ended_at"] is None and one["role"] == "champion"), None
)
if model["notice"]:
    banner(model["notice"], "injected", word="about these data")
value = (
    f", AUC {format_metric(health.value)} ({'estimated' if health.estimated else 'realised'})"
    if health.value
    else ""
)
headline(
    f"{model['title']}: {health.because}", health.level,
    detail=f"{name} · tier {model['tier']} · {data.environment()} · "
    + (f"v{serving['version']} serves since {format_when(health.serving_since, viewer_zone())}" if serving else "nothing serves")
    + value,
)  # fmt: skip


def alerts() -> None:
    firing = data.firing(scope, name)
    if not firing:
        return
    table(
        ("firing", "level", "since", "last seen"),
        [[lines(one["title"], small(one["kind"])), badge(one["level"], ALERT_LEVELS.get(one["level"], "unknown")),
          f"{format_when(one['since'], viewer_zone())} ({format_age(one['since'])})", f"{format_age(one['last_seen_at'])} ago"]
         for one in firing],
    )  # fmt: skip


def actions() -> None:
    """Each asks a service; what the role may not do is said, not hidden."""
    may_ask = actor.may(Permission.REQUEST_CHANGE)
    first = data.firing(scope, name)
    page_link("request_change", "Return to an earlier version…", icon=":material/undo:", kind="rollback", model=name,
              alert=first[0]["id"] if first else None)  # fmt: skip
    page_link("request_change", "Promote a version…", icon=":material/upgrade:", kind="promote", model=name)
    if not may_ask:
        st.caption("Your role can look at a preview and cannot send it.")
    because = None if actor.may(Permission.COMPUTE_METRICS) else "Your role cannot start computations."
    if action_form(
        "metrics", label="Compute metrics now", object_id=name, digest="-", disabled_because=because
    ):
        perform(
            lambda session, me: request_metrics(session, me, model=name), done="The computation is queued."
        )
    if serving and action_form("explain", label=f"Explain v{serving['version']}", object_id=f"{name}/{serving['version']}",
                               digest="-", disabled_because=because):  # fmt: skip
        perform(lambda session, me: request_explanation(session, me, model=name, version=serving["version"]),
                done="The explanation is queued.")  # fmt: skip
    windows = data.windows(scope, name, str(model["spec"]["window"]))
    filled = windows[windows["rows"] > 0]
    if len(filled) and action_form("report", label="Evidently report of the last window", digest="-", object_id=filled["start"].iloc[-1].isoformat(),
                                   disabled_because=None if actor.may(Permission.WRITE_REPORT) else "Your role cannot have reports written."):  # fmt: skip
        start = filled["start"].iloc[-1].to_pydatetime()
        perform(
            lambda session, me: request_report(session, me, model=name, window_start=start),
            done="The report is queued.",
        )
    for report in data.reports(scope, name)[:5]:
        window = format_when(report["window_start"], viewer_zone()) if report["window_start"] else ""
        st.markdown(
            f"[{report['kind']} report, {window}](/files/{report['id']}) ({report['bytes'] / 1e6:.1f} MB)"
        )
    running()


@live(run_every=2)
def running() -> None:
    """What is being computed for this model now."""
    for run in data.runs_about(data.scope_of(viewer()), name):
        st.progress(float(run["progress"]), text=f"{run['title']}: {run['state']} {run['step']}")


def versions() -> None:
    names = sorted(
        {metric for one in model["versions"] for metric in one["metrics"]}, key=lambda m: (m != "roc_auc", m)
    )[:4]

    def cell(metric: Any) -> str:
        shown = metric.get("value") if isinstance(metric, dict) else metric
        return format_metric(shown)

    table(
        ("version", "state", *(metric_word(one) for one in names), "trained", "rows", "cut-off", "files"),
        [
            [f"v{one['version']}", badge("serves", "ok") if serving and one["version"] == serving["version"] else "",
             *(cell(one["metrics"].get(metric)) for metric in names),
             lines(format_when(one["trained_at"], viewer_zone()), small(one["trained_by_name"] or "")),
             format_count(one["training"].get("rows")), format_metric(one["cutoff"]), small(one["artefact_digest"][7:19])]
            for one in model["versions"]
        ],
        caption="versions with held-out metrics",
    )  # fmt: skip
    marks = [Mark(one["at"], one["text"], one["level"]) for one in data.marks(scope, name)]
    first = min((one["started_at"] for one in model["deployments"]), default=clock.now())
    draw(deployments_timeline(periods(model), now=clock.now(), marks=[m for m in marks if m.at >= first], tz=viewer_zone()),
         "which version served when", key="timeline")  # fmt: skip


def service_levels() -> None:
    found = data.indicators(scope, name)
    if not found:
        empty_state(
            "No service level was read yet", "A job reads them every minute while worker and gateway run."
        )
        return
    table(
        ("indicator", "value", "over", "source", "read"),
        [[one["name"].replace("_", " "), _reading(one), format_age_s(one["window_s"]), one["source"],
          f"{format_age(one['read_at'])} ago"] for one in found],
    )  # fmt: skip


def format_age_s(seconds: int) -> str:
    return f"{seconds // 60} min" if seconds else "since start"


def _reading(one: dict[str, Any]) -> Any:
    if one["value"] is None:
        return lines(badge("no data", "unknown"), small(one["reason"]))
    return (
        format_share(one["value"])
        if one["unit"] in ("share", "ratio")
        else format_metric(one["value"], one["unit"])
    )


def card_and_shap() -> None:
    chosen = pick("Version", [str(one["version"]) for one in model["versions"]], key="version", words=lambda v: f"version {v}",
                  width=160, index=next((i for i, one in enumerate(model["versions"]) if serving and one["version"] == serving["version"]), 0))  # fmt: skip
    if chosen is None:
        empty_state("No version is registered", "Train one, or register one over the API.")
        return
    left, right = st.columns(2, gap="large")
    with right:
        st.subheader(f"What drives v{chosen}", anchor=False)
        found = data.explanation(scope, name, int(chosen))
        if found:
            features = found["features"]
            draw(shap_summary([f["column"] for f in features], [f["mean_abs"] for f in features],
                              direction=[_direction(f.get("direction")) for f in features], rows=found["rows"]),
                 "mean absolute SHAP value of each column", key="shap")  # fmt: skip
            st.caption(f"{found['method']}, computed {format_age(found['computed_at'])} ago")
        else:
            empty_state(
                "No explanation is stored",
                f"Press “Explain” for the serving version; v{chosen} has none yet.",
            )
    with left:
        st.subheader(f"Card of v{chosen}", anchor=False)
        card = data.card(scope, name, int(chosen))
        if card.problem:
            banner(card.problem, "attention", word="card")
        if card.gaps:
            st.html(f"{badge(f'{card.gaps} blanks', 'attention')}")
        key_values(card.facts)
        with st.container(height=520, border=True):
            st.markdown(card.body or "The card is empty.")


def _direction(value: float | None) -> str:
    if value is None:
        return ""
    return "+" if value > 0.3 else "-" if value < -0.3 else "mixed"


main, side = st.columns([7, 3], gap="large")
with main:
    alerts()
    st.subheader("Versions", anchor=False)
    versions()
    st.subheader("Service levels", anchor=False)
    service_levels()
with side, st.container(border=True, key="decide"):
    actions()
card_and_shap()
