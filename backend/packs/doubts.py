"""What log and tables disagree on about the subject of a pack: looked for while it is made, and found before.

A finding about the log belongs to a pack when it is about one of its changes, deployments or models. That somebody
closed one says why; the disagreement goes on, so it stays a gap.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import select

from backend.audit.change_checks import unrecorded_changes
from backend.audit.deployment_checks import unexplained_deployments
from backend.audit.standing_checks import unset_standing
from backend.audit.tables import AuditFinding
from backend.database.session import ReadSession
from backend.packs.draft import Draft
from backend.packs.scope import Subject

_WHERE = "audit/state.json"


def add_doubts(draft: Draft, session: ReadSession, subject: Subject) -> list[AuditFinding]:
    """A gap for each disagreement. Gives the open findings about the log that belong to the subject."""
    told: set[str] = set()
    for title, name in _found_now(session, subject):
        if name in told:
            continue
        told.add(name)
        closed = _closed(session, name)
        why = f" (finding {closed.id}, closed: {closed.closed_because})" if closed is not None else ""
        draft.gap(
            "medium" if closed is not None else "high", f"Log and tables disagree: {title}{why}", _WHERE
        )
    if subject.lost:
        names = ", ".join(f"CHG-{one}" for one in subject.lost[:20])
        more = f" and {len(subject.lost) - 20} more" if len(subject.lost) > 20 else ""
        draft.gap(
            "high", f"The log has {names}{more} here, and the table of changes does not: their rows were taken away or "
            "turned to another model; their entries are in this pack", "audit/entries.jsonl",
        )  # fmt: skip
    if subject.unplaced:
        draft.gap(
            "high", f"The log has {subject.unplaced} changes of which neither entry nor row says what they are about: "
            "they may belong here", "scope.json",
        )  # fmt: skip
    mine = [one for one in _open(session) if _belongs(one, subject)]
    for one in mine:
        if one.subject not in told and one.level != "info":
            draft.gap(
                "high" if one.level == "page" else "medium",
                f"Finding {one.id} about the log: {one.title}",
                _WHERE,
            )
    return mine


def _found_now(session: ReadSession, subject: Subject) -> Iterator[tuple[str, str]]:
    """Title and subject of each disagreement about what is in the pack, as reconciliation would name them."""
    for change in unrecorded_changes(session, subject.changes):
        yield change.title, change.subject
    for one in unexplained_deployments(session):
        row = one.deployment
        if one.why != "without a change" and row.started_at < subject.as_of and _serves(row, subject):
            yield f"version {row.version} of {row.model} served in {row.environment} {one.why}", one.subject
    for each in unset_standing(session):
        if each.model in subject.models or (subject.scope.model is None and each.model is None):
            yield each.title, each.subject


def _serves(row: Any, subject: Subject) -> bool:
    if subject.scope.kind == "change":
        return row.change_id in subject.changes
    if subject.scope.kind == "version" and row.version != subject.scope.version:
        return False
    return row.model in subject.models


def _belongs(one: AuditFinding, subject: Subject) -> bool:
    """Findings about no one object (numbers that are missing, a clock, a head that is not signed) are about each."""
    if subject.scope.kind == "period" and subject.scope.model is None:
        return True
    details = one.details or {}
    if "change" in details:
        return details["change"] in subject.changes or details["change"] in subject.lost
    if "model" in details:
        return details["model"] in subject.models and (
            subject.scope.kind != "version" or details.get("version") in (None, subject.scope.version)
        )
    return one.kind in ("not_signed", "not_intact", "gap")


def _open(session: ReadSession) -> list[AuditFinding]:
    query = select(AuditFinding).where(AuditFinding.state == "open").order_by(AuditFinding.id)
    return list(session.scalars(query))


def _closed(session: ReadSession, name: str) -> AuditFinding | None:
    query = select(AuditFinding).where(AuditFinding.subject == name).order_by(AuditFinding.id.desc()).limit(1)
    found = session.scalars(query).first()
    return found if found is not None and found.state == "closed" else None
