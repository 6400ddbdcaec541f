"""What people do with findings about the log: take one on, close one with a reason."""

from __future__ import annotations

from typing import Final

from sqlalchemy import func, select

from backend import clock
from backend.audit.actions import Action
from backend.audit.findings import (
    BACKUP_LATE,
    HELD_LOST,
    NOT_ANCHORED,
    NOT_INTACT,
    NOT_RESTORABLE,
    NOT_SEARCHED,
    NOT_SIGNED,
    NOT_STREAMED,
    NOT_STREAMED_IN_TIME,
    levels_in_order,
)
from backend.audit.log import record
from backend.audit.tables import AuditFinding
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput, Conflict, NotAllowed, NotFound
from backend.identity.actor import Actor
from backend.identity.people import person_by_id
from backend.identity.reach import allow, see
from backend.identity.roles import Permission

# What is so as long as it is so: these close by themselves when it is mended.
CLOSE_THEMSELVES: Final = frozenset(
    {
        NOT_SIGNED,
        NOT_ANCHORED,
        NOT_INTACT,
        NOT_SEARCHED,
        NOT_STREAMED,
        NOT_STREAMED_IN_TIME,
        HELD_LOST,
        NOT_RESTORABLE,
        BACKUP_LATE,
    }
)
LONGEST_REASON: Final = 4000


def list_findings(
    session: ReadSession, viewer: Actor, *, closed: bool = False, limit: int = 200, offset: int = 0
) -> list[AuditFinding]:
    """What is open, the gravest and oldest first; with `closed` what was closed, the newest first. Findings are about
    the whole house: who sees named models only sees none."""
    see(session, viewer, Permission.READ_AUDIT)
    if viewer.models_with(Permission.READ_AUDIT) is not None:
        return []
    query = select(AuditFinding).where(AuditFinding.state == ("closed" if closed else "open"))
    if closed:
        newest = query.order_by(AuditFinding.closed_at.desc(), AuditFinding.id.desc())
        return list(session.scalars(newest.limit(limit).offset(offset)))
    return levels_in_order(session.scalars(query.order_by(AuditFinding.id)))[offset : offset + limit]


def count_findings(session: ReadSession, viewer: Actor, *, closed: bool = False) -> int:
    """How many `list_findings` would give without an end."""
    see(session, viewer, Permission.READ_AUDIT)
    if viewer.models_with(Permission.READ_AUDIT) is not None:
        return 0
    state = "closed" if closed else "open"
    return session.scalar(select(func.count(AuditFinding.id)).where(AuditFinding.state == state)) or 0


def own_finding(session: WriteSession, actor: Actor, finding_id: int, *, owner_id: str) -> AuditFinding:
    """Say who looks after it. Raises `NotFound`, `Conflict` where it is closed, `BadInput` for who cannot."""
    finding = _open_finding(session, actor, finding_id)
    owner = person_by_id(session, owner_id)
    if owner.kind != "person" or owner.disabled_at is not None:
        raise BadInput(
            f"{owner.display_name} cannot take this on: name a person whose account is open", field="owner_id"
        )
    if finding.owner != owner_id:
        before, finding.owner = finding.owner, owner_id
        session.flush()
        record(
            session, actor, Action.AUDIT_FINDING_OWNED, object_kind="audit_finding", object_id=finding.id,
            payload={"owner": owner_id, "before": before},
        )  # fmt: skip
    return finding


def close_by_hand(session: WriteSession, actor: Actor, finding_id: int, *, why: str) -> AuditFinding:
    """Close it, with a reason that others read. Whose doing it is about does not close it."""
    finding = _open_finding(session, actor, finding_id)
    why = why.strip()
    if not 1 <= len(why) <= LONGEST_REASON or "\x00" in why:
        raise BadInput(f"write why it is closed, in 1 to {LONGEST_REASON} characters", field="why")
    if finding.kind in CLOSE_THEMSELVES:
        raise Conflict(f"finding {finding_id} closes by itself when what it says is no longer so")
    if finding.details.get("actor") in actor.people:
        raise NotAllowed(f"finding {finding_id} is about what you did; somebody else has to close it")
    finding.state, finding.closed_at, finding.closed_because = "closed", clock.now(), why
    session.flush()
    record(
        session, actor, Action.AUDIT_FINDING_CLOSED, object_kind="audit_finding", object_id=finding.id, why=why,
        payload={"kind": finding.kind, "subject": finding.subject},
    )  # fmt: skip
    return finding


def _open_finding(session: WriteSession, actor: Actor, finding_id: int) -> AuditFinding:
    see(session, actor, Permission.READ_AUDIT)
    allow(session, actor, Permission.HANDLE_FINDINGS)
    finding = session.get(AuditFinding, finding_id, with_for_update=True)
    if finding is None or actor.models_with(Permission.READ_AUDIT) is not None:
        raise NotFound(f"there is no finding {finding_id} about the log that you may see")
    if not actor.may_about(Permission.HANDLE_FINDINGS, None):
        raise NotAllowed("a finding about the log concerns the whole house: a role in a team is not enough")
    if finding.state != "open":
        raise Conflict(f"finding {finding_id} is closed already: {finding.closed_because}")
    return finding
