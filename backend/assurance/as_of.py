"""The house as it was on a day: inventory, tiers, roles, policy and findings, from histories and from the log.

What has a history of its own is read from it (deployments, validations, policies, accounts). What a row only has as it
is now is taken back: the first entry after that day that changed it says what it was before. Where that entry's payload
was erased, the value is `UNKNOWN` and a note says which entry it was.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import select

from backend import clock
from backend.assurance.inventory_tables import ModelFacts
from backend.assurance.tables import Finding, Validation
from backend.audit.actions import Action
from backend.audit.tables import AuditEntry, AuditPayload
from backend.audit.texts_then import texts_then
from backend.database.session import ReadSession
from backend.deployment.tables import Deployment
from backend.errors import BadInput
from backend.governance.tables import Policy
from backend.identity.actor import Actor
from backend.identity.reach import see
from backend.identity.roles import Permission
from backend.identity.tables import Person
from backend.registry.tables import Model

UNKNOWN: Final = "not known: erased"
_FINDING_STATES: Final = {
    Action.FINDING_OPENED: "open", Action.FINDING_REOPENED: "open", Action.FINDING_ANSWERED: "answered",
    Action.FINDING_CLOSED: "closed",
}  # fmt: skip


@dataclass(frozen=True)
class ModelThen:
    name: str
    title: str
    tier: str
    enforcement: str
    owner: str | None  # an opaque id
    purpose: str
    serving: tuple[str, ...]  # "v2 champion in production"
    last_validation: datetime | None
    validation_outcome: str
    open_findings: int


@dataclass(frozen=True)
class PersonThen:
    person_id: str
    kind: str
    roles: tuple[str, ...]
    disabled: bool


@dataclass(frozen=True)
class FindingThen:
    id: int
    model: str | None
    title: str
    severity: str
    state: str  # open | answered
    owner: str
    due: str
    opened_at: datetime


@dataclass(frozen=True)
class HouseThen:
    """`people` is None for those who may not read what roles changed. `policy` is a revision, None where the built-in
    one had not been stored yet."""

    as_of: datetime
    models: tuple[ModelThen, ...]
    people: tuple[PersonThen, ...] | None
    policy: int | None
    policy_digest: str
    policy_since: datetime | None
    findings: tuple[FindingThen, ...]
    notes: tuple[str, ...]


@dataclass
class _Log:
    """What entries after the day say that things were before. `notes` grows with what cannot be said."""

    session: ReadSession
    as_of: datetime
    notes: list[str] = field(default_factory=list)

    def before(self, kind: str, *actions: Action) -> dict[str, list[tuple[int, dict[str, Any] | None]]]:
        """Per object, the payloads (None: erased) of such entries after the day, the earliest first."""
        rows = self.session.execute(
            select(AuditEntry.seq, AuditEntry.object_id, AuditPayload.payload)
            .outerjoin(AuditPayload, AuditPayload.seq == AuditEntry.seq)
            .where(
                AuditEntry.object_kind == kind, AuditEntry.action.in_([one.value for one in actions]),
                AuditEntry.at >= clock.to_iso(self.as_of),
            )
            .order_by(AuditEntry.seq)
        )  # fmt: skip
        found: dict[str, list[tuple[int, dict[str, Any] | None]]] = defaultdict(list)
        for seq, object_id, payload in rows:
            found[object_id].append((seq, json.loads(payload) if payload is not None else None))
        return found

    def value(
        self, entries: Iterable[tuple[int, dict[str, Any] | None]], path: tuple[str, ...], now: Any, what: str
    ) -> Any:
        """What it was, as the first entry that names it says; `now` where none does."""
        for seq, payload in entries:
            if payload is None:
                self.notes.append(f"{what}: entry {seq} would say, and its payload was erased")
                return UNKNOWN
            value: Any = payload
            for name in path:
                if not isinstance(value, dict) or name not in value:
                    break
                value = value[name]
            else:
                return value
        return now

    def titles(self, kind: str, today: dict[Any, str], what: str) -> dict[Any, str]:
        """What things were called then; where the log does not say, what they are called now, and a note."""
        found = texts_then(self.session, kind, today, self.as_of)
        for name, one in found.items():
            if one.why_not:
                self.notes.append(f"title of {what} {name}, so today's is shown: {one.why_not}")
        return {name: one.text for name, one in found.items()}


def house_as_of(
    session: ReadSession, viewer: Actor, as_of: datetime, *, model: str | None = None
) -> HouseThen:
    """As far as the viewer may see; of one model, where it is named, that alone: notes name what they are about.
    `BadInput` for a day to come."""
    see(session, viewer, Permission.READ_AUDIT)
    if as_of > clock.now():
        raise BadInput("the as-of date has not come yet", field="as_of")
    log = _Log(session, as_of)
    findings = tuple(_findings(session, log, model))
    policy = session.scalars(
        select(Policy).where(Policy.created_at < as_of).order_by(Policy.revision.desc()).limit(1)
    ).first()
    reads = model is None and viewer.may(Permission.READ_AUDIT_PAYLOAD)
    people = tuple(_people(session, log)) if reads else None
    return HouseThen(
        as_of=as_of, models=tuple(_models(session, log, findings, model)), people=people,
        policy=policy.revision if policy else None, policy_digest=policy.digest if policy else "",
        policy_since=policy.created_at if policy else None, findings=findings, notes=tuple(log.notes),
    )  # fmt: skip


def _models(
    session: ReadSession, log: _Log, findings: tuple[FindingThen, ...], only: str | None
) -> Iterable[ModelThen]:
    tiers = log.before("model", Action.TIER_CHANGED)
    enforced = log.before("model", Action.ENFORCEMENT_CHANGED)
    kept = log.before("model", Action.FACTS_KEPT)
    owned = log.before("model", Action.FACTS_KEPT, Action.MODEL_REGISTERED)
    facts = {one.model: one for one in session.scalars(select(ModelFacts))}
    served = _served(session, log.as_of)
    validated = {
        one.model: one
        for one in session.scalars(
            select(Validation).where(Validation.recorded_at < log.as_of).order_by(Validation.id)
        )
    }
    known = select(Model).where(Model.created_at < log.as_of).order_by(Model.name)
    rows = session.scalars(known if only is None else known.where(Model.name == only)).all()
    titles = log.titles("model", {one.name: one.title for one in rows}, "model")
    for row in rows:
        said, name = facts.get(row.name), row.name
        validation = validated.get(name)
        yield ModelThen(
            name=name,
            title=titles[name],
            tier=log.value(tiers[name], ("before",), row.tier, f"tier of {name}"),
            enforcement=log.value(enforced[name], ("from",), row.enforcement, f"enforcement of {name}"),
            owner=log.value(owned[name], ("before", "owner"), row.owner_id, f"owner of {name}"),
            purpose=log.value(
                kept[name], ("before", "purpose"), said.purpose if said else "", f"purpose of {name}"
            ),
            serving=tuple(served[name]),
            last_validation=validation.recorded_at if validation else None,
            validation_outcome=validation.outcome if validation else "",
            open_findings=sum(one.model == name for one in findings),
        )


def _served(session: ReadSession, as_of: datetime) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    rows = session.scalars(
        select(Deployment)
        .where(
            Deployment.started_at < as_of, (Deployment.ended_at.is_(None)) | (Deployment.ended_at >= as_of)
        )
        .order_by(Deployment.environment, Deployment.id)
    )
    for one in rows:
        found[one.model].append(f"v{one.version} {one.role} in {one.environment}")
    return found


def _people(session: ReadSession, log: _Log) -> Iterable[PersonThen]:
    changed = log.before("person", Action.ROLES_CHANGED)
    rows = session.scalars(select(Person).where(Person.created_at < log.as_of).order_by(Person.id))
    for row in rows:
        now = sorted(one.role for one in row.roles)
        roles = log.value(changed[row.id], ("before",), now, f"roles of {row.id}")
        gone = any(moment is not None and moment < log.as_of for moment in (row.disabled_at, row.expires_at))
        yield PersonThen(row.id, row.kind, (roles,) if roles == UNKNOWN else tuple(roles), gone)


def _findings(session: ReadSession, log: _Log, only: str | None) -> Iterable[FindingThen]:
    planned = log.before("finding", Action.FINDING_PLANNED)
    moved = log.before(
        "finding", Action.FINDING_PLANNED, Action.FINDING_REOPENED
    )  # opening again sets a day, too
    told = session.execute(
        select(AuditEntry.object_id, AuditEntry.action)
        .where(
            AuditEntry.object_kind == "finding", AuditEntry.action.in_([one.value for one in _FINDING_STATES]),
            AuditEntry.at < clock.to_iso(log.as_of),
        )
        .order_by(AuditEntry.seq)
    )  # fmt: skip
    states = {object_id: _FINDING_STATES[Action(action)] for object_id, action in told}
    known = select(Finding).where(Finding.opened_at < log.as_of).order_by(Finding.id)
    rows = [
        one
        for one in session.scalars(known if only is None else known.where(Finding.model == only))
        if states.get(str(one.id)) != "closed"
    ]
    titles = log.titles("finding", {one.id: one.title for one in rows}, "finding")
    for row in rows:
        state, later = states.get(str(row.id), "open"), planned[str(row.id)]
        yield FindingThen(
            id=row.id,
            model=row.model,
            title=titles[row.id],
            severity=log.value(later, ("before", "severity"), row.severity, f"severity of finding {row.id}"),
            state=state,
            owner=log.value(later, ("before", "owner"), row.owner_id, f"owner of finding {row.id}"),
            due=log.value(
                moved[str(row.id)], ("before", "due_at"), clock.to_iso(row.due_at), f"day of finding {row.id}"
            ),
            opened_at=row.opened_at,
        )
