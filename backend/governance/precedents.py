"""What earlier changes showed of the versions of a change: trials on live traffic, and both on the same rows."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import select

from backend import clock
from backend.database.session import ReadSession
from backend.deployment.tables import Deployment
from backend.governance.tables import Change, RolloutStep

MOST_TRIALS: Final = 10
MOST_CHANGES: Final = 200
Served = tuple[int, float | None]  # a version and the cut-off it decides from


def trials_of(session: ReadSession, model: str, environment: str, version: int) -> list[dict[str, Any]]:
    """Stages of earlier rollouts in which a version was tried on live requests, newest first: as a shadow, a canary or
    a challenger, with what was counted of it and of the champion at the same time."""
    found = session.execute(
        select(RolloutStep, Change.id, Deployment.segments)
        .join(Change, Change.id == RolloutStep.change_id)
        .outerjoin(Deployment, Deployment.id == RolloutStep.deployment_id)
        .where(
            Change.model == model, Change.environment == environment, Change.to_version == version,
            RolloutStep.role != "champion", RolloutStep.started_at.is_not(None),
        )
        .order_by(RolloutStep.change_id.desc(), RolloutStep.number.desc())
        .limit(MOST_TRIALS)
    ).all()  # fmt: skip
    return [
        {
            "change_id": change_id, "role": one.role, "share": one.share, "segments": segments or {},
            "verdict": one.verdict,
            "started_at": clock.to_iso(one.started_at) if one.started_at else None,
            "finished_at": clock.to_iso(one.finished_at) if one.finished_at else None,
            "analysis": one.analysis,
        }
        for one, change_id, segments in found
    ]  # fmt: skip


def compared_before(
    session: ReadSession, model: str, environment: str, before: Served, after: Served
) -> dict[str, Any] | None:
    """The newest earlier change that counted who flips between the same two, in either direction; None where none did.

    "reverse" says that it went the other way. Its numbers are told as they were: on the rows of its day.
    """
    for one in session.scalars(
        select(Change)
        .where(
            Change.model == model, Change.environment == environment, Change.gates_at.is_not(None),
            Change.to_version.in_((before[0], after[0])),
        )
        .order_by(Change.id.desc())
        .limit(MOST_CHANGES)
    ):  # fmt: skip
        pair = ((one.from_version, one.from_cutoff), (one.to_version, one.to_cutoff))
        flips = one.evidence.get("flips") or {}
        if pair not in ((before, after), (after, before)) or not flips.get("known"):
            continue
        assert one.gates_at is not None  # noqa: S101 - asked for above
        return {
            "change_id": one.id, "at": clock.to_iso(one.gates_at), "reverse": pair != (before, after),
            "from_version": one.from_version, "to_version": one.to_version, "flips": flips,
        }  # fmt: skip
    return None
