"""Every model with what is known of it, what is not, and what is due: filtered, sorted, a page at a time.

What nobody measured is `unknown`, never fine: a vendor's model has no health of ours, and says so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import and_, func, select

from backend import clock
from backend.assurance.inventory_tables import ModelFacts, TierAnswers
from backend.assurance.tables import Finding, PolicyException, Validation, ValidationCondition
from backend.assurance.validations import OUTCOMES
from backend.database.session import ReadSession
from backend.deployment.tables import Deployment
from backend.errors import BadInput
from backend.identity.actor import Actor
from backend.identity.people import names_of
from backend.identity.reach import see
from backend.identity.teams import team_names
from backend.registry.tables import ImportedModel, Model, Version

KINDS: Final[dict[str, str]] = {
    "own": "served here", "imported": "imported, not described", "vendor": "served by a vendor",
}  # fmt: skip
TIERS: Final = ("prohibited", "high", "medium", "low")
SORTS: Final = ("due", "name", "tier", "findings", "validated", "review")


@dataclass(frozen=True)
class Entry:
    """One model of the inventory.

    level     page | attention | unknown | ok: of what people have to do about it, not of how it performs
    due       what is overdue or missing, each in words, the worst first
    health    how it performs, in a word; "not measured" where nothing of it is measured here
    """

    model: str
    title: str
    kind: str
    tier: str
    proposed_tier: str | None
    answered_at: datetime | None
    owner: str | None
    purpose: str
    data: str
    vendor: str
    contact: str
    serves: int | None
    validation: dict[str, Any] | None
    conditions_open: int
    conditions_lapsed: int
    findings: dict[str, int]
    findings_overdue: int
    next_review_at: datetime | None
    exceptions: tuple[str, ...]
    due: tuple[str, ...] = ()
    level: str = "unknown"
    health_level: str = "unknown"
    health: str = "not measured"
    created_at: datetime | None = None
    team: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return dict(self.__dict__) | {"due": list(self.due), "exceptions": list(self.exceptions)}


@dataclass(frozen=True)
class Page:
    """Some of the entries that match; `total` of them do, of `known` in all."""

    entries: list[Entry]
    total: int
    known: int
    needing: int = field(default=0)


def list_models_kept(
    session: ReadSession,
    viewer: Actor,
    *,
    environment: str,
    text: str = "",
    tiers: Sequence[str] = (),
    kinds: Sequence[str] = (),
    owner: str = "",
    team: str = "",
    needing: bool = False,
    sort: str = "due",
    descending: bool = False,
    offset: int = 0,
    limit: int | None = 50,
) -> Page:
    """The entries that the viewer may see and that match. `needing`: only those with something due."""
    see(session, viewer)
    if sort not in SORTS:
        raise BadInput(f"the inventory is sorted by {', '.join(SORTS)}, not by {sort!r}", field="sort")
    every = _entries(session, environment)
    wanted = text.strip().lower()
    found = [
        one
        for one in every
        if (
            not wanted
            or any(wanted in part.lower() for part in (one.model, one.title, one.purpose, one.vendor))
        )
        and (not tiers or one.tier in tiers)
        and (not kinds or one.kind in kinds)
        and (not owner or owner == (one.owner or ""))
        and (not team or team == one.team)
        and (not needing or one.level in ("page", "attention"))
    ]
    found.sort(key=lambda one: (_rank(one, sort), one.model), reverse=descending)
    shown = found[offset:] if limit is None else found[offset : offset + limit]
    return Page(
        _with_health(session, viewer, shown, environment), len(found), len(every),
        sum(one.level in ("page", "attention") for one in every),
    )  # fmt: skip


def entry_of(session: ReadSession, viewer: Actor, model: str, *, environment: str) -> Entry:
    """One model of the inventory."""
    from backend.registry.service import get_model

    get_model(session, viewer, model)
    return _with_health(session, viewer, _entries(session, environment, only=model), environment)[0]


def _rank(entry: Entry, sort: str) -> Any:
    far = datetime.max.replace(tzinfo=clock.now().tzinfo)
    early = datetime.min.replace(tzinfo=far.tzinfo)
    return {
        "due": (("page", "attention", "unknown", "ok").index(entry.level), -len(entry.due)),
        "name": (),
        "tier": TIERS.index(entry.tier),
        "findings": (
            -entry.findings_overdue,
            [-entry.findings.get(one, 0) for one in ("high", "medium", "low")],
        ),
        "validated": entry.validation["recorded_at"] if entry.validation else early,
        "review": entry.next_review_at or far,
    }[sort]


def _entries(session: ReadSession, environment: str, only: str | None = None) -> list[Entry]:
    """Every model by a handful of questions; what performs how is asked for the page that is shown only."""
    now = clock.now()
    query = select(Model).order_by(Model.name)
    models = list(session.scalars(query if only is None else query.where(Model.name == only)))
    facts = {row.model: row for row in session.scalars(select(ModelFacts))}
    imported = set(session.scalars(select(ImportedModel.model)))
    names = names_of(session, {one.owner_id for one in models})
    teams = team_names(session, (one.name for one in models))
    trained: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
    for version in session.execute(
        select(Version.model, Version.version, Version.training).order_by(Version.version)
    ):
        trained[version.model][version.version] = version.training
    serves = {
        row.model: row.version
        for row in session.scalars(
            select(Deployment).where(
                Deployment.environment == environment,
                Deployment.role == "champion",
                Deployment.ended_at.is_(None),
            )
        )
    }
    newest = select(func.max(Validation.id)).group_by(Validation.model)
    validated = {
        row.model: row for row in session.scalars(select(Validation).where(Validation.id.in_(newest)))
    }
    waiting: dict[str, list[datetime]] = defaultdict(list)
    for row in session.execute(
        select(Validation.model, ValidationCondition.due_at)
        .join(Validation, Validation.id == ValidationCondition.validation_id)
        .where(ValidationCondition.met_at.is_(None))
    ):
        waiting[row.model].append(row.due_at)
    open_findings: dict[str, list[tuple[str, datetime]]] = defaultdict(list)
    for found in session.execute(
        select(Finding.model, Finding.severity, Finding.due_at).where(
            and_(Finding.state != "closed", Finding.model.is_not(None))
        )
    ):
        open_findings[found.model].append((found.severity, found.due_at))
    excepted: dict[str, list[str]] = defaultdict(list)
    for one in session.scalars(
        select(PolicyException).where(
            PolicyException.state.in_(("asked", "granted")), PolicyException.expires_at > now
        )
    ):
        state = "granted" if one.state == "granted" else "asked for"
        excepted[one.model].append(f"EXC-{one.id} from {one.gate}, {state}, until {one.expires_at:%Y-%m-%d}")
    answered: dict[str, TierAnswers] = {}
    newest_answers = select(func.max(TierAnswers.id)).group_by(TierAnswers.model)
    for answers in session.scalars(select(TierAnswers).where(TierAnswers.id.in_(newest_answers))):
        answered[answers.model] = answers
    return [
        _entry(
            model, facts.get(model.name), model.name in imported, names.get(model.owner_id or ""),
            trained[model.name], serves.get(model.name), validated.get(model.name), waiting[model.name],
            open_findings[model.name], excepted[model.name], answered.get(model.name), now, teams.get(model.name),
        )
        for model in models
    ]  # fmt: skip


def _entry(
    model: Model, facts: ModelFacts | None, is_imported: bool, owner: str | None,
    trained: dict[int, dict[str, Any]],
    serves: int | None, validation: Validation | None, waiting: list[datetime],
    findings: list[tuple[str, datetime]], exceptions: list[str], answers: TierAnswers | None, now: datetime,
    team: str | None,
) -> Entry:  # fmt: skip
    vendor = facts.vendor if facts is not None else ""
    kind = "own"
    if not model.described:
        kind = "vendor" if vendor else "imported" if is_imported else "own"
    reviews = [one for one in (
        facts.next_review_at if facts else None, validation.next_review_at if validation else None,
    ) if one is not None]  # fmt: skip
    counted = {
        severity: sum(one == severity for one, _ in findings) for severity in ("high", "medium", "low")
    }
    entry = Entry(
        model=model.name, title=model.title, kind=kind, tier=model.tier,
        proposed_tier=answers.tier if answers else None, answered_at=answers.answered_at if answers else None,
        owner=owner, purpose=(facts.purpose if facts else "") or model.description,
        data=(facts.data if facts else "") or _data_of(trained, serves), vendor=vendor,
        contact=facts.contact if facts else "", serves=serves,
        validation=None if validation is None else {
            "id": validation.id, "ref": f"VAL-{validation.id}", "version": validation.version,
            "outcome": validation.outcome, "outcome_words": OUTCOMES[validation.outcome],
            "recorded_at": validation.recorded_at,
        },
        conditions_open=len(waiting), conditions_lapsed=sum(one <= now for one in waiting),
        findings=counted, findings_overdue=sum(day <= now for _, day in findings),
        next_review_at=min(reviews, default=None), exceptions=tuple(exceptions), created_at=model.created_at, team=team,
    )  # fmt: skip
    overdue_high = any(severity == "high" and day <= now for severity, day in findings)
    return _judged(entry, overdue_high, now)


def _data_of(trained: dict[int, dict[str, Any]], serves: int | None) -> str:
    """What the version that serves (else the newest) was trained on, as its trainer handed it over."""
    number = serves if serves in trained else max(trained, default=None)
    training = trained[number] if number is not None else {}
    if not training:
        return ""
    rows, span = training.get("rows"), [_day(training.get(one)) for one in ("from", "to")]
    told = [f"v{number} trained on"] + ([f"{rows:,} rows"] if isinstance(rows, int) else ["data"])
    return " ".join(told + ([f"of {span[0]} to {span[1]}"] if all(span) else []))


def _day(moment: Any) -> str:
    """`1 Jan 2013`, the day (UTC) of a time as a trainer wrote it; what is no time stays as it is."""
    try:
        found = datetime.fromisoformat(str(moment))
    except ValueError:
        return str(moment or "")
    return f"{found.astimezone(UTC) if found.tzinfo else found:%-d %b %Y}"


def _judged(entry: Entry, overdue_high: bool, now: datetime) -> Entry:
    """With what is due, and how urgent the worst of it is."""
    bad: list[str] = []
    if overdue_high:
        bad.append("a high finding is overdue")
    if entry.conditions_lapsed:
        many = entry.conditions_lapsed > 1
        bad.append(f"{entry.conditions_lapsed} condition{'s' if many else ''} of a validation lapsed")
    if entry.validation and entry.validation["outcome"] == "not_fit":
        bad.append("the last validation found it not fit")
    if entry.tier == "prohibited" and entry.serves is not None:
        bad.append("it is prohibited and serves")
    late: list[str] = []
    if entry.findings_overdue and not overdue_high:
        late.append(f"{entry.findings_overdue} finding{'s' if entry.findings_overdue > 1 else ''} overdue")
    if entry.next_review_at is not None and entry.next_review_at <= now:
        late.append(f"its review was due {entry.next_review_at:%Y-%m-%d}")
    if entry.proposed_tier is not None and entry.proposed_tier != entry.tier:
        late.append(f"the questionnaire proposes tier {entry.proposed_tier}")
    unknown: list[str] = []
    # Of a model of high tier that serves, somebody has to answer for these; of others they are merely not known.
    lacks = late if entry.serves is not None and entry.tier in ("high", "prohibited") else unknown
    if entry.owner is None:
        lacks.append("no owner")
    if entry.validation is None:
        lacks.append("never validated")
    if entry.proposed_tier is None:
        unknown.append("tier not questioned")
    if not entry.purpose:
        unknown.append("no purpose written")
    if not entry.data:
        unknown.append("data not described")
    if entry.next_review_at is None:
        unknown.append("no review planned")
    level = "page" if bad else "attention" if late else "unknown" if unknown else "ok"
    return replace(entry, due=(*bad, *late, *unknown), level=level)


def _with_health(
    session: ReadSession, viewer: Actor, entries: Sequence[Entry], environment: str
) -> list[Entry]:
    """With how each performs, where that is measured here. What is not is unknown."""
    from backend.monitoring.health import health_among

    known = health_among(session, viewer, [one.model for one in entries if one.kind == "own"], environment)
    told = {"vendor": "not measured: the vendor serves it", "imported": "not measured: not described here"}
    return [
        replace(entry, health=known[entry.model].word, health_level=known[entry.model].level)
        if entry.model in known
        else replace(entry, health=told.get(entry.kind, "not measured"))
        for entry in entries
    ]
