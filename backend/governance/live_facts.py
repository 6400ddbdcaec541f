"""How far a change of what serves reaches, and what comes in now: frozen with its evidence, whatever its rule asks for.

Where a rule names no gate, as of most returns, this and the last windows are all that is known when people decide.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from sqlalchemy import select

from backend import clock
from backend.database.session import ReadSession
from backend.governance.stored_points import newest_windows, points_of
from backend.monitoring.columns import ModelSpec
from backend.monitoring.tables import MetricPoint, WindowState

LOOK_BACK: Final = timedelta(days=28)
MOST_FEATURES: Final = 12


def decisions_a_day(session: ReadSession, spec: ModelSpec, model: str, environment: str) -> float | None:
    """How many rows were answered a day over the last four weeks of windows that are over; None: no window is."""
    now = clock.now()
    found = session.execute(
        select(WindowState.start, WindowState.end, WindowState.rows).where(
            WindowState.model == model, WindowState.environment == environment, WindowState.size == spec.window,
            WindowState.end <= now, WindowState.end > now - LOOK_BACK,
        )
    ).all()  # fmt: skip
    if not found:
        return None
    first, last = min(row.start for row in found), max(row.end for row in found)
    days = (last - first) / timedelta(days=1)
    return sum(row.rows for row in found) / days if days > 0 else None


def drift_facts(session: ReadSession, spec: ModelSpec, model: str, environment: str) -> dict[str, Any]:
    """How each feature drifts in the newest window that was computed, those that alarm first, then the heaviest.

    Against the reference of the version that served the window, which need not be the one that is proposed: `version`.
    """
    windows = newest_windows(session, model, environment, spec, count=1)
    if not windows:
        return {"known": False, "why": "no finished window has been computed yet"}
    window, features = windows[0], {column.name for column in spec.features}
    points = [one for one in points_of(session, windows, "drift") if one.column in features]
    judged = {one.column: one for one in sorted(points, key=_calm_first) if one.verdict in ("ok", "alarm")}
    shown = sorted(
        judged.values(), key=lambda one: (one.verdict != "alarm", -(one.importance or 0), one.column)
    )
    return {
        "known": bool(judged), "why": "" if judged else "no feature could be judged in it",
        "from": clock.to_iso(window.start), "until": clock.to_iso(window.end), "version": window.version,
        "rows": window.rows, "judged": len(judged), "not_judged": sorted(features - judged.keys()),
        "drifting": sorted(name for name, one in judged.items() if one.verdict == "alarm"),
        "features": [
            {"column": one.column, "statistic": one.statistic, "value": one.value, "limit": one.threshold,
             "verdict": one.verdict, "importance": one.importance}
            for one in shown[:MOST_FEATURES]
        ],
    }  # fmt: skip


def _calm_first(point: MetricPoint) -> bool:
    """So that of several statistics of a column the one that alarms stands for it."""
    return point.verdict == "alarm"
