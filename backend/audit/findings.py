"""What a person has to look at in the log itself: one open row per kind and subject, each opening and closing an entry.

A kind is one row of `KINDS`. Findings of reconciliation (gaps, moves outside, clocks, exports) are further kinds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import select

from backend import clock
from backend.alerting.own_work import fire_finding, settle_finding
from backend.audit.actions import Action
from backend.audit.entries_about import entries_about
from backend.audit.log import record
from backend.audit.tables import AuditFinding
from backend.database.session import ReadSession, WriteSession
from backend.identity.actor import Actor

NOT_SIGNED, NOT_ANCHORED, NOT_INTACT = "not_signed", "not_anchored", "not_intact"
NOT_STREAMED, NOT_STREAMED_IN_TIME, NOT_RECORDED = "not_streamed", "not_streamed_in_time", "not_recorded"
GAP, NO_CHANGE, MOVED_OUTSIDE, CLOCK_JUMPED, EXPORTED = "gap", "no_change", "moved_outside", "clock", "export"
HELD_LOST, NOT_SEARCHED = "held_lost", "not_searched"
NOT_RESTORABLE, BACKUP_LATE, RESTORED = "not_restorable", "backup_late", "restored"
KINDS: Final = {
    NOT_SIGNED: "The head of the log could not be signed",
    NOT_ANCHORED: "A signed head could not be handed to somebody else",
    NOT_INTACT: "The log is not as it was recorded",
    NOT_STREAMED: "Entries do not reach a system that follows the log",
    NOT_STREAMED_IN_TIME: "Payloads go before a system that follows the log has taken them",
    NOT_SEARCHED: "The search has other words than the log",
    GAP: "Numbers of the log are missing",
    NOT_RECORDED: "A table says what no entry does, or lacks what one says",
    NO_CHANGE: "A version serves without a change that says so",
    MOVED_OUTSIDE: "An alias was moved outside",
    CLOCK_JUMPED: "A clock jumped",
    EXPORTED: "The log was exported",
    HELD_LOST: "Files on hold are gone or altered",
    NOT_RESTORABLE: "The newest backup could not be restored in a drill",
    BACKUP_LATE: "A backup or a restore drill is overdue",
    RESTORED: "The log was restored from a backup",
}


def open_finding(
    session: WriteSession,
    actor: Actor,
    kind: str,
    *,
    subject: str,
    title: str,
    level: str = "ticket",
    details: dict[str, Any] | None = None,
) -> AuditFinding:
    """Open the finding, or refresh the one that is open already. `level`: page, ticket or info. An open row that no
    entry opened tells nobody anything: it is opened here."""
    now = clock.now()
    found = _open(session, kind, subject)
    planted = found is not None and not _borne_out(session, [found])
    if found is None:
        found = AuditFinding(
            kind=kind, subject=subject, level=level, state="open", title=title, details=details or {},
            opened_at=now, last_seen_at=now,
        )  # fmt: skip
        session.add(found)
    else:
        found.last_seen_at, found.title, found.level, found.details = now, title, level, details or {}
        if not planted:
            session.flush()
            return found
    session.flush()
    record(
        session, actor, Action.AUDIT_FINDING_OPENED, object_kind="audit_finding", object_id=found.id,
        payload={"kind": kind, "subject": subject, "title": title, "level": level, "details": details or {}},
    )  # fmt: skip
    fire_finding(session, actor, kind=kind, subject=subject, title=title, level=level, finding_id=found.id)
    return found


def told_subjects(session: ReadSession, kind: str, subject: str | None = None) -> set[str]:
    """Of what findings of this kind have told: rows that the log opened about that subject and, where they are closed,
    closed as well. A row that somebody else wrote, closed or turned to another subject has told nothing."""
    query = select(AuditFinding).where(AuditFinding.kind == kind)
    rows = session.scalars(query if subject is None else query.where(AuditFinding.subject == subject)).all()
    return {one.subject for one in _borne_out(session, rows)}


def _borne_out(session: ReadSession, rows: Sequence[AuditFinding]) -> list[AuditFinding]:
    """Those of these rows whose opening, and closing where they are closed, the log has."""
    if not rows:
        return []
    actions = (Action.AUDIT_FINDING_OPENED, Action.AUDIT_FINDING_CLOSED)
    entries = entries_about(session, "audit_finding", [one.id for one in rows], actions)
    found = []
    for row in rows:
        said = {
            one.action for one in entries.get(str(row.id), []) if one.says(kind=row.kind, subject=row.subject)
        }
        if Action.AUDIT_FINDING_OPENED in said and (
            row.state == "open" or Action.AUDIT_FINDING_CLOSED in said
        ):
            found.append(row)
    return found


def close_finding(session: WriteSession, actor: Actor, kind: str, *, subject: str, why: str) -> bool:
    """Close the open finding of this kind and subject. False: there is none."""
    found = _open(session, kind, subject)
    if found is None:
        return False
    found.state, found.closed_at, found.closed_because = "closed", clock.now(), why
    session.flush()
    record(
        session, actor, Action.AUDIT_FINDING_CLOSED, object_kind="audit_finding", object_id=found.id, why=why,
        payload={"kind": kind, "subject": subject},
    )  # fmt: skip
    settle_finding(session, actor, kind=kind, subject=subject, why=why)
    return True


def open_findings(session: ReadSession) -> list[AuditFinding]:
    """Everything that is open, the gravest and oldest first."""
    found = session.scalars(
        select(AuditFinding).where(AuditFinding.state == "open").order_by(AuditFinding.id)
    )
    return levels_in_order(found)


def levels_in_order(found: Iterable[AuditFinding]) -> list[AuditFinding]:
    """The gravest first, else as they came."""
    levels = ("page", "ticket", "info")
    return sorted(found, key=lambda one: levels.index(one.level))


def _open(session: WriteSession, kind: str, subject: str) -> AuditFinding | None:
    return session.scalars(
        select(AuditFinding)
        .where(AuditFinding.kind == kind, AuditFinding.subject == subject, AuditFinding.state == "open")
        .with_for_update()
    ).one_or_none()
