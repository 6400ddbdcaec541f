"""What a hold keeps of a model's windows: their profiles and metric points, once they were computed.

Nothing deletes windows. They are replaced when they are computed again, and rows that retention or an erasure took
meanwhile would then be missing from them. A window on hold is computed again from as many rows or more (late rows,
late labels), and never from fewer. Windows of N rows are counted through and not kept so: when rows go, those that are
due are cut anew from what is left. What gateways counted in trials is kept too (`backend.governance.trials`).
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import func, select

from backend.database.session import ReadSession
from backend.holds.service import held
from backend.monitoring.tables import WindowState


def kept_windows(session: ReadSession, model: str, found: Mapping[int, int]) -> frozenset[int]:
    """Which of these windows of a model stay as they are. found: id -> of how many rows it would be now."""
    if held(session, "windows", model) is None:
        return frozenset()
    rows = session.execute(select(WindowState.id, WindowState.rows).where(WindowState.id.in_(found)))
    return frozenset(number for number, before in rows if (before or 0) > found[number])


def windows_of(session: ReadSession, model: str | None) -> tuple[int, bool]:
    """How many windows are computed, of a model or (None) of all, and whether some of them are of N rows."""
    query = select(func.count(), func.max(WindowState.number)).where(WindowState.computed_at.is_not(None))
    if model is not None:
        query = query.where(WindowState.model == model)
    count, highest = session.execute(query).one()
    return count, bool(highest)
