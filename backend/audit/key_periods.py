"""Which keys the log uses, since when and until when: what signs its heads, what marks appends, what seals people.

A signing key begins with the first head (the first key) or the entry that changed the key, and ends when the next one
took over; its end is published with it (`backend.audit.signers`), and a signature dated later counts nowhere. The key
of a person begins with the account and ends with the entry that records the erasure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from backend import clock
from backend.audit.actions import Action
from backend.audit.notes import VerifierKey
from backend.audit.tables import AuditCheckpoint, AuditEntry, AuditHead, SubjectKey
from backend.database.session import ReadSession
from backend.identity.actor import Actor
from backend.identity.reach import see
from backend.identity.roles import Permission


@dataclass(frozen=True)
class KeyPeriod:
    """One signing key. since: None before the first head; until: None while it signs; entry: that changed to it."""

    key: VerifierKey
    since: datetime | None
    until: datetime | None
    entry: int | None


@dataclass(frozen=True)
class KeysInUse:
    """signing: oldest first. marks: id of the key that marked the newest append. held, destroyed: keys of people, with
    the moments of the first account and of the last erasure."""

    signing: tuple[KeyPeriod, ...]
    marks: str
    held: int
    first_made: datetime | None
    destroyed: int
    last_destroyed: datetime | None


def keys_in_use(session: ReadSession, viewer: Actor, published: Sequence[VerifierKey]) -> KeysInUse:
    """published: the verifier keys as their file has them. Keys of people are counted, for who sees the whole house."""
    see(session, viewer, Permission.READ_AUDIT)
    head = session.get(AuditHead, 1)
    held, first, destroyed, last = session.execute(
        select(
            func.count(SubjectKey.key), func.min(SubjectKey.created_at), func.count(SubjectKey.destroyed_at),
            func.max(SubjectKey.destroyed_at),
        )
    ).one()  # fmt: skip
    marks = head.mac.partition(":")[0] if head is not None else ""
    signing = _signing(session, published)
    if viewer.models_with(Permission.READ_AUDIT) is not None:
        return KeysInUse(signing, marks, 0, None, 0, None)
    return KeysInUse(signing, marks, held, first, destroyed, last)


def _signing(session: ReadSession, published: Sequence[VerifierKey]) -> tuple[KeyPeriod, ...]:
    began = session.scalar(select(func.min(AuditCheckpoint.at)))
    changed = {
        row.object_id: (row.seq, clock.from_iso(row.at))
        for row in session.execute(
            select(AuditEntry.object_id, AuditEntry.seq, AuditEntry.at)
            .where(AuditEntry.action == Action.KEY_ROTATED.value, AuditEntry.object_kind == "key")
            .order_by(AuditEntry.seq)
        )
    }
    found = []
    for number, key in enumerate(published):
        entry, since = changed.get(str(key), (None, began if number == 0 else None))
        found.append(KeyPeriod(key, since, key.until, entry))
    return tuple(found)
