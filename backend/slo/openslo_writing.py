"""Objectives as OpenSLO v1: what is read back from it equals what was written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from backend.governance.yaml_text import write_yaml
from backend.slo.alert_row_text import write_rows
from backend.slo.durations import write_duration
from backend.slo.objectives import Objective, default_minimum_events, default_rows
from backend.slo.openslo_meaning import ALERT_ROWS, ENVIRONMENT, MAINTENANCE, MINIMUM_EVENTS
from backend.slo.openslo_schema import VERSION
from backend.slo.openslo_sources import source_of
from backend.slo.windows import Calendar, Window


def write_openslo(objectives: Iterable[Objective]) -> str:
    """YAML with one SLO for each objective, divided by `---`."""
    return "---\n".join(write_yaml(openslo_of(one)) for one in objectives)


def openslo_of(objective: Objective) -> dict[str, Any]:
    """One objective as plain data: what JSON and YAML can hold."""
    sli, terms = source_of(objective.sli)
    target: dict[str, Any] = {**terms, "target": float(objective.target)}
    if objective.slice_target is not None:
        target["timeSliceTarget"] = float(objective.slice_target)
    if objective.slice_s is not None:
        target["timeSliceWindow"] = write_duration(objective.slice_s)
    spec: dict[str, Any] = {"description": objective.description} if objective.description else {}
    spec |= {
        "service": objective.model,
        "indicator": {"metadata": {"name": objective.name}, "spec": sli},
        "timeWindow": [_window(objective.window)],
        "budgetingMethod": objective.budgeting.value,
        "objectives": [target],
    }
    return {"apiVersion": VERSION, "kind": "SLO", "metadata": _metadata(objective), "spec": spec}


def _metadata(objective: Objective) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": objective.name}
    if objective.title:
        metadata["displayName"] = objective.title
    if objective.labels:
        metadata["labels"] = {
            name: values[0] if len(values) == 1 else list(values) for name, values in objective.labels
        }
    kind = objective.sli.kind
    annotations = {ENVIRONMENT: objective.environment}
    if objective.rows != default_rows(kind):
        annotations[ALERT_ROWS] = write_rows(objective.rows)
    if objective.minimum_events != default_minimum_events(kind):
        annotations[MINIMUM_EVENTS] = str(objective.minimum_events)
    if objective.counts_maintenance:
        annotations[MAINTENANCE] = "counted"
    return metadata | {"annotations": annotations}


def _window(window: Window) -> dict[str, Any]:
    if isinstance(window, Calendar):
        return {
            "duration": f"{window.count}{window.unit}",
            "calendar": {"startTime": window.start.isoformat(" "), "timeZone": window.zone},
            "isRolling": False,
        }
    return {"duration": write_duration(window.hours * 3600), "isRolling": True}
