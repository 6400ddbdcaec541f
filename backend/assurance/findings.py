"""Findings: opened, planned, answered by their owner, closed by somebody else with evidence."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import case, select

from backend import clock
from backend.assurance.documents import require_document
from backend.assurance.hands import require_person, same_hands
from backend.assurance.tables import Finding, Validation
from backend.assurance.texts import day_ahead, written
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput, Conflict, NotAllowed, NotFound
from backend.identity.actor import Actor
from backend.identity.reach import allow, see
from backend.identity.roles import Permission
from backend.registry.service import get_model

SEVERITIES: Final = ("high", "medium", "low")
STATES: Final = ("open", "answered", "closed")


class OwnFinding(NotAllowed):
    """Who owns a finding, or ever did, neither closes it nor moves its day."""

    title = "Your own finding"


class FindingClosed(Conflict):
    title = "Finding closed"


def open_finding(
    session: WriteSession,
    actor: Actor,
    *,
    model: str | None,
    title: str,
    detail: str,
    severity: str,
    owner_id: str,
    due_at: datetime,
    plan: str = "",
    validation_id: int | None = None,
    source: str | None = None,
) -> Finding:
    """Open a finding about a model (None: about no single one) for somebody to mend by a day.

    source   what opens it by itself, once: where there is one of the same source, closed or not, it is given back
    """
    allow(session, actor, Permission.HANDLE_FINDINGS)
    if model is not None:
        get_model(session, actor, model)
    if severity not in SEVERITIES:
        raise BadInput(f"a severity is one of {', '.join(SEVERITIES)}, not {severity!r}", field="severity")
    if source is not None:
        known = session.scalars(select(Finding).where(Finding.source == source)).one_or_none()
        if known is not None:
            return known
    owner = require_person(session, owner_id, "owner_id")
    if validation_id is not None:
        validation = session.get(Validation, validation_id)
        if validation is None or validation.model != model:
            raise BadInput(f"there is no validation {validation_id} of {model}", field="validation_id")
    finding = Finding(
        model=model, validation_id=validation_id, source=source, title=written(title, "title", longest=200),
        detail=written(detail, "detail"), severity=severity, owner_id=owner.id, owners=[owner.id],
        due_at=day_ahead(due_at, "due_at"), plan=written(plan, "plan", required=False),
        opened_by=actor.person_row, opened_at=clock.now(),
    )  # fmt: skip
    session.add(finding)
    session.flush()
    record(
        session, actor, Action.FINDING_OPENED, object_kind="finding", object_id=finding.id,
        payload={"model": model, "title": finding.title, "severity": severity, "owner": owner.id,
                 "due_at": clock.to_iso(due_at), "validation": validation_id, "source": source},
        why=finding.detail,
    )  # fmt: skip
    return finding


def plan_finding(
    session: WriteSession,
    actor: Actor,
    finding_id: int,
    *,
    why: str,
    plan: str | None = None,
    owner_id: str | None = None,
    due_at: datetime | None = None,
    severity: str | None = None,
) -> Finding:
    """Write its plan, or give it another owner, day or severity. What is None stays.

    Its owner writes the plan and hands it over; day and severity are moved by somebody who never owned it.
    """
    allow(session, actor, Permission.HANDLE_FINDINGS)
    finding = _open(session, actor, finding_id)
    before = _terms(finding)
    if severity is not None and severity not in SEVERITIES:
        raise BadInput(f"a severity is one of {', '.join(SEVERITIES)}, not {severity!r}", field="severity")
    moved = (due_at is not None and due_at != finding.due_at) or severity not in (None, finding.severity)
    if moved and same_hands(session, actor, finding.owners):
        raise OwnFinding(f"you own finding {finding_id} or did; somebody else moves its day or severity")
    if owner_id is not None and owner_id != finding.owner_id:
        finding.owner_id = require_person(session, owner_id, "owner_id").id
        finding.owners = list(dict.fromkeys([*finding.owners, owner_id]))
    if due_at is not None and due_at != finding.due_at:
        finding.due_at = day_ahead(due_at, "due_at")
    if severity is not None:
        finding.severity = severity
    if plan is not None:
        finding.plan = written(plan, "plan", required=False)
    after = _terms(finding)
    if before == after:
        return finding
    session.flush()
    record(
        session, actor, Action.FINDING_PLANNED, object_kind="finding", object_id=finding.id,
        payload={"model": finding.model, "before": before, "after": after}, why=written(why, "why"),
    )  # fmt: skip
    return finding


def answer_finding(session: WriteSession, actor: Actor, finding_id: int, *, answer: str) -> Finding:
    """Its owner says what was done about it. It stays open until somebody else has seen the evidence."""
    actor.require_scope(Permission.HANDLE_FINDINGS)
    finding = _open(session, actor, finding_id)
    if not same_hands(session, actor, [finding.owner_id]):
        raise NotAllowed(f"finding {finding_id} is answered by its owner")
    finding.answer, finding.answered_at, finding.state = written(answer, "answer"), clock.now(), "answered"
    session.flush()
    record(
        session, actor, Action.FINDING_ANSWERED, object_kind="finding", object_id=finding.id,
        payload={"model": finding.model}, why=finding.answer,
    )  # fmt: skip
    return finding


def close_finding(
    session: WriteSession, actor: Actor, finding_id: int, *, evidence: str, document: str | None = None
) -> Finding:
    """Close it with the evidence that it is mended; nobody who owns it or ever did. Closing again does nothing."""
    allow(session, actor, Permission.HANDLE_FINDINGS)
    finding = _locked(session, actor, finding_id)
    if same_hands(session, actor, finding.owners):
        raise OwnFinding(f"you own finding {finding_id} or did; somebody else closes it")
    if finding.state == "closed":
        return finding
    if document is not None:
        require_document(session, document)
    finding.evidence, finding.document = written(evidence, "evidence"), document
    late = clock.now() > finding.due_at
    finding.state, finding.closed_at, finding.closed_by = "closed", clock.now(), actor.person_row
    session.flush()
    record(
        session, actor, Action.FINDING_CLOSED, object_kind="finding", object_id=finding.id,
        payload={"model": finding.model, "severity": finding.severity, "late": late, "document": document},
        why=finding.evidence,
    )  # fmt: skip
    return finding


def reopen_finding(
    session: WriteSession, actor: Actor, finding_id: int, *, why: str, due_at: datetime
) -> Finding:
    """Open a closed or answered finding again: it was not mended after all."""
    allow(session, actor, Permission.HANDLE_FINDINGS)
    finding = _locked(session, actor, finding_id)
    if finding.state == "open":
        return finding
    was, day = finding.state, clock.to_iso(finding.due_at)
    if due_at != finding.due_at and same_hands(session, actor, finding.owners):
        raise OwnFinding(f"you own finding {finding_id} or did; somebody else sets its new day")
    finding.state, finding.closed_at, finding.closed_by, finding.answered_at = "open", None, None, None
    finding.due_at = day_ahead(due_at, "due_at")
    session.flush()
    record(
        session, actor, Action.FINDING_REOPENED, object_kind="finding", object_id=finding.id,
        payload={"model": finding.model, "was": was, "evidence_then": finding.evidence,
                 "due_at": clock.to_iso(due_at), "before": {"due_at": day}},
        why=written(why, "why"),
    )  # fmt: skip
    return finding


def get_finding(session: ReadSession, viewer: Actor, finding_id: int) -> Finding:
    see(session, viewer)
    finding = session.get(Finding, finding_id)
    if finding is None:
        raise NotFound(f"there is no finding {finding_id} that you may see")
    if finding.model is not None:
        get_model(session, viewer, finding.model)
    return finding


def list_findings(
    session: ReadSession,
    viewer: Actor,
    *,
    model: str | None = None,
    states: tuple[str, ...] = ("open", "answered"),
    overdue: bool = False,
    before: int | None = None,
    limit: int = 200,
) -> list[Finding]:
    """Findings, newest first; `before` is the id after which to go on. `overdue`: whose day is over."""
    see(session, viewer)
    query = select(Finding).order_by(Finding.id.desc()).limit(limit)
    if model is not None:
        get_model(session, viewer, model)
        query = query.where(Finding.model == model)
    if states:
        query = query.where(Finding.state.in_(states))
    if overdue:
        query = query.where(Finding.due_at <= clock.now())
    if before is not None:
        query = query.where(Finding.id < before)
    return list(session.scalars(query))


def unsettled_findings(session: ReadSession, model: str) -> list[Finding]:
    """Findings of a model that are not closed: the worst first, then the most urgent."""
    worst = case({"high": 0, "medium": 1, "low": 2}, value=Finding.severity, else_=3)
    return list(
        session.scalars(
            select(Finding)
            .where(Finding.model == model, Finding.state != "closed")
            .order_by(worst, Finding.due_at, Finding.id)
        )
    )


def _terms(finding: Finding) -> dict[str, str]:
    return {
        "owner": finding.owner_id, "due_at": clock.to_iso(finding.due_at), "plan": finding.plan,
        "severity": finding.severity,
    }  # fmt: skip


def _locked(session: WriteSession, actor: Actor, finding_id: int) -> Finding:
    found = session.get(Finding, finding_id, with_for_update=True)
    if found is None:
        raise NotFound(f"there is no finding {finding_id} that you may see")
    if found.model is not None:
        get_model(session, actor, found.model)
    return found


def _open(session: WriteSession, actor: Actor, finding_id: int) -> Finding:
    see(session, actor)
    finding = _locked(session, actor, finding_id)
    if finding.state == "closed":
        raise FindingClosed(f"finding {finding_id} is closed; reopen it first")
    return finding
