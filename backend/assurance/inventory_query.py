"""The inventory as the database answers it: one row a model, with what is counted of it and how urgent it is.

What is due is judged here, and told in words in `backend.assurance.inventory` by the same conditions: with a filter
or an order over all models, only the rows of the page that is shown are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Select,
    Subquery,
    Text,
    and_,
    case,
    func,
    literal,
    not_,
    or_,
    select,
    type_coerce,
)

from backend.assurance.inventory_tables import ModelFacts, TierAnswers
from backend.assurance.tables import Finding, Validation, ValidationCondition
from backend.deployment.tables import Deployment
from backend.identity.tables import Person, Team, TeamModel
from backend.registry.tables import ImportedModel, Model, Version

LEVELS: Final = ("page", "attention", "unknown", "ok")
"""By urgency; `urgency` of a row is the place here."""
TIERS: Final = ("prohibited", "high", "medium", "low")
SORTS: Final = ("due", "name", "tier", "findings", "validated", "review")
SEVERITIES: Final = ("high", "medium", "low")


def kept_models(environment: str, now: datetime) -> Subquery:
    """Every model that the session finds, a row each.

    urgency    0 (page) to 3 (ok), the place in `LEVELS`
    many_due   for how many reasons
    """
    newest = _newest(Version.model, Version.version)
    validated, answered = _newest(Validation.model, Validation.id), _newest(TierAnswers.model, TierAnswers.id)
    conditions, findings = _conditions(now), _findings(now)
    review = _earlier(ModelFacts.next_review_at, Validation.next_review_at)
    purpose = func.coalesce(func.nullif(ModelFacts.purpose, ""), Model.description)
    vendor = func.coalesce(ModelFacts.vendor, "")
    counted = {name: func.coalesce(findings.c[name], 0) for name in ("overdue", "overdue_high", *SEVERITIES)}
    lapsed = func.coalesce(conditions.c.lapsed, 0)
    bad, late, unknown = _due(
        counted["overdue"], counted["overdue_high"], lapsed, review, purpose, now,
    )  # fmt: skip
    urgency = case((or_(*bad), 0), (or_(*late), 1), (or_(*unknown), 2), else_=3)
    many_due: Any = sum((_one(each) for each in (*bad, *late, *unknown)), start=literal(0))
    return (
        select(
            Model.name.label("model"), Model.title, Model.tier, Model.owner_id, Model.created_at,
            _kind(vendor).label("kind"),
            purpose.label("purpose"), func.coalesce(ModelFacts.data, "").label("data"), vendor.label("vendor"),
            func.coalesce(ModelFacts.contact, "").label("contact"), Deployment.version.label("serves"),
            Version.version.label("trained_version"), Version.training.label("training"),
            Validation.id.label("validation_id"), Validation.version.label("validated_version"),
            Validation.outcome.label("outcome"), Validation.recorded_at.label("validated_at"),
            func.coalesce(conditions.c.open, 0).label("conditions_open"), lapsed.label("conditions_lapsed"),
            *(one.label(f"findings_{name}") for name, one in counted.items()),
            review.label("next_review_at"), TierAnswers.tier.label("proposed_tier"), TierAnswers.answered_at,
            urgency.label("urgency"), many_due.label("many_due"),
        )
        .select_from(Model)
        .outerjoin(ModelFacts, ModelFacts.model == Model.name)
        .outerjoin(ImportedModel, ImportedModel.model == Model.name)
        .outerjoin(Deployment, and_(
            Deployment.model == Model.name, Deployment.environment == environment, Deployment.role == "champion",
            Deployment.ended_at.is_(None),
        ))
        .outerjoin(newest, newest.c.model == Model.name)
        .outerjoin(Version, and_(
            Version.model == Model.name, Version.version == func.coalesce(Deployment.version, newest.c.newest),
        ))
        .outerjoin(validated, validated.c.model == Model.name)
        .outerjoin(Validation, Validation.id == validated.c.newest)
        .outerjoin(conditions, conditions.c.model == Model.name)
        .outerjoin(findings, findings.c.model == Model.name)
        .outerjoin(answered, answered.c.model == Model.name)
        .outerjoin(TierAnswers, TierAnswers.id == answered.c.newest)
        .subquery("kept")
    )  # fmt: skip


def _newest(model: Any, number: Any) -> Subquery:
    return select(model.label("model"), func.max(number).label("newest")).group_by(model).subquery()


def _conditions(now: datetime) -> Subquery:
    """Of every model the conditions of validations that are not met, and how many of them lapsed."""
    return (
        select(
            Validation.model.label("model"), func.count().label("open"),
            func.sum(_one(ValidationCondition.due_at <= now)).label("lapsed"),
        )
        .join(Validation, Validation.id == ValidationCondition.validation_id)
        .where(ValidationCondition.met_at.is_(None))
        .group_by(Validation.model)
        .subquery()
    )  # fmt: skip


def _findings(now: datetime) -> Subquery:
    """Of every model the findings that are not closed, by severity, and how many of them are overdue."""
    overdue = Finding.due_at <= now
    return (
        select(
            Finding.model.label("model"),
            *(func.sum(_one(Finding.severity == one)).label(one) for one in SEVERITIES),
            func.sum(_one(overdue)).label("overdue"),
            func.sum(_one(and_(overdue, Finding.severity == "high"))).label("overdue_high"),
        )
        .where(Finding.state != "closed", Finding.model.is_not(None))
        .group_by(Finding.model)
        .subquery()
    )


def _due(
    overdue: Any, overdue_high: Any, lapsed: Any, review: Any, purpose: Any, now: datetime
) -> tuple[list[ColumnElement[bool]], list[ColumnElement[bool]], list[ColumnElement[bool]]]:
    """What is bad, late and not known of a model, each a condition that is never NULL.

    `backend.assurance.inventory._judged` says the same in words.
    """
    serves = Deployment.version.is_not(None)
    answers_for = and_(serves, Model.tier.in_(("high", "prohibited")))
    lacks = [Model.owner_id.is_(None), Validation.id.is_(None)]
    bad = [
        overdue_high > 0, lapsed > 0, func.coalesce(Validation.outcome, "") == "not_fit",
        and_(Model.tier == "prohibited", serves),
    ]  # fmt: skip
    late = [
        and_(overdue > 0, overdue_high == 0),
        and_(review.is_not(None), review <= now),
        and_(TierAnswers.id.is_not(None), TierAnswers.tier != Model.tier),
        *(and_(answers_for, one) for one in lacks),
    ]
    unknown = [
        *(and_(not_(answers_for), one) for one in lacks),
        TierAnswers.id.is_(None), purpose == "",
        and_(func.coalesce(ModelFacts.data, "") == "", _empty(Version.training)), review.is_(None),
    ]  # fmt: skip
    return bad, late, unknown


def _kind(vendor: Any) -> ColumnElement[str]:
    return case(
        (not_(_empty(Model.spec)), "own"), (vendor != "", "vendor"), (ImportedModel.model.is_not(None), "imported"),
        else_="own",
    )  # fmt: skip


def _empty(document: Any) -> ColumnElement[bool]:
    """Whether a column of JSON says nothing, or its row is not there."""
    return func.coalesce(type_coerce(document, Text), "{}").in_(("{}", "null"))


def _earlier(one: Any, other: Any) -> ColumnElement[Any]:
    """The earlier of two times, either of which may be absent."""
    return case((one.is_(None), other), (other.is_(None), one), (one <= other, one), else_=other)


def _one(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return case((condition, 1), else_=0)


def matching(
    kept: Subquery,
    *,
    text: str,
    tiers: Sequence[str],
    kinds: Sequence[str],
    owner: str,
    team: str,
    needing: bool,
) -> list[ColumnElement[bool]]:
    """Conditions on `kept_models`. `text` is found in any case (on SQLite of the letters A to Z alone)."""
    row, found = kept.c, []
    if text.strip():
        parts = (row.model, row.title, row.purpose, row.vendor)
        found.append(or_(*(part.icontains(text.strip(), autoescape=True) for part in parts)))
    if tiers:
        found.append(row.tier.in_(tiers))
    if kinds:
        found.append(row.kind.in_(kinds))
    if owner:
        found.append(row.owner_id.in_(select(Person.id).where(Person.display_name == owner)))
    if team:
        theirs = select(TeamModel.model).join(Team, Team.id == TeamModel.team_id).where(Team.name == team)
        found.append(row.model.in_(theirs))
    if needing:
        found.append(needs_somebody(kept))
    return found


def needs_somebody(kept: Subquery) -> ColumnElement[bool]:
    needs: ColumnElement[bool] = kept.c.urgency <= LEVELS.index("attention")
    return needs


def ordered(statement: Select[Any], kept: Subquery, sort: str, *, descending: bool) -> Select[Any]:
    """By one of `SORTS` and then by name, so that no two models change places between pages."""
    row = kept.c
    places: dict[str, tuple[Any, ...]] = {
        "due": (row.urgency, -row.many_due),
        "name": (),
        "tier": (case({tier: place for place, tier in enumerate(TIERS)}, value=row.tier),),
        "findings": (-row.findings_overdue, *(-row[f"findings_{one}"] for one in SEVERITIES)),
        "validated": (_one(row.validated_at.is_not(None)), row.validated_at),
        "review": (_one(row.next_review_at.is_(None)), row.next_review_at),
    }
    by = (*places[sort], row.model)
    return statement.order_by(*(one.desc() if descending else one for one in by))
