"""Which texts of the log stay, and why: the one list of retention of the house, of a model, and of erasure on request.

What holds keep is said in `backend.holds.payloads`. Leaves, proofs and the entries that record erasures stay for ever,
and so do those of signed judgements: the same text is kept with the judgement, which nothing else would bear out.
Entries about a change keep theirs until it has ended: before each decision the change is compared with them. So do
those with which the policy in force, delegations and exceptions that stand, roles of open accounts (for the house and
in teams), people of versions, tiers, enforcement and teams of models, and findings are compared. Age alone does not
take what says why data are gone, nor the text of the making of a pack, which is proved with it as long as it is kept;
somebody who is named there has it erased all the same.

What a system that follows the log with payloads has not taken yet waits for it, for a week at most. It waits because a
copy that is missing in the SIEM cannot be made afterwards; not for ever, because data that were to be kept for so long
are not kept longer on account of a system that nobody mends.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, Select, String, and_, cast, or_, select

from backend import clock
from backend.assurance.tables import PolicyException
from backend.audit.actions import Action
from backend.audit.streams import streams
from backend.audit.tables import AuditCursor, AuditEntry, AuditPayload
from backend.database.session import ReadSession
from backend.governance.account_record import ROLES_OF
from backend.governance.machine import OPEN
from backend.governance.tables import Change, Delegation
from backend.holds.payloads import kept_payloads
from backend.identity.tables import Person
from backend.packs.tables import EvidencePack

WAITS: Final = timedelta(days=7)  # for a system that follows the log
_COMPARED: Final = (
    Action.PAYLOADS_ERASED, Action.CONTROL_JUDGED, Action.POLICY_REPLACED, Action.VERSION_REGISTERED,
    Action.DATA_OWNER_DECLARED,
    Action.MODEL_REGISTERED, Action.VENDOR_MODEL_REGISTERED, Action.TIER_CHANGED, Action.ENFORCEMENT_CHANGED,
    Action.MODEL_MOVED,
    Action.AUDIT_FINDING_OPENED, Action.AUDIT_FINDING_CLOSED,
)  # fmt: skip
_OF_RETENTION: Final = (Action.DATA_TRIMMED, Action.DATA_RULE_SET)


@dataclass(frozen=True)
class Staying:
    """Entries whose texts stay, and what whoever asks for the erasure of one is told; empty: then it does not stay."""

    entries: ColumnElement[bool]
    refusal: str = ""


def staying() -> tuple[Staying, ...]:
    """Everything that stays now, but for what holds keep and what a system has still to take."""
    return (
        Staying(
            _is_one_of(_COMPARED),
            "is what the record itself is compared with (an erasure, a signed judgement, a policy, a version, a "
            "finding, the enforcement of a rule), and nothing else bears that out; it stays",
        ),
        Staying(
            and_(
                AuditEntry.object_kind == "change",
                AuditEntry.object_id.in_(select(cast(Change.id, String)).where(Change.state.in_(OPEN))),
            ),
            "is about a change that has not ended, and is compared with it; ask again when it has",
        ),
        Staying(
            _gives_what_counts(),
            "gives a right that still counts (a role, a delegation, an exception), and is compared with it; ask "
            "again when that has ended",
        ),
        Staying(_is_one_of(_OF_RETENTION)),
        Staying(
            AuditEntry.seq.in_(
                select(EvidencePack.entry).where(
                    EvidencePack.entry.is_not(None), EvidencePack.forgotten_at.is_(None)
                )
            )
        ),
    )


def too_old(session: ReadSession, before: datetime) -> Select[int]:
    """The numbers of entries dated before that moment whose texts go by their age, oldest first."""
    kept = [one for one in (kept_payloads(session), _not_taken_yet(session, before)) if one is not None]
    return old_texts(before).where(*(~one for one in kept)).order_by(AuditEntry.seq)


def old_texts(before: datetime) -> Select[int]:
    """As `too_old`, with what is held or waits for a system that follows the log."""
    return (
        select(AuditEntry.seq)
        .join(AuditPayload, AuditPayload.seq == AuditEntry.seq)
        .where(AuditEntry.at < clock.to_iso(before), *(~one.entries for one in staying()))
    )


def not_taken(session: ReadSession, name: str) -> ColumnElement[bool]:
    """Entries that a system has not taken."""
    cursor = session.get(AuditCursor, name)
    return AuditEntry.seq >= (cursor.next_seq if cursor is not None else 0)


def _not_taken_yet(session: ReadSession, before: datetime) -> ColumnElement[bool] | None:
    """Entries that wait for a system that follows the log with payloads: what it has not taken, until a week after
    `before`. None where nothing waits."""
    late = AuditEntry.at >= clock.to_iso(before - WAITS)
    waits = [and_(not_taken(session, one.name), late) for one in streams() if one.with_payload]
    return or_(*waits) if waits else None


def _is_one_of(actions: tuple[Action, ...]) -> ColumnElement[bool]:
    return AuditEntry.action.in_([one.value for one in actions])


def _gives_what_counts() -> ColumnElement[bool]:
    """What is lent or excepted and not over, and the roles of open accounts."""
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
            AuditEntry.action.in_([one.value for one in (*ROLES_OF, Action.TEAM_ROLES_CHANGED)]),
            AuditEntry.object_id.in_(select(Person.id).where(Person.disabled_at.is_(None))),
        ),
    )
