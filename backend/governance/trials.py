"""What is left of rollouts that are over: counts of each stage, and what shadows scored. Kept for a while.

What a stage was judged by stays with the change (`rollout_steps.analysis`); what goes is what that was read from.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, select

from backend.database.session import ReadSession, WriteSession
from backend.deployment.tables import Deployment, ServingTally
from backend.governance import machine
from backend.governance.kinds import kinds
from backend.governance.tables import Change
from backend.holds.service import open_holds
from backend.holds.tables import EVERYTHING
from backend.registry.tables import Model


def delete_tallies(session: WriteSession, *, before: datetime) -> int:
    """Delete counts of trials that ended before a moment and whose change is over, but for models whose
    windows are on hold; gives how many rows."""
    kept = open_holds(session, "windows")
    if any(one.object_id == EVERYTHING for one in kept):
        return 0
    done = (
        select(Deployment.id)
        .outerjoin(Change, Change.id == Deployment.change_id)
        .where(
            Deployment.ended_at < before,
            Change.id.is_(None) | Change.state.not_in(machine.OPEN),
            Deployment.model.not_in(models_on_trial(session)),
            *(Deployment.model != one.object_id for one in kept),
        )
    )
    found = session.execute(delete(ServingTally).where(ServingTally.tried.in_(done)))
    return int(found.rowcount)  # type: ignore[attr-defined]


def models_on_trial(session: ReadSession) -> list[str]:
    """Models of which something is tried beside the champion, or a change of what serves is open: it may be shown
    what was counted and scored before."""
    beside = select(Deployment.model).where(Deployment.role != "champion", Deployment.ended_at.is_(None))
    rolled_out = [name for name, kind in kinds().items() if kind.rollout]
    changing = select(Change.model).where(
        Change.model.is_not(None), Change.kind.in_(rolled_out), Change.state.in_(machine.OPEN)
    )
    return sorted(set(session.scalars(beside)) | {str(name) for name in session.scalars(changing)})


def models_with_old_shadows(session: ReadSession) -> list[str]:
    """Models whose shadow predictions nothing that is open may still ask for."""
    busy = set(models_on_trial(session))
    return [name for name in session.scalars(select(Model.name).order_by(Model.name)) if name not in busy]
