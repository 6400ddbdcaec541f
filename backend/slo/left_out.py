"""Which times do not count for objectives: what was declared for them, and planned work that was declared for alerts.

Planned work (`backend.alerting.silences`, purpose maintenance) of a whole model is declared once and holds for both:
its alerts are muted, and its objectives leave the time out, from when it was declared on. What is declared afterwards
undoes no failure. Where the policy lets nobody set objectives directly, it mutes alerts and takes nothing out of
budgets. An objective that says so (`counts_maintenance`) counts both kinds; what was declared for it alone is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from backend.alerting.silences import planned_work
from backend.alerting.tables import Silence
from backend.database.session import ReadSession
from backend.governance.direct_edits import why_only_by_change
from backend.registry.tables import Model
from backend.slo.objectives import Objective
from backend.slo.tables import Maintenance


@dataclass(frozen=True)
class LeftOut:
    """[starts_at, ends_at) and why it does not count. about: objective | model | planned work."""

    starts_at: datetime
    ends_at: datetime
    reason: str
    about: str


def left_out(session: ReadSession, objectives: Mapping[str, Objective]) -> dict[str, list[LeftOut]]:
    """{objective by key: what does not count for it, the newest first}."""
    declared: dict[tuple[str, str], list[Maintenance]] = {}
    for row in session.scalars(select(Maintenance).where(Maintenance.withdrawn_at.is_(None))):
        declared.setdefault((row.model, row.environment), []).append(row)
    planned = _planned(session, {(one.model, one.environment) for one in objectives.values()})
    return {
        key: _of_one(key, one, declared.get(place, ()), planned.get(place, ()))
        for key, one in objectives.items()
        for place in ((one.model, one.environment),)
    }


def _of_one(
    key: str,
    objective: Objective,
    declared: list[Maintenance] | tuple[()],
    planned: list[Silence] | tuple[()],
) -> list[LeftOut]:
    found = [
        LeftOut(one.starts_at, one.ends_at, one.reason, "objective" if one.objective else "model")
        for one in declared
        if one.objective == key or (one.objective is None and not objective.counts_maintenance)
    ]
    if not objective.counts_maintenance:
        found += [
            LeftOut(start, end, one.comment, "planned work")
            for one in planned
            for start, end in ((max(one.starts_at, one.created_at), one.ended_at or one.ends_at),)
            if start < end
        ]
    return sorted(found, key=lambda one: one.starts_at, reverse=True)


def _planned(session: ReadSession, places: set[tuple[str, str]]) -> dict[tuple[str, str], list[Silence]]:
    """Planned work by model and environment, without what an approved change alone may take out."""
    found: dict[tuple[str, str], list[Silence]] = {}
    for row in planned_work(session):
        for model, environment in places:
            if row.model == model and row.environment in (None, environment):
                found.setdefault((model, environment), []).append(row)
    return {place: rows for place, rows in found.items() if not _is_guarded(session, *place)}


def _is_guarded(session: ReadSession, model: str, environment: str) -> bool:
    row = session.get(Model, model)
    return row is None or why_only_by_change(session, row, environment, what="objectives") is not None
