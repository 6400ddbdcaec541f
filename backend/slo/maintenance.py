"""Maintenance: spans of time that do not count against an objective, with their reason, shown wherever they matter."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import or_, select

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput, Conflict, NotFound
from backend.governance.direct_edits import refuse_direct_edit
from backend.identity.actor import Actor
from backend.identity.reach import allow, see
from backend.identity.roles import Permission
from backend.registry.service import get_model
from backend.slo.counting import mark_maintenance
from backend.slo.left_out import left_out
from backend.slo.objectives_service import get_objective, list_objectives, objective_of
from backend.slo.tables import Maintenance

LONGEST: Final = timedelta(days=14)
FURTHEST_BACK: Final = timedelta(days=31)
LONGEST_REASON: Final = 2000


def declare_maintenance(
    session: WriteSession,
    actor: Actor,
    *,
    model: str,
    environment: str,
    starts_at: datetime,
    ends_at: datetime,
    reason: str,
    objective: str | None = None,
) -> Maintenance:
    """Take a span of time out of one objective (by its key), or out of all objectives of a model.

    It may lie in the past: then budgets are counted anew without it, and the audit log says who asked for that.
    """
    allow(session, actor, Permission.WRITE_OBJECTIVES)
    found = get_model(session, actor, model)
    refuse_direct_edit(session, actor, found, environment, what="objectives")
    now = clock.now()
    if not reason.strip() or len(reason) > LONGEST_REASON:
        raise BadInput(
            f"write why this time does not count, in at most {LONGEST_REASON} characters", field="reason"
        )
    if not starts_at < ends_at <= starts_at + LONGEST:
        raise BadInput(
            f"maintenance ends after it starts and lasts at most {LONGEST.days} days", field="ends_at"
        )
    if starts_at < now - FURTHEST_BACK or ends_at > now + timedelta(days=366):
        raise BadInput(
            f"maintenance starts at most {FURTHEST_BACK.days} days ago and ends within a year",
            field="starts_at",
        )
    if objective is not None and get_objective(session, actor, objective).model != model:
        raise NotFound(f"{model} has no such objective that you may see")
    row = Maintenance(
        model=model, environment=environment, objective=objective, starts_at=starts_at, ends_at=ends_at,
        reason=reason.strip(), made_by=actor.person_row, made_at=now,
    )  # fmt: skip
    session.add(row)
    session.flush()
    _recount(session, actor, row, until=ends_at)
    record(
        session, actor, Action.MAINTENANCE_DECLARED, object_kind="maintenance", object_id=row.id, why=row.reason,
        payload={"model": model, "environment": environment, "objective": objective,
                 "starts_at": clock.to_iso(starts_at), "ends_at": clock.to_iso(ends_at)},
    )  # fmt: skip
    return row


def end_maintenance(session: WriteSession, actor: Actor, maintenance_id: int) -> Maintenance:
    """End it now; one that has not begun is withdrawn. Doing it again does nothing."""
    allow(session, actor, Permission.WRITE_OBJECTIVES)
    see(session, actor)
    row = session.get(Maintenance, maintenance_id)
    if row is None:
        raise NotFound("there is no such maintenance that you may see")
    found = get_model(session, actor, row.model)
    refuse_direct_edit(session, actor, found, row.environment, what="objectives")
    now = clock.now()
    if row.withdrawn_at is not None:
        return row
    if row.ends_at <= now:
        raise Conflict("this maintenance is over; what it took out stays out")
    until = row.ends_at
    if row.starts_at >= now:
        row.withdrawn_at = now
    else:
        row.ends_at = now
    session.flush()
    _recount(session, actor, row, until=until)
    record(
        session, actor, Action.MAINTENANCE_ENDED, object_kind="maintenance", object_id=row.id,
        payload={"model": row.model, "environment": row.environment, "withdrawn": row.withdrawn_at is not None},
    )  # fmt: skip
    return row


def list_maintenance(
    session: ReadSession,
    viewer: Actor,
    *,
    model: str,
    environment: str,
    objective: str | None = None,
    since: datetime | None = None,
    limit: int | None = None,
    offset: int = 0,
) -> list[Maintenance]:
    """What was declared for a model, or what counts for one of its objectives; newest first."""
    get_model(session, viewer, model)
    query = select(Maintenance).where(Maintenance.model == model, Maintenance.environment == environment)
    if objective is not None:
        query = query.where(or_(Maintenance.objective.is_(None), Maintenance.objective == objective))
    if since is not None:
        query = query.where(Maintenance.ends_at >= since)
    return list(
        session.scalars(
            query.order_by(Maintenance.starts_at.desc(), Maintenance.id.desc()).limit(limit).offset(offset)
        )
    )


def _recount(session: WriteSession, actor: Actor, row: Maintenance, *, until: datetime) -> None:
    rows = list_objectives(session, actor, model=row.model, environment=row.environment)
    objectives = {one.key: objective_of(one) for one in rows if row.objective in (None, one.key)}
    for key, spans in left_out(session, objectives).items():
        mark_maintenance(session, key, spans, start_s=row.starts_at.timestamp(), end_s=until.timestamp())
