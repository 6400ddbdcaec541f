"""Explanations as pages and the API answer them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backend import clock
from backend.database.session import ReadSession
from backend.explain.figures import ndcg, rank_changes, with_intervals
from backend.explain.tables import AttributionWindow, ShapSummary


def leaning_view(session: ReadSession, found: Sequence[AttributionWindow]) -> list[dict[str, Any]]:
    """Stored windows, the oldest first. `ndcg` and `ranks` are against the version's own explanation on its reference,
    or None where none is stored: then nobody can tell."""
    versions = {(one.model, one.version) for one in found}
    summaries = {key: session.get(ShapSummary, key) for key in versions}
    return [_view(one, _sizes(summaries[one.model, one.version])) for one in found]


def _view(one: AttributionWindow, reference: dict[str, float]) -> dict[str, Any]:
    now = {column["column"]: float(column["mean_abs"]) for column in one.columns}
    known = bool(reference and now)
    return {
        "start": clock.to_iso(one.start), "end": clock.to_iso(one.end), "version": one.version,
        "segment": one.segment, "rows": one.rows, "window_rows": one.window_rows, "reason": one.reason,
        "columns": with_intervals(one.columns),
        "ndcg": ndcg(reference, now) if known else None,
        "ranks": rank_changes(reference, now) if known else [],
    }  # fmt: skip


def _sizes(summary: ShapSummary | None) -> dict[str, float]:
    if summary is None:
        return {}
    return {str(one["column"]): float(one["mean_abs"]) for one in summary.features}
