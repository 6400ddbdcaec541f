"""The parts of a model's page: alerts, versions, service levels, reports, card and explanation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from app.charts import Mark, deployments_timeline
from app.components.actions import Field, action_form
from app.components.alert_parts import alert_address, alert_window
from app.components.card_parts import show_card_state, show_contradictions, show_lacks
from app.components.charts import draw
from app.components.history import periods
from app.components.links import href, viewer_zone
from app.components.status import empty_state
from app.components.tables import anchor, badge, lines, link, small, table
from app.data.figures import shap_summary
from app.formats import format_age, format_bytes, format_count, format_metric, format_when
from app.plain_text import plain
from app.session import perform, viewer
from app.words import ALERT_LEVELS, metric_word
from backend import clock
from backend.governance.data_owners import declare_data_owner
from backend.identity.roles import Permission
from backend.monitoring.columns import ModelSpec, parse_spec
from backend.monitoring.performance.registry import PRIMARY, unit_of

CLEAR_DIRECTION = 0.3  # below this a higher value neither raises nor lowers the prediction as a rule


def show_alerts(firing: Sequence[Mapping[str, Any]], usual_size: str) -> None:
    """What fires now, with its level and how long; each leads to the window it is about."""
    rows = [
        [
            lines(
                link(one["title"], alert_address(one, usual_size)),
                small(f"{one['kind']} · {alert_window(one, usual_size)}"),
            ),
            badge(one["level"], ALERT_LEVELS.get(one["level"], "unknown")),
            lines(one["fired_at"], small(f"for {format_age(one['fired_at'])}")),
            f"{format_age(one['last_seen_at'])} ago",
        ]
        for one in firing
    ]
    table(("fires now", "level", "noticed", "last seen"), rows, caption="firing alerts")


def show_versions(model: Mapping[str, Any], serving: Mapping[str, Any] | None) -> None:
    """Every version with its first held-out metrics, newest first."""
    if not model["versions"]:
        empty_state(
            "No version is registered", "Train one, or register one with `warrant model register-version`."
        )
        return
    named = {metric for one in model["versions"] for metric in one["metrics"]}
    spec = parse_spec(model["spec"])
    names = sorted(named, key=lambda metric: (metric != PRIMARY[spec.task], metric))[:4]

    def value(name: str, metric: Any) -> str:
        return format_metric(
            metric.get("value") if isinstance(metric, dict) else metric, unit_of(name, spec) if metric else ""
        )

    rows = [
        [
            f"v{one['version']}",
            badge("serves", "champion") if serving and one["version"] == serving["version"] else "",
            *(value(metric, one["metrics"].get(metric)) for metric in names),
            lines(one["trained_at"], small(one["trained_by_name"] or "")),
            format_count(one["training"].get("rows")),
            format_metric(one["cutoff"]),
            small(one["artefact_digest"].removeprefix("sha256:")[:12]),
        ]
        for one in model["versions"]
    ]
    columns = ("version", "", *(metric_word(one) for one in names), "trained", "rows", "cut-off", "files")
    table(columns, rows, caption="versions with held-out metrics")


def offer_data_owner(model: str, version: Mapping[str, Any]) -> None:
    """Whose the training data of a version are, and the form to say so."""
    owner = version["data_owner_name"]
    number = version["version"]
    with st.popover(plain(f"Whose data v{number} was trained on…"), icon=":material/badge:"):
        st.caption(
            plain(f"By the record: {owner or 'nobody'}. A policy can keep them from deciding. ")
            + "What waits for decisions about this version is void when that changes."
        )
        why_not = None
        if not viewer().may(Permission.REGISTER_VERSIONS):
            why_not = "Your role does not register versions."
        sent = action_form(
            "data-owner", label=f"Declare the owner for v{number}", object_id=f"{model}/{number}",
            digest=str(version["data_owner"]), disabled_because=why_not,
            fields=[
                Field("username", "User name of the owner", max_chars=200,
                      help="of a person here; nothing written: nobody's here"),
                Field("why", "How you know", required=True),
            ],
        )  # fmt: skip
    if sent is None:
        return
    done = perform(
        lambda session, me: declare_data_owner(
            session,
            me,
            model,
            number,
            username=str(sent.values["username"] or ""),
            why=str(sent.values["why"]),
        ),
        done=f"It is declared whose the data of v{number} are.",
    )
    if done is not None:
        st.rerun()


def show_timeline(model: Mapping[str, Any], happened: Sequence[Mapping[str, Any]]) -> None:
    """Which version served when, with alerts and incidents since the first."""
    now = clock.now()
    first = min((one["started_at"] for one in model["deployments"]), default=now)
    marks = [Mark(one["at"], one["text"], one["level"]) for one in happened if one["at"] >= first]
    figure = deployments_timeline(periods(model), now=now, marks=marks, tz=viewer_zone())
    draw(figure, "which version served when", key="timeline")


def show_reports(reports: Sequence[Mapping[str, Any]]) -> None:
    """Links to written reports: in the browser, and as a download."""
    for report in reports:
        window = format_when(report["window_start"], viewer_zone()) if report["window_start"] else ""
        size = format_bytes(report["bytes"])
        address = f"/files/{report['id']}"
        st.markdown(
            f"{plain(report['kind'])} report, {plain(window)}: [open]({plain(address)}?open=1), "
            f"[download]({plain(address)}) ({plain(size)})"
        )


def show_explanation(found: Mapping[str, Any] | None, version: str, spec: ModelSpec) -> None:
    """The stored SHAP summary of a version, in the unit of what the model gives."""
    st.header(f"What drives v{version}", anchor=False)
    if found is None:
        empty_state(
            "No explanation is stored", f"Press “Explain v{version}” above; a worker computes it in minutes."
        )
        return
    features = found["features"]
    figure = shap_summary(
        [one["column"] for one in features],
        [one["mean_abs"] for one in features],
        direction=[_direction(one.get("direction")) for one in features],
        rows=found["rows"],
        unit=(spec.label_unit or "the label's unit") if spec.task == "regression" else "log-odds",
    )
    draw(figure, "mean absolute SHAP value of each column", key="shap")
    st.caption(f"{plain(found['method'])}, computed {format_age(found['computed_at'])} ago")


def _direction(value: float | None) -> str:
    if value is None:
        return ""
    if abs(value) < CLEAR_DIRECTION:
        return "mixed"
    return "+" if value > 0 else "-"


def show_card(card: Mapping[str, Any] | None, model: str, version: str) -> None:
    """How the card of a version stands, and where it is read."""
    st.header(f"Card of v{version}", anchor=False)
    if card is None:
        empty_state(
            "This version has no card",
            "Write one.",
            ("Write the card", href("card", model=model, version=version)),
        )
        return
    show_card_state(card)
    show_contradictions(card)
    show_lacks(card, most=5)
    st.html(
        f'<div class="w-take">{anchor(f"Read the card of v{version}", "card", model=model, version=version)}</div>'
    )


CONDITION_LEVELS = {"holds": "ok", "broken": "page", "unknown": "unknown"}


def show_conditions(conditions: Sequence[Mapping[str, Any]]) -> None:
    """What the approval of what serves promised; nothing where it promised nothing."""
    if not conditions:
        return
    st.header("What the approval promised", anchor=False)
    table(
        ("condition", "state", "because", "checked", "agreed with"),
        [
            [one["title"], badge(one["state"], CONDITION_LEVELS.get(one["state"], "unknown")), one["text"] or None,
             f"{format_age(one['checked_at'])} ago" if one["checked_at"] else "not yet",
             anchor(one["change"], "change", id=one["change"].removeprefix("CHG-"))]
            for one in conditions
        ],
        caption="conditions of the approval",
    )  # fmt: skip
