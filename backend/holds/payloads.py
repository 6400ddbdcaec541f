"""What holds keep of the audit log's payloads, as conditions on entries beside their payloads.

A hold on `log *` keeps every payload; one on a model's log those of entries about the model or that name it; one on a
person those of what that person did and what names them.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Select, or_, select

from backend.audit.tables import AuditEntry, AuditPayload
from backend.database.many import any_of
from backend.database.session import ReadSession
from backend.holds.service import open_holds
from backend.holds.tables import EVERYTHING, Hold
from backend.identity.reach import entries_about


def kept_payloads(session: ReadSession) -> ColumnElement[bool] | None:
    """The condition of entries whose payloads are held; None where no hold keeps any."""
    logs = {one.object_id for one in open_holds(session, "log")}
    if EVERYTHING in logs:
        return AuditEntry.seq >= 0
    kept = [_says_of(one.object_id) for one in open_holds(session, "person")]
    kept += [_names(one) for one in sorted(logs)]
    return any_of([entries_about(sorted(logs)), *kept]) if kept else None


def hold_on_payloads(session: ReadSession, seqs: Sequence[int]) -> Hold | None:
    """The hold on the payload of any of these entries, or None."""
    for kind in ("log", "person"):
        for hold in open_holds(session, kind):
            if (
                session.scalar(_entries().where(AuditEntry.seq.in_(seqs), _kept_by(hold)).limit(1))
                is not None
            ):
                return hold
    return None


def hold_on_entries_of(session: ReadSession, person_id: str) -> Hold | None:
    """The hold on a log that says something of this person: to erase them would make it unreadable."""
    for hold in open_holds(session, "log"):
        if hold.object_id == EVERYTHING:
            return hold
        if session.scalar(_entries().where(_kept_by(hold), _says_of(person_id)).limit(1)) is not None:
            return hold
    return None


def _entries() -> Select[int]:
    return select(AuditEntry.seq).join(AuditPayload, AuditPayload.seq == AuditEntry.seq)


def _kept_by(hold: Hold) -> ColumnElement[bool]:
    if hold.object_id == EVERYTHING:
        return AuditEntry.seq >= 0
    if hold.kind == "person":
        return _says_of(hold.object_id)
    return or_(entries_about([hold.object_id]), _names(hold.object_id))


def _names(model: str) -> ColumnElement[bool]:
    return AuditPayload.payload.contains(f'"{model}"', autoescape=True)


def _says_of(person_id: str) -> ColumnElement[bool]:
    return or_(
        AuditEntry.actor == person_id, AuditEntry.object_id == person_id,
        AuditEntry.leaf.contains(f'"{person_id}"', autoescape=True),  # also who was acted for
        AuditPayload.payload.contains(f'"{person_id}"', autoescape=True),
    )  # fmt: skip
