"""What is vouched for about a model, as plain data: for pages, API, the evidence of a change and the pack."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from sqlalchemy import func, select

from backend import clock
from backend.assurance.documents import checked_file
from backend.assurance.findings import unsettled_findings
from backend.assurance.tables import Document, Finding, Validation, ValidationCondition
from backend.assurance.validations import OUTCOMES, list_validations, newest_validation, open_conditions
from backend.database.session import ReadSession
from backend.errors import NotFound
from backend.identity.actor import Actor
from backend.identity.people import names_of
from backend.identity.reach import see
from backend.registry.service import get_model

_PEOPLE: Final = ("validator", "met_by", "owner", "opened_by", "closed_by")

MOST: Final = 200
"""So many validations and so many findings of a model are read at once."""


def assurance_of(session: ReadSession, viewer: Actor, model: str, *, limit: int = MOST) -> dict[str, Any]:
    """What was recorded about a model: the newest validations and the newest findings, closed ones too, and how many
    of each there are."""
    get_model(session, viewer, model)
    validations = list_validations(session, viewer, model, limit=limit)
    findings = list(
        session.scalars(
            select(Finding).where(Finding.model == model).order_by(Finding.id.desc()).limit(limit)
        )
    )
    counts = (
        select(func.count()).select_from(Validation).where(Validation.model == model),
        select(func.count()).select_from(Finding).where(Finding.model == model),
    )
    return {
        "validations_total": session.scalar(counts[0]),
        "findings_total": session.scalar(counts[1]),
        "model": model,
        "validations": validation_views(session, validations),
        "findings": finding_views(session, findings),
    }


def assurance_evidence(session: ReadSession, model: str, version: int) -> dict[str, Any]:
    """What deciders of a change see, frozen with it: the validation that covers the version, and what is unsettled.

    It is signed and kept for ever, so people stand in it by their ids; `assurance_named` shows it.
    """
    newest = newest_validation(session, model, version)
    views = validation_views(session, [newest], named=False) if newest is not None else []
    seen: dict[str, Any] = _plain(
        {
            "at": clock.now(),
            "validation": views[0] if views else None,
            "conditions": [condition_view(one) for one in open_conditions(session, model, version)],
            "findings": finding_views(session, unsettled_findings(session, model), named=False),
        }
    )
    return seen


def assurance_named(session: ReadSession, seen: dict[str, Any] | None) -> dict[str, Any] | None:
    """What `assurance_evidence` froze, with the names that accounts have now."""
    if seen is None:
        return None
    validation = seen.get("validation")
    parts = [*([validation, *validation["conditions"]] if validation else []), *seen.get("findings", ())]
    ids = {one[part] for one in parts for part in _PEOPLE if str(one.get(part) or "").startswith("per_")}
    names = names_of(session, ids)

    def named(one: dict[str, Any]) -> dict[str, Any]:
        return one | {part: names.get(one[part], one[part]) for part in _PEOPLE if one.get(part)}

    return seen | {
        "validation": named(validation) | {"conditions": [named(one) for one in validation["conditions"]]}
        if validation
        else None,
        "findings": [named(one) for one in seen.get("findings", ())],
    }


def validation_views(
    session: ReadSession, validations: Iterable[Validation], *, named: bool = True
) -> list[dict[str, Any]]:
    """`named` false: people by their ids, for what is kept."""
    rows = list(validations)
    people = {person for one in rows for person in (one.validator, *(c.met_by for c in one.conditions))}
    names = names_of(session, people) if named else {one: one for one in people if one}
    papers = _papers(session, {one.report for one in rows})
    return [
        {
            "id": one.id, "ref": f"VAL-{one.id}", "model": one.model, "version": one.version, "scope": one.scope,
            "outcome": one.outcome, "outcome_words": OUTCOMES[one.outcome], "summary": one.summary,
            "report": one.report, "report_name": papers[one.report].name, "validator": names[one.validator],
            "recorded_at": one.recorded_at, "next_review_at": one.next_review_at,
            "conditions": [
                condition_view(c) | {"met_by": names.get(c.met_by) if c.met_by else None} for c in one.conditions
            ],
        }
        for one in rows
    ]  # fmt: skip


def condition_view(condition: ValidationCondition) -> dict[str, Any]:
    return {
        "id": condition.id, "validation_id": condition.validation_id, "text": condition.text,
        "due_at": condition.due_at, "state": condition_state(condition, clock.now()), "met_at": condition.met_at,
        "evidence": condition.evidence, "document": condition.document,
    }  # fmt: skip


def condition_state(condition: ValidationCondition, now: datetime) -> str:
    """open, met, met late, or lapsed: its day is over and nobody met it."""
    if condition.met_at is not None:
        return "met" if condition.met_at <= condition.due_at else "met late"
    return "lapsed" if now >= condition.due_at else "open"


def finding_views(
    session: ReadSession, findings: Iterable[Finding], *, named: bool = True
) -> list[dict[str, Any]]:
    """`named` false: people by their ids, for what is kept."""
    rows, now = list(findings), clock.now()
    people = {person for one in rows for person in (one.owner_id, one.opened_by, one.closed_by)}
    names = names_of(session, people) if named else {one: one for one in people if one}
    return [
        {
            "id": one.id, "ref": f"FND-{one.id}", "model": one.model, "title": one.title, "detail": one.detail,
            "severity": one.severity, "state": one.state, "owner": names[one.owner_id], "owner_id": one.owner_id,
            "due_at": one.due_at, "overdue": is_overdue(one, now), "plan": one.plan, "answer": one.answer,
            "answered_at": one.answered_at, "validation_id": one.validation_id,
            "opened_by": names.get(one.opened_by) if one.opened_by else "Warrant", "opened_at": one.opened_at,
            "closed_by": names.get(one.closed_by) if one.closed_by else None, "closed_at": one.closed_at,
            "evidence": one.evidence, "document": one.document,
        }
        for one in rows
    ]  # fmt: skip


def is_overdue(finding: Finding, now: datetime) -> bool:
    return finding.state != "closed" and now >= finding.due_at


def open_document(session: ReadSession, viewer: Actor, digest: str) -> tuple[Document, Any]:
    """A paper and its file, checked now, for whoever may see a model that it is about, or handed it in.

    `NotFound` also where the viewer may not know that it exists.
    """
    see(session, viewer)
    document = session.get(Document, digest)
    if document is None or not _may_see(session, viewer, document):
        raise NotFound(f"there is no file {digest[:19]}… that you may see")
    return document, checked_file(document)


def _may_see(session: ReadSession, viewer: Actor, document: Document) -> bool:
    if document.added_by in viewer.people:
        return True
    from backend.controls.tables import ControlJudgement  # its judgements rest on what is vouched for here

    about = set(session.scalars(select(Validation.model).where(Validation.report == document.digest)))
    about |= set(
        session.scalars(select(ControlJudgement.model).where(ControlJudgement.attachment == document.digest))
    )
    about |= set(session.scalars(select(Finding.model).where(Finding.document == document.digest)))
    about |= set(
        session.scalars(
            select(Validation.model)
            .join(ValidationCondition, ValidationCondition.validation_id == Validation.id)
            .where(ValidationCondition.document == document.digest)
        )
    )
    for model in about:
        try:
            if model is not None:
                get_model(session, viewer, model)
            return True
        except NotFound:
            continue
    return False


def _papers(session: ReadSession, digests: set[str]) -> dict[str, Document]:
    return {one.digest: one for one in session.scalars(select(Document).where(Document.digest.in_(digests)))}


def _plain(value: Any) -> Any:
    """Times as text: evidence is stored as JSON and signed."""
    if isinstance(value, datetime):
        return clock.to_iso(value)
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list) else value
