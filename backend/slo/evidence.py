"""How the objectives of a model stand, as plain data that is frozen with a change and outlives them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import select

from backend import clock
from backend.database.session import ReadSession
from backend.slo.objectives import WINDOWED
from backend.slo.objectives_service import known_objective
from backend.slo.reading import standing_of
from backend.slo.tables import ObjectiveRevision, ObjectiveState
from backend.slo.wording import target_words


def objective_facts(session: ReadSession, model: str, environment: str) -> list[dict[str, Any]]:
    """Every objective that holds for a model there, by name.

    state      ok | breach | no_data; without a judgement no_data
    remaining  the share of its period's budget that is left, negative when overspent; None: nothing was counted
    as_of      the end of the windows it was judged by; None: it was never judged
    windowed   it is about windows of the model, whose labels come late, so `as_of` may be old
    """
    rows = session.scalars(
        select(ObjectiveRevision)
        .where(
            ObjectiveRevision.model == model, ObjectiveRevision.environment == environment,
            ObjectiveRevision.superseded_at.is_(None), ObjectiveRevision.state == "active",
        )
        .order_by(ObjectiveRevision.name)
    ).all()  # fmt: skip
    states = {
        one.objective: one
        for one in session.scalars(
            select(ObjectiveState).where(ObjectiveState.objective.in_([row.key for row in rows]))
        )
    }
    return [_facts(row, states.get(row.key)) for row in rows]


def _facts(row: ObjectiveRevision, state: ObjectiveState | None) -> dict[str, Any]:
    objective = known_objective(row)
    if objective is None:  # nothing is known of it, and no return waits for somebody to mend its text
        return {
            "objective": row.key, "revision": row.number, "name": row.name, "title": row.name, "target": "not known",
            "state": "no_data", "says": "its definition cannot be read", "remaining": None, "as_of": None,
            "windowed": False,
        }  # fmt: skip
    standing = standing_of(row, state)
    judged = state is not None and state.judged_at is not None
    return {
        "objective": row.key, "revision": row.number, "name": row.name, "title": objective.title or row.name,
        "target": target_words(objective), "state": standing.word, "says": standing.says,
        "remaining": state.remaining if judged and state is not None else None,
        "as_of": _iso(state.judged_at if state is not None else None),
        "windowed": objective.sli.kind in WINDOWED,
    }  # fmt: skip


def left_words(remaining: float | None) -> str:
    """`43 % left`, `overspent by 20 %`, `not known`."""
    if remaining is None:
        return "not known"
    return f"{_percent(remaining)} left" if remaining >= 0 else f"overspent by {_percent(-remaining)}"


def _percent(share: float) -> str:
    """Rounded down, so that what is left is never said to be more than it is."""
    return f"{int(share * 1000) / 10:g} %"


def _iso(moment: datetime | None) -> str | None:
    return clock.to_iso(moment) if moment is not None else None
