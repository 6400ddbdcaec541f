"""Service-level objectives: how they stand, and defining them as OpenSLO."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, Field

from backend.api.idempotency import body_of, once
from backend.api.pages import MOST, Part
from backend.api.security import current_actor
from backend.database.session import reading
from backend.errors import BadInput
from backend.identity.actor import Actor
from backend.identity.roles import Permission
from backend.settings import settings
from backend.slo import maintenance as times
from backend.slo import objectives_service as service
from backend.slo.budget_history import MonthReport
from backend.slo.lint import findings_of
from backend.slo.objectives import Objective
from backend.slo.openslo import parse_openslo, read_openslo
from backend.slo.reading import Standing, list_standings, read_detail
from backend.slo.tables import Maintenance, ObjectiveRevision

router = APIRouter(tags=["objectives"])
Caller = Annotated[Actor, Depends(current_actor)]
Body = Annotated[bytes, Depends(body_of)]
Text = Annotated[str, Field(max_length=service.LONGEST_WHY, pattern=r"^[^\x00]*$")]
Document = Annotated[
    str, Field(max_length=service.LONGEST_DOCUMENT, pattern=r"^[^\x00]*$", description="OpenSLO v1, YAML")
]
Seen = Annotated[int, Field(ge=1, lt=2**31, description="the revision you looked at")]
SeenQuery = Annotated[int, Query(ge=1, lt=2**31, description="the revision you looked at")]
WhyQuery = Annotated[str, Query(max_length=service.LONGEST_WHY, pattern=r"^[^\x00]*$")]


class NewObjective(BaseModel):
    document: Document
    why: Text = ""


class ObjectiveChange(NewObjective):
    seen: Seen


class Proposal(BaseModel):
    document: Document


class NewMaintenance(BaseModel):
    starts_at: AwareDatetime
    ends_at: AwareDatetime
    reason: Text
    objective: str | None = Field(
        default=None, description="key of one objective; left out: all of the model"
    )


@router.get("/objectives")
def objectives(
    actor: Caller, part: Part, model: str | None = None, environment: str | None = None
) -> dict[str, Any]:
    """How every objective stands, those in danger first."""
    with reading() as session:
        where = {"model": model, "environment": environment or settings().environment}
        found = list_standings(session, actor, **where, offset=part.offset, limit=part.limit)
        total = service.count_objectives(session, actor, **where)
        return part.counted("objectives", found, _standing, total)


@router.get("/objectives/{objective}")
def one_objective(actor: Caller, objective: str) -> dict[str, Any]:
    """One objective: its definition, its budget over time, and what the last calendar month came to."""
    with reading() as session:
        found = read_detail(session, actor, objective)
        return {
            **_standing(found.standing),
            "document": found.standing.revision.document,
            "history": [
                {"at": point.at, "remaining": point.remaining, "good": point.counts.good, "total": point.counts.total}
                for point in found.history
            ],
            "last_month": _month(found.past_month),
            "this_month": _month(found.this_month),
            "maintenance": [_maintenance(one) for one in found.maintenance],
            "left_out": [asdict(one) for one in found.left_out],
            "revisions": [_revision(row) for row in service.objective_revisions(session, actor, objective, limit=MOST)],
        }  # fmt: skip


@router.post("/objectives/check")
def check_objective(actor: Caller, proposal: Proposal) -> dict[str, Any]:
    """What an OpenSLO text holds, and what is wrong with it or most likely not meant. Stores nothing."""
    actor.require_some(Permission.READ_MODELS)
    found = read_openslo([("document", proposal.document)])
    return {
        "objectives": [one.name for one in found.objectives],
        "findings": [one.as_dict() for one in findings_of(found)],
    }


@router.post("/objectives", status_code=201)
def define_objective(request: Request, actor: Caller, body: Body, new: NewObjective) -> Response:
    """Store an objective; it is counted and judged from the next minute on."""
    return once(
        request, actor, body,
        lambda session: _revision(
            service.define_objective(session, actor, objective=_one(actor, new.document), why=new.why)
        ),
        status=201,
    )  # fmt: skip


@router.put("/objectives/{objective}")
def revise_objective(
    request: Request, actor: Caller, body: Body, objective: str, change: ObjectiveChange
) -> Response:
    """Store another definition of it; `seen` is the revision you looked at."""
    return once(
        request, actor, body,
        lambda session: _revision(
            service.revise_objective(
                session, actor, objective, objective=_one(actor, change.document), seen=change.seen, why=change.why
            )
        ),
    )  # fmt: skip


@router.delete("/objectives/{objective}")
def retire_objective(
    request: Request, actor: Caller, body: Body, objective: str, seen: SeenQuery, why: WhyQuery
) -> Response:
    """Stop judging it; its revisions and counts stay readable."""
    return once(
        request, actor, body,
        lambda session: _revision(service.retire_objective(session, actor, objective, seen=seen, why=why)),
    )  # fmt: skip


@router.get("/models/{model}/maintenance")
def maintenance(actor: Caller, model: str, part: Part, environment: str | None = None) -> dict[str, Any]:
    """Times that do not count against the objectives of a model, newest first."""
    with reading() as session:
        found = times.list_maintenance(
            session, actor, model=model, environment=environment or settings().environment, **part.more
        )
        return part.answer("maintenance", found, _maintenance)


@router.post("/models/{model}/maintenance", status_code=201)
def declare_maintenance(
    request: Request, actor: Caller, body: Body, model: str, new: NewMaintenance, environment: str | None = None
) -> Response:  # fmt: skip
    """Take a span of time out of the model's objectives, or out of one of them."""
    return once(
        request, actor, body,
        lambda session: _maintenance(
            times.declare_maintenance(
                session, actor, model=model, environment=environment or settings().environment,
                starts_at=new.starts_at, ends_at=new.ends_at, reason=new.reason, objective=new.objective,
            )
        ),
        status=201,
    )  # fmt: skip


@router.post("/maintenance/{maintenance_id}/end")
def end_maintenance(request: Request, actor: Caller, body: Body, maintenance_id: int) -> Response:
    """End it now; one that has not begun is withdrawn."""
    return once(
        request,
        actor,
        body,
        lambda session: _maintenance(times.end_maintenance(session, actor, maintenance_id)),
    )


def _one(actor: Actor, document: str) -> Objective:
    """The objective of a text, for somebody who may define one: others learn nothing about their text."""
    actor.require_some(Permission.WRITE_OBJECTIVES)
    found = parse_openslo(document, file="document")
    if len(found) != 1:
        raise BadInput(f"send one objective at a time; this text has {len(found)}", field="document")
    return found[0]


def _standing(one: Standing) -> dict[str, Any]:
    state = one.state
    known = {
        name: None if state is None else getattr(state, name)
        for name in ("since", "judged_at", "remaining", "burn", "exhausted_at", "problem", "figures")
    }
    return {**_revision(one.revision), "standing": one.word, "says": one.says, **known}


def _revision(row: ObjectiveRevision) -> dict[str, Any]:
    return {
        "key": row.key, "revision": row.number, "model": row.model, "environment": row.environment, "name": row.name,
        "state": row.state, "why": row.why, "made_by": row.made_by, "made_at": row.made_at,
    }  # fmt: skip


def _month(found: MonthReport) -> dict[str, Any]:
    return {
        "start": found.start, "end": found.end, "zone": found.zone, "good": found.counts.good,
        "total": found.counts.total, "excluded_s": found.counts.excluded_s, "met": found.met, "spent": found.spent,
        "observed": found.observed, "worst_day": found.worst_day, "worst_day_bad": found.worst_day_bad,
        "alerts": [{"level": level, "fired_at": fired, "resolved_at": over} for level, fired, over in found.alerts],
    }  # fmt: skip


def _maintenance(row: Maintenance) -> dict[str, Any]:
    return {
        "id": row.id, "model": row.model, "environment": row.environment, "objective": row.objective,
        "starts_at": row.starts_at, "ends_at": row.ends_at, "reason": row.reason, "made_by": row.made_by,
        "withdrawn_at": row.withdrawn_at,
    }  # fmt: skip
