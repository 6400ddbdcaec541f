"""Appending to the audit log, in the caller's transaction.

The leaf that is hashed is canonical JSON (RFC 8785):

    {"v":1,"seq":12,"at":"2026-03-01T09:05:00.000000Z","actor":"per_…","actor_kind":"person",
     "acting_for":null,"session":"ses_…","request":"req_…","action":"governance:change:approve",
     "object_kind":"change","object_id":"7","commitment":"<sha256 of salt ‖ payload, hex>"}

It holds opaque ids only. Names, comments, addresses and before/after values are in the payload, which the
commitment binds: SHA-256(salt ‖ payload) with 32 random bytes of salt, so that an erased payload cannot be
guessed back from its commitment.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

import rfc8785
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from backend import clock
from backend.audit import heads
from backend.audit.actions import Action
from backend.audit.merkle import EMPTY_ROOT, Frontier, leaf_hash
from backend.audit.tables import AuditEntry, AuditHead, AuditPayload
from backend.database.session import WriteSession, after_commit
from backend.identity.actor import Actor


def commit_to(salt: str, payload: str) -> str:
    """The commitment of a payload: SHA-256(salt bytes ‖ UTF-8 payload), hex."""
    return hashlib.sha256(bytes.fromhex(salt) + payload.encode()).hexdigest()


def record(
    session: WriteSession,
    actor: Actor,
    action: Action,
    *,
    object_kind: str,
    object_id: str | int,
    payload: dict[str, Any] | None = None,
    why: str = "",
) -> AuditEntry:
    """Append one entry. It commits with the change it records, or not at all.

    Locks the head row, so entries are gapless and in commit order; call it as late in a transaction as the
    work allows. Raises only what the database raises.
    """
    head = _locked_head(session)
    clear = {"actor_name": actor.display_name, "address": actor.address, "why": why, **(payload or {})}
    body = rfc8785.dumps(clear).decode()
    salt = secrets.token_bytes(32).hex()
    leaf = rfc8785.dumps(
        {
            "v": 1,
            "seq": head.size,
            "at": clock.to_iso(clock.now()),
            "actor": actor.person_id,
            "actor_kind": actor.kind,
            "acting_for": actor.acting_for,
            "session": actor.session_id,
            "request": actor.request_id,
            "action": action.value,
            "object_kind": object_kind,
            "object_id": str(object_id),
            "commitment": commit_to(salt, body),
        }
    ).decode()
    hashed = leaf_hash(leaf.encode())
    frontier = Frontier(head.size, (bytes.fromhex(peak) for peak in head.frontier))
    frontier.append(hashed)
    entry = AuditEntry(seq=head.size, leaf=leaf, leaf_hash=hashed.hex())
    session.add(entry)
    session.flush()
    session.add(AuditPayload(seq=entry.seq, salt=salt, payload=body))
    head.size = frontier.size
    head.root = frontier.root().hex()
    head.frontier = [peak.hex() for peak in frontier.peaks]
    session.flush()
    if "audit_head" not in session.info:
        after_commit(session, lambda: heads.publish(*session.info.pop("audit_head")))
    session.info["audit_head"] = (head.size, head.root)
    return entry


def _locked_head(session: WriteSession) -> AuditHead:
    """The head row as it is now, locked until this transaction ends."""
    locked = (
        select(AuditHead).where(AuditHead.id == 1).with_for_update().execution_options(populate_existing=True)
    )
    head = session.scalars(locked).one_or_none()
    if head is None:
        # The first two entries may be appended at once: the second waits here until the first has committed.
        insert = sqlite_insert if session.get_bind().dialect.name == "sqlite" else postgresql_insert
        empty = {"id": 1, "size": 0, "root": EMPTY_ROOT.hex(), "frontier": []}
        session.execute(insert(AuditHead).values(empty).on_conflict_do_nothing())
        head = session.scalars(locked).one()
    return head
