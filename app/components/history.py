"""What happened to a model, in the shapes that charts take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pandas as pd

from app import data
from app.charts import Mark, Period
from app.charts.marks import Happened
from backend.deployment.segments import in_words


def switches(model: Mapping[str, Any]) -> list[tuple[datetime, str]]:
    """When each champion began to serve."""
    return [
        (one["serving_at"] or one["started_at"], f"v{one['version']}")
        for one in model["deployments"]
        if one["role"] == "champion" and one["state"] != "failed"
    ]


def periods(model: Mapping[str, Any]) -> list[Period]:
    """Deployments for the timeline. A failed one is named as such."""
    return [
        Period(
            f"v{one['version']}", one["role"], one["serving_at"] or one["started_at"], one["ended_at"],
            one["share"] if one["role"] == "canary" else None, in_words(one["segments"]),
        )
        for one in model["deployments"]
    ]  # fmt: skip


def marks_of(happened: Sequence[Mapping[str, Any]], windows: pd.DataFrame) -> list[Mark]:
    """Alerts and incidents within the windows, and the windows that hold rows of an injected fault."""
    if windows.empty:
        return []
    first, last = windows["start"].min(), windows["end"].max()
    marks = [Mark(one["at"], one["text"], one["level"]) for one in happened if first <= one["at"] <= last]
    touched = windows[windows["injected_rows"] > 0]
    return marks + [
        Mark(row.start.to_pydatetime(), f"{row.injected_rows:,} rows of an injected fault", "injected")
        for row in touched.itertuples()
    ]


def happened_to(
    happened: Sequence[Mapping[str, Any]], model: Mapping[str, Any], windows: pd.DataFrame
) -> Happened:
    """All that figures over these windows are marked with."""
    return Happened(switches(model), marks_of(happened, windows))


def deployments_of(scope: data.Scope, model: str) -> Happened:
    """Champions, incidents and alerts of a model by its name, whatever windows it has."""
    marks = [Mark(one["at"], one["text"], one["level"]) for one in data.marks(scope, model)]
    return Happened(switches(data.model(scope, model)), marks)
