"""How groups of protected columns were treated: every stored figure of a pack's windows, groups and gaps, as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import select

from backend.database.session import ReadSession
from backend.monitoring.columns import ModelSpec
from backend.monitoring.fairness import KIND
from backend.monitoring.fairness.standing import why_not_compared
from backend.monitoring.tables import MetricPoint, WindowState
from backend.packs.draft import Draft

_COLUMNS: Final = {
    "window_start": "window_start", "attribute": "column", "group": "segment", "measure": "statistic",
    "value": "value", "low": "low", "high": "high", "bound": "threshold", "verdict": "verdict", "rows": "rows",
    "completeness": "completeness", "text": "text", "reason": "reason", "first_value": "first_value",
    "first_computed_at": "first_computed_at", "computed_at": "computed_at",
}  # fmt: skip
"""{column of the file: of the stored point}"""


def add_fairness(
    draft: Draft, session: ReadSession, model: str, spec: ModelSpec, windows: Sequence[WindowState], as_of: datetime,
    folder: str,
) -> None:  # fmt: skip
    """Add `fairness.csv`, or the gap that nothing of the kind was measured. A gap between groups has no `group`."""
    if not spec.protected:
        return
    if why := why_not_compared(spec):
        draft.gap("low", f"Groups of {', '.join(spec.protected)} of {model} were not compared: {why}", folder)
        return
    points: list[MetricPoint] = []
    ids = [one.id for one in windows]
    for at in range(0, len(ids), 100):
        points += session.scalars(
            select(MetricPoint)
            .where(
                MetricPoint.window_id.in_(ids[at : at + 100]), MetricPoint.kind == KIND,
                MetricPoint.first_computed_at < as_of,
            )
            .order_by(MetricPoint.window_start, MetricPoint.column, MetricPoint.segment, MetricPoint.statistic)
        )  # fmt: skip
    if not points:
        draft.gap(
            "medium", f"Groups of {', '.join(spec.protected)} of {model} were compared in no window", folder
        )
        return
    rows = [{name: getattr(one, of) for name, of in _COLUMNS.items()} for one in points]
    draft.add_csv(f"{folder}/fairness.csv", list(_COLUMNS), rows)
