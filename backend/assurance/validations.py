"""Recording what a validation found, and accepting that its conditions are met."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import select

from backend import clock
from backend.assurance.documents import require_document
from backend.assurance.hands import builders_and_owners, owner_of
from backend.assurance.tables import Validation, ValidationCondition
from backend.assurance.texts import day_ahead, written
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput, NotAllowed, NotFound
from backend.identity.actor import Actor
from backend.identity.reach import allow
from backend.identity.roles import Permission
from backend.registry.inventory import require_known
from backend.registry.service import get_model
from backend.registry.tables import Model

OUTCOMES: Final[dict[str, str]] = {
    "fit": "fit for its purpose",
    "fit_with_conditions": "fit under conditions",
    "not_fit": "not fit for its purpose",
}
MOST_CONDITIONS: Final = 50


class NotIndependent(NotAllowed):
    """Who built or owns a model does not vouch for it. `details` say which it is."""

    title = "Not independent"


@dataclass(frozen=True)
class NewCondition:
    """What has to be done by when."""

    text: str
    due_at: datetime


def record_validation(
    session: WriteSession,
    actor: Actor,
    *,
    model: str,
    version: int | None,
    scope: str,
    outcome: str,
    summary: str,
    report: str,
    conditions: Sequence[NewCondition] = (),
    next_review_at: datetime | None = None,
) -> Validation:
    """Record a validation of a version, or of the model as a whole, by the actor, with the digest of its report.

    Raises `NotIndependent` for whoever owns the model, trained what is validated or owns its data, with any account of
    theirs; `BadInput` where outcome and conditions contradict one another.
    """
    allow(session, actor, Permission.VALIDATE)
    found = get_model(session, actor, model)
    if version is not None:
        require_known(session, actor, model, version)
    barred = require_independent(session, actor, found, version)
    if outcome not in OUTCOMES:
        raise BadInput(f"an outcome is one of {', '.join(OUTCOMES)}, not {outcome!r}", field="outcome")
    if (outcome == "fit_with_conditions") != bool(conditions):
        raise BadInput(
            "name the conditions of a model that is fit under conditions, and none of another",
            field="conditions",
        )
    if len(conditions) > MOST_CONDITIONS:
        raise BadInput(f"a validation has at most {MOST_CONDITIONS} conditions", field="conditions")
    document = require_document(session, report)
    validation = Validation(
        model=model, version=version, scope=written(scope, "scope"), outcome=outcome,
        summary=written(summary, "summary"), report=document.digest, validator=actor.person_id, barred=barred,
        recorded_at=clock.now(),
        next_review_at=day_ahead(next_review_at, "next_review_at") if next_review_at else None,
        conditions=[
            ValidationCondition(text=written(one.text, "condition"), due_at=day_ahead(one.due_at, "due_at"))
            for one in conditions
        ],
    )  # fmt: skip
    session.add(validation)
    session.flush()
    record(
        session, actor, Action.VALIDATION_RECORDED, object_kind="validation", object_id=validation.id,
        payload={
            "model": model, "version": version, "outcome": outcome, "scope": validation.scope, "report": report,
            "conditions": [
                {"id": one.id, "text": one.text, "due_at": clock.to_iso(one.due_at)} for one in validation.conditions
            ],
            "next_review_at": clock.to_iso(next_review_at) if next_review_at else None, "barred": barred,
        },
        why=validation.summary,
    )  # fmt: skip
    return validation


def meet_condition(
    session: WriteSession, actor: Actor, condition_id: int, *, evidence: str, document: str | None = None
) -> ValidationCondition:
    """Accept that a condition is met, with the evidence for it. Who built or owns the model does not accept.

    Also a lapsed one is met this way; that it was late stays on the record.
    """
    allow(session, actor, Permission.VALIDATE)
    condition = session.get(ValidationCondition, condition_id, with_for_update=True)
    if condition is None:
        raise NotFound(f"there is no condition {condition_id} that you may see")
    validation = session.get_one(Validation, condition.validation_id)
    model = get_model(session, actor, validation.model)
    require_independent(session, actor, model, validation.version)
    if condition.met_at is not None:
        return condition
    if document is not None:
        require_document(session, document)
    condition.evidence, condition.document = written(evidence, "evidence"), document
    condition.met_at, condition.met_by = clock.now(), actor.person_id
    session.flush()
    record(
        session, actor, Action.CONDITION_MET, object_kind="validation", object_id=validation.id,
        payload={"condition": condition.id, "model": validation.model, "document": document,
                 "late": condition.met_at > condition.due_at},
        why=condition.evidence,
    )  # fmt: skip
    return condition


def require_independent(
    session: ReadSession, actor: Actor, model: Model, version: int | None
) -> dict[str, str]:
    """Everybody who could not vouch for it, by id; `NotIndependent` where the actor is one of them."""
    barred = builders_and_owners(session, model, version)
    mine = {*actor.people, *(owner_of(session, one) for one in actor.people)}
    reasons = sorted({barred[one] for one in mine if one in barred})
    if reasons:
        raise NotIndependent(
            f"somebody else has to vouch for {model.name}: you are who {' and '.join(reasons)}",
            reasons=reasons,
        )
    return barred


def list_validations(
    session: ReadSession, viewer: Actor, model: str, *, limit: int | None = None
) -> list[Validation]:
    """Validations of a model, newest first."""
    get_model(session, viewer, model)
    return list(
        session.scalars(
            select(Validation).where(Validation.model == model).order_by(Validation.id.desc()).limit(limit)
        )
    )


def newest_validation(session: ReadSession, model: str, version: int | None) -> Validation | None:
    """The newest validation that covers this version: of it, or of the model as a whole."""
    query = select(Validation).where(Validation.model == model)
    if version is not None:
        query = query.where((Validation.version == version) | Validation.version.is_(None))
    return session.scalars(query.order_by(Validation.id.desc()).limit(1)).first()


def open_conditions(
    session: ReadSession, model: str, version: int | None = None
) -> list[ValidationCondition]:
    """Conditions not met yet, the most urgent first: of every validation that covers this version, None: of any."""
    query = (
        select(ValidationCondition)
        .join(Validation, Validation.id == ValidationCondition.validation_id)
        .where(Validation.model == model, ValidationCondition.met_at.is_(None))
        .order_by(ValidationCondition.due_at, ValidationCondition.id)
    )
    if version is not None:
        query = query.where((Validation.version == version) | Validation.version.is_(None))
    return list(session.scalars(query))
