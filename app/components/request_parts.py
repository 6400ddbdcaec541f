"""The parts of the page that asks for a change: which version, and everything the deciders will see of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from app import data
from app.components.change_effects import blast_radius
from app.components.evidence import (
    show_alert,
    show_differences,
    show_live,
    show_metrics,
    show_policy,
    unresolved,
)  # fmt: skip
from app.components.explanation_parts import show_explanations
from app.components.facts import key_values
from app.components.pickers import pick
from app.components.precedent_parts import show_drift, show_objectives
from app.components.tables import badge, open_point, table
from app.data import Scope
from app.plain_text import plain
from backend.deployment.segments import read_segments, routable
from backend.errors import WarrantError
from backend.governance.kinds import Asked
from backend.monitoring.columns import parse_spec

HEALTH = {
    True: ("served healthily", "settled"),
    False: ("did not", "attention"),
    None: ("not known", "unknown"),
}


def pick_version(scope: Scope, kind: str, model: str, alert_id: int | None) -> str | None:
    """The version to go to (`?to=`), first the one that is proposed; None where there is no other than what serves."""
    found = data.model(scope, model)
    serving = next(
        (one for one in found["deployments"] if one["ended_at"] is None and one["role"] == "champion"), None
    )
    versions = [
        str(one["version"])
        for one in found["versions"]
        if serving is None or one["version"] != serving["version"]
    ]
    proposed = _proposed(scope, kind, model, alert_id)
    if proposed in versions:
        versions.remove(proposed)
        versions.insert(0, proposed)
    label = "Return to" if kind == "rollback" else "Promote"
    return pick(label, versions, key="to", words=lambda version: f"version {version}", width=200)


def _proposed(scope: Scope, kind: str, model: str, alert_id: int | None) -> str | None:
    """Of a rollback: the last version that served healthily. Where there is none that is said."""
    if kind != "rollback":
        return None
    try:
        return str(
            data.preview(scope, Asked(kind, data.environment(), model, alert_id=alert_id))["to_version"]
        )
    except WarrantError as error:
        st.info(f"{plain(error.title)}. {plain(error.message)}")
        return None


def pick_segments(scope: Scope, preview: Mapping[str, Any]) -> dict[str, Any]:
    """As the subject of a promotion: the segments to try it on first, where its rule has whoever asks name them."""
    if not preview["policy"]["rollout"].get("segments_on_request") or preview["from_version"] is None:
        return {}
    spec = parse_spec(data.model(scope, preview["model"])["spec"])
    columns = routable(spec)
    if not columns:
        st.caption("This model has no segment column that a request could be told apart by.")
        return {}
    windows = data.windows(scope, preview["model"], spec.window)
    since = windows["start"].min().to_pydatetime() if len(windows) else None
    known = data.segments(scope, preview["model"], spec.window, ("drift", "prediction"), since=since)
    chosen = st.multiselect(
        "Try it first on rows of these segments alone",
        [one for one in known if one.split("=")[0] in columns and not one.endswith(("=other", "=missing"))],
        accept_new_options=True, key="segments", placeholder=f"all rows, or {columns[0]}=value",
    )  # fmt: skip
    return {"segments": read_segments(chosen)} if chosen else {}


def show_wanted(preview: Mapping[str, Any], model: str) -> None:
    """What is not settled, the versions one could return to, and the evidence."""
    evidence = preview["evidence"]
    for point in unresolved(preview):
        open_point(point)
    if preview["candidates"]:
        table(
            ("earlier version", "while it served", "because"),
            [
                [f"v{one['version']}", badge(*HEALTH[one["healthy"]]), one["because"]]
                for one in preview["candidates"]
            ],
        )
    reach = blast_radius(evidence)
    if reach is not None:
        key_values({"blast radius": reach})
    st.header("Before and after", anchor=False)
    show_metrics(evidence)
    show_objectives(evidence)
    show_drift(evidence)
    st.header("Both in service", anchor=False)
    show_live(evidence)
    if evidence.get("alert"):
        st.markdown("**The alert it answers**")
        show_alert(evidence)
    show_explanations(evidence, model, pending=True, bind="looking at this page again")
    with st.expander("Parameters, data and card: what differs", expanded=True):
        show_differences(evidence)
    with st.expander("Policy, and what a decision is bound to"):
        show_policy(preview["policy"], preview["bound"], preview["digest"])
