"""Making the counts of objectives coarser with age, and letting the oldest go."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select

from backend.database.session import ReadSession, WriteSession
from backend.slo.counting import KEPT_S, compact_counts
from backend.slo.objectives import WINDOWED
from backend.slo.objectives_service import known_objective
from backend.slo.slots import HOUR
from backend.slo.tables import ObjectiveRevision, SliCount


def objectives_to_compact(session: ReadSession) -> list[str]:
    """Every objective that was counted, retired ones too."""
    return sorted(session.scalars(select(SliCount.objective).distinct()))


def compact_objective(session: WriteSession, key: str, *, now: datetime) -> int:
    """Make one objective's counts as coarse as their age allows. Returns how many rows went.

    Where its calendar's days begin on no full hour of UTC (+05:30), slots stay at five minutes. Those of objectives
    about windows stay as they are: they are few, and a late label counts its window anew.
    """
    row = session.scalars(
        select(ObjectiveRevision)
        .where(ObjectiveRevision.key == key)
        .order_by(ObjectiveRevision.number.desc())
        .limit(1)
    ).one_or_none()
    objective = known_objective(row) if row is not None else None
    if row is not None and objective is None:
        return 0  # its text does not read, so nobody knows how fine its counts have to stay
    if objective is not None and objective.sli.kind in WINDOWED:
        return 0
    hourly, kept_s = True, float(KEPT_S)
    if objective is not None:
        start, end = objective.window.bounds(now)
        rolling = end == now
        kept_s = max(kept_s, objective.window.length_s(now) + 40 * 24.0 * HOUR)
        hourly = rolling or (start.timestamp() % HOUR == 0 and end.timestamp() % HOUR == 0)
    return compact_counts(session, key, now_s=now.timestamp(), kept_s=kept_s, hourly=hourly)
