"""Erasing payloads older than this house keeps them (`WARRANT_AUDIT_KEEP_PAYLOADS_DAYS`), but for what is held.

What holds keep is said in `backend.holds.payloads`. Leaves, proofs and the entries that record erasures stay for ever,
and so do those of signed judgements: the same text is kept with the judgement, which nothing else would bear out.
Entries about a change keep theirs until it has ended: before each decision the change is compared with them. So do
those with which the policy in force, delegations and exceptions that stand, roles of open accounts, people of versions,
tiers and enforcement of models, and findings are compared. Those of the making of a pack keep theirs as long as the
pack is kept, which is proved with them.

What a system that follows the log with payloads has not taken yet waits for it, for a week at most, and a finding says
so all that time. It waits because a copy that is missing in the SIEM cannot be made afterwards; not for ever, because
data that were to be kept for so long are not kept longer on account of a system that nobody mends.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, String, and_, cast, func, or_, select

from backend import clock
from backend.assurance.tables import PolicyException
from backend.audit.actions import Action
from backend.audit.erasure import RETENTION, erase_payloads
from backend.audit.findings import NOT_STREAMED_IN_TIME, close_finding, open_finding
from backend.audit.streams import streams
from backend.audit.tables import AuditCursor, AuditEntry, AuditPayload
from backend.database.session import ReadSession, WriteSession
from backend.governance.account_record import ROLES_OF
from backend.governance.machine import OPEN
from backend.governance.tables import Change, Delegation
from backend.holds.payloads import kept_payloads
from backend.identity.actor import Actor
from backend.identity.tables import Person
from backend.packs.tables import EvidencePack

AT_ONCE: Final = 2_000
STAY: Final = tuple(
    one.value
    for one in (
        Action.PAYLOADS_ERASED, Action.CONTROL_JUDGED, Action.POLICY_REPLACED, Action.VERSION_REGISTERED,
        Action.DATA_OWNER_DECLARED,
        Action.MODEL_REGISTERED, Action.VENDOR_MODEL_REGISTERED, Action.TIER_CHANGED, Action.ENFORCEMENT_CHANGED,
        Action.AUDIT_FINDING_OPENED, Action.AUDIT_FINDING_CLOSED,
    )
)  # fmt: skip
OF_OPEN_CHANGES: Final = and_(
    AuditEntry.object_kind == "change",
    AuditEntry.object_id.in_(select(cast(Change.id, String)).where(Change.state.in_(OPEN))),
)
_OF_KEPT_PACKS: Final = AuditEntry.seq.in_(
    select(EvidencePack.entry).where(EvidencePack.entry.is_not(None), EvidencePack.forgotten_at.is_(None))
)
WAITS: Final = timedelta(days=7)  # for a system that follows the log


def erase_old_payloads(session: WriteSession, actor: Actor, *, before: datetime, limit: int = AT_ONCE) -> int:
    """Erase the payloads of entries dated before that moment, oldest first, `limit` at most. Returns how many."""
    kept = [
        one
        for one in (
            kept_payloads(session),
            _waiting(session, actor, before),
            OF_OPEN_CHANGES,
            _OF_KEPT_PACKS,
            standing(),
        )
        if one is not None
    ]
    query = (
        select(AuditEntry.seq)
        .join(AuditPayload, AuditPayload.seq == AuditEntry.seq)
        .where(
            AuditEntry.at < clock.to_iso(before), AuditEntry.action.not_in(STAY), *(~one for one in kept),
        )
        .order_by(AuditEntry.seq)
        .limit(limit)
    )  # fmt: skip
    seqs = session.scalars(query).all()
    if not seqs:
        return 0
    why = f"payloads are kept until they are older than {before:%Y-%m-%d %H:%M:%S} UTC"
    return len(erase_payloads(session, actor, seqs, why=why, subject=RETENTION))


def standing() -> ColumnElement[bool]:
    """Entries about what still counts: what is lent or excepted and not over, and the roles of open accounts."""
    now = clock.now()
    return or_(
        and_(
            AuditEntry.object_kind == "delegation",
            AuditEntry.object_id.in_(select(cast(Delegation.id, String)).where(Delegation.ends_at > now)),
        ),
        and_(
            AuditEntry.object_kind == "exception",
            AuditEntry.object_id.in_(
                select(cast(PolicyException.id, String)).where(PolicyException.expires_at > now)
            ),
        ),
        and_(
            AuditEntry.action.in_([one.value for one in ROLES_OF]),
            AuditEntry.object_id.in_(select(Person.id).where(Person.disabled_at.is_(None))),
        ),
    )


def not_taken_yet(session: ReadSession, before: datetime) -> ColumnElement[bool] | None:
    """The condition of entries that wait for a system that follows the log with payloads: what it has not taken, until
    a week after `before`, the moment up to which payloads go. None where nothing waits."""
    late = AuditEntry.at >= clock.to_iso(before - WAITS)
    waits = [and_(AuditEntry.seq >= _taken(session, one.name), late) for one in streams() if one.with_payload]
    return or_(*waits) if waits else None


def _taken(session: ReadSession, name: str) -> int:
    """The number of the first entry that a system has not taken."""
    cursor = session.get(AuditCursor, name)
    return cursor.next_seq if cursor is not None else 0


def _waiting(session: WriteSession, actor: Actor, before: datetime) -> ColumnElement[bool] | None:
    """What waits for a system that follows the log, as a condition; None where nothing does. Keeps the finding."""
    for stream in streams():
        if not stream.with_payload:
            continue
        taken = _taken(session, stream.name)
        due = and_(
            AuditEntry.seq >= taken, AuditEntry.at < clock.to_iso(before), AuditEntry.action.not_in(STAY),
        )  # fmt: skip
        oldest = session.scalar(
            select(func.min(AuditEntry.at)).join(AuditPayload, AuditPayload.seq == AuditEntry.seq).where(due)
        )
        if oldest is None:
            close_finding(
                session, actor, NOT_STREAMED_IN_TIME, subject=stream.name, why="it took what was to go"
            )
            continue
        open_finding(
            session, actor, NOT_STREAMED_IN_TIME, subject=stream.name, level="page",
            title=f"payloads are to be erased that {stream.kind} {stream.address} has not taken: they wait until "
            f"{clock.from_iso(oldest) + (clock.now() - before) + WAITS:%Y-%m-%d %H:%M:%S} UTC and go then",
            details={"next": taken},
        )  # fmt: skip
    return not_taken_yet(session, before)
