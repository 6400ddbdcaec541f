"""The parts of a model's page: alerts, versions, service levels, reports, card and explanation."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st
from markupsafe import Markup

from app.charts import Mark, deployments_timeline, shap_summary
from app.components.alert_parts import alert_address, alert_window
from app.components.charts import draw
from app.components.facts import key_values
from app.components.history import periods
from app.components.links import viewer_zone
from app.components.status import banner, empty_state
from app.components.tables import badge, lines, link, small, table
from app.formats import format_age, format_count, format_metric, format_share, format_when
from app.words import ALERT_LEVELS, count_of, metric_word
from backend import clock
from backend.cards.reading import Card
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
            lines(format_when(one["fired_at"], viewer_zone()), small(f"for {format_age(one['fired_at'])}")),
            f"{format_age(one['last_seen_at'])} ago",
        ]
        for one in firing
    ]
    table(("fires now", "level", "noticed", "last seen"), rows, caption="firing alerts")


def show_versions(model: Mapping[str, Any], serving: Mapping[str, Any] | None) -> None:
    """Every version with its first held-out metrics, newest first."""
    if not model["versions"]:
        empty_state("No version is registered", "Train one, or register one over the API.")
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
            badge("serves", "ok") if serving and one["version"] == serving["version"] else "",
            *(value(metric, one["metrics"].get(metric)) for metric in names),
            lines(format_when(one["trained_at"], viewer_zone()), small(one["trained_by_name"] or "")),
            format_count(one["training"].get("rows")),
            format_metric(one["cutoff"]),
            small(one["artefact_digest"].removeprefix("sha256:")[:12]),
        ]
        for one in model["versions"]
    ]
    columns = ("version", "", *(metric_word(one) for one in names), "trained", "rows", "cut-off", "files")
    table(columns, rows, caption="versions with held-out metrics")


def show_timeline(model: Mapping[str, Any], happened: Sequence[Mapping[str, Any]]) -> None:
    """Which version served when, with alerts and incidents since the first."""
    now = clock.now()
    first = min((one["started_at"] for one in model["deployments"]), default=now)
    marks = [Mark(one["at"], one["text"], one["level"]) for one in happened if one["at"] >= first]
    figure = deployments_timeline(periods(model), now=now, marks=marks, tz=viewer_zone())
    draw(figure, "which version served when", key="timeline")


def show_indicators(found: Sequence[Mapping[str, Any]]) -> None:
    """Service levels as last read, with their source; one that could not be read says why."""
    if not found:
        empty_state(
            "No service level was read yet", "A job reads them every minute while worker and gateway run."
        )
        return

    def value(one: Mapping[str, Any]) -> str | Markup:
        if one["value"] is None:
            return lines(badge("no data", "unknown"), small(one["reason"]))
        return (
            format_share(one["value"]) if one["unit"] == "share" else format_metric(one["value"], one["unit"])
        )

    rows = [
        [
            one["name"].replace("_", " "),
            value(one),
            f"{one['window_s'] // 60} min" if one["window_s"] else "since its start",
            one["source"],
            f"{format_age(one['read_at'])} ago",
        ]
        for one in found
    ]
    table(("indicator", "value", "over", "source", "read"), rows, caption="service levels")


def show_reports(reports: Sequence[Mapping[str, Any]]) -> None:
    """Links to written reports: in the browser, and as a download."""
    for report in reports:
        window = format_when(report["window_start"], viewer_zone()) if report["window_start"] else ""
        size = f"{report['bytes'] / 1e6:.1f} MB"
        address = f"/files/{report['id']}"
        st.markdown(
            f"{report['kind']} report, {window}: [open]({address}?open=1), [download]({address}) ({size})"
        )


def show_explanation(found: Mapping[str, Any] | None, version: str, spec: ModelSpec) -> None:
    """The stored SHAP summary of a version, in the unit of what the model gives."""
    st.subheader(f"What drives v{version}", anchor=False)
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
    st.caption(f"{found['method']}, computed {format_age(found['computed_at'])} ago")


def _direction(value: float | None) -> str:
    if value is None:
        return ""
    if abs(value) < CLEAR_DIRECTION:
        return "mixed"
    return "+" if value > 0 else "-"


def show_card(card: Card, version: str) -> None:
    """The card of a version: front matter, then its text as Markdown without HTML."""
    st.subheader(f"Card of v{version}", anchor=False)
    if card.problem:
        banner(card.problem, "attention", word="card")
    if card.gaps:
        st.html(badge(f"{count_of(card.gaps, 'field')} left blank", "attention"))
    if card.facts:
        key_values(card.facts)
    if card.body:
        with st.container(height=520, border=True):
            st.markdown(demoted(card.body, below=3))


def demoted(text: str, *, below: int) -> str:
    """Markdown whose headings lie below a heading of that level: a card begins with a title of its own, and a page has
    one. What is in fences of code stays as it is."""
    lines, fence = [], ""
    for line in text.splitlines():
        mark = re.match(r" {0,3}(`{3,}|~{3,})", line)
        if mark and not fence:
            fence = mark[1]
        elif mark and mark[1].startswith(fence) and not line.strip(" `~"):
            fence = ""
        heading = None if fence or mark else re.match(r" {0,3}(#{1,6})(?=\s|$)", line)
        if heading:
            line = "#" * min(len(heading[1]) + below, 6) + line[heading.end() :]  # noqa: PLW2901
        lines.append(line)
    return "\n".join(lines)
