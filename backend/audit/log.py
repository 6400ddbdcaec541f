"""Appending to the audit log, in the caller's transaction.

The leaf that is hashed is canonical JSON (RFC 8785):

    {"v":1,"seq":12,"at":"2026-03-01T09:05:00.000000Z","actor":"per_…","actor_kind":"person",
     "acting_for":null,"session":"ses_…","request":"req_…","action":"governance:change:approve",
     "object_kind":"change","object_id":"7","commitment":"<sha256 of salt ‖ payload, hex>"}

It holds opaque ids only. Names, comments, addresses and before/after values are in the payload, which the
commitment binds: SHA-256(salt ‖ payload) with 32 random bytes of salt, so that an erased payload cannot be
guessed back from its commitment. What identifies a person is sealed in it (`backend.audit.sealing`).
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime
from typing import Any, Final, cast

from sqlalchemy import Connection, Table, bindparam, event, insert, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Session, SessionTransaction

from backend import clock
from backend.addresses import all_without_credentials
from backend.audit import heads, search_index
from backend.audit.actions import Action
from backend.audit.keys import mark_head
from backend.audit.merkle import EMPTY_ROOT, Frontier, leaf_hash
from backend.audit.sealing import Personal, known_keys, make_keys, sealed, subjects_of
from backend.audit.tables import AuditEntry, AuditHead, AuditPayload, AuditSubtree
from backend.canonical import canonical_json
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
) -> int:
    """Append one entry and return its number. It commits with the change it records, or not at all.

    Locks the head row, so entries are gapless and in commit order; call it as late in a transaction as the
    work allows. Everybody who appends waits for that lock: what this session has still to write is written before it
    is taken, and on PostgreSQL the entry, its payload and the new head are one statement. Values of `payload` that
    identify a person are given as `Personal`. Who acts at the command line
    is told by login, account and host. Raises only what the database raises. Addresses lose their passwords: what is
    hashed here cannot be unwritten.
    """
    clear = all_without_credentials({
        "actor_name": _personal(actor, actor.display_name), "address": _personal(actor, actor.address),
        "why": why, **({"command_line": actor.seat} if actor.seat else {}), **(payload or {}),
    })  # fmt: skip
    subjects = subjects_of(clear)
    session.flush()
    connection = session.connection()
    # The second entry of a transaction knows the tree: the lock is held, and this session wrote the first.
    frontier: Frontier | None = session.info.pop(_TREE, None)
    keys = known_keys(session, subjects)
    if keys.keys() != subjects:
        frontier = frontier or _locked_head(connection)
        keys |= make_keys(session, subjects - keys.keys())
    body = canonical_json(sealed(clear, keys)).decode()
    salt = secrets.token_bytes(32).hex()
    commitment = commit_to(salt, body)
    fields: dict[str, Any] = {
        "v": 1,
        "actor": actor.person_id,
        "actor_kind": actor.kind,
        "acting_for": actor.acting_for,
        "session": actor.session_id,
        "request": actor.request_id,
        "action": action.value,
        "object_kind": object_kind,
        "object_id": str(object_id),
        "commitment": commitment,
    }
    words = search_index.row_of(connection.dialect.name, fields, clear)
    frontier = frontier or _locked_head(connection)
    seq = frontier.size
    leaf = canonical_json({**fields, "seq": seq, "at": clock.to_iso(clock.now())}).decode()
    hashed = leaf_hash(leaf.encode())
    completed = frontier.append(hashed)
    root = frontier.root().hex()
    values = {
        "new_seq": seq, "new_leaf": leaf, "new_hash": hashed.hex(), "new_salt": salt, "new_payload": body,
        "new_size": frontier.size, "new_root": root, "new_frontier": [peak.hex() for peak in frontier.peaks],
        "new_mac": mark_head(frontier.size, root),
        **words,
    }  # fmt: skip
    for statement in _APPEND_AT_ONCE if connection.dialect.name == "postgresql" else _APPEND:
        connection.execute(statement, values)
    if completed:
        kept = [
            {"level": level, "position": position, "hash": top.hex()} for level, position, top in completed
        ]
        connection.execute(insert(_SUBTREES), kept)
    if not session.info.get(_TOLD):
        session.info[_TOLD] = True
        after_commit(session, lambda: _publish(session))
    session.info[_NEWEST] = (frontier.size, root)
    session.info[_TREE] = frontier
    return seq


def entered_at(session: WriteSession, seq: int) -> datetime:
    """When an entry of this transaction was made, as its leaf says."""
    return clock.from_iso(session.scalars(select(AuditEntry.at).where(AuditEntry.seq == seq)).one())


def _personal(actor: Actor, value: str | None) -> Personal | str | None:
    """Name and address of a person who acts; those of services and of Warrant's processes name nobody."""
    return Personal(actor.person_id, value) if actor.kind == "person" and value else value


def _publish(session: Session) -> None:
    session.info.pop(_TOLD, None)
    newest: tuple[int, str] | None = session.info.pop(_NEWEST, None)
    if newest is not None:
        heads.publish(*newest)


@event.listens_for(WriteSession, "after_transaction_create")
def _note_head(session: Session, transaction: SessionTransaction) -> None:
    """Whatever a savepoint appends may be taken back: the head before it is the one that is published then."""
    if transaction.nested:
        session.info.setdefault(_BEFORE, {})[transaction] = session.info.get(_NEWEST)


@event.listens_for(WriteSession, "after_transaction_end")
def _forget_heads(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        session.info.pop(_BEFORE, None)


@event.listens_for(WriteSession, "after_soft_rollback")
def _forget_tree(session: Session, previous: SessionTransaction) -> None:
    """What a savepoint took back is no longer in the tree, and is no head."""
    session.info.pop(_TREE, None)
    if previous.nested:
        session.info[_NEWEST] = session.info.get(_BEFORE, {}).pop(previous, None)


@event.listens_for(WriteSession, "after_commit")
def _release_tree(session: Session) -> None:
    session.info.pop(_TREE, None)


def _locked_head(connection: Connection) -> Frontier:
    """The tree as it is now, locked until this transaction ends."""
    head = connection.execute(_LOCK).one_or_none()
    if head is None:
        # The first two entries may be appended at once: the second waits here until the first has committed.
        upsert = sqlite_insert if connection.dialect.name == "sqlite" else postgresql_insert
        empty = {"id": 1, "size": 0, "root": EMPTY_ROOT.hex(), "frontier": [], "mac": ""}
        connection.execute(upsert(_HEAD).values(empty).on_conflict_do_nothing())
        head = connection.execute(_LOCK).one()
    return Frontier(head.size, (bytes.fromhex(peak) for peak in head.frontier))


_TREE, _NEWEST, _TOLD, _BEFORE = "audit_tree", "audit_head", "audit_head_told", "audit_heads_before"
_ENTRIES, _PAYLOADS, _HEAD, _SUBTREES = (
    cast(Table, table.__table__) for table in (AuditEntry, AuditPayload, AuditHead, AuditSubtree)
)
_LOCK: Final = select(_HEAD.c.size, _HEAD.c.frontier).where(_HEAD.c.id == 1).with_for_update()
_ENTRY: Final = insert(_ENTRIES).values(
    seq=bindparam("new_seq"), leaf=bindparam("new_leaf"), leaf_hash=bindparam("new_hash")
)
_PAYLOAD: Final = insert(_PAYLOADS).values(
    seq=bindparam("new_seq"), salt=bindparam("new_salt"), payload=bindparam("new_payload")
)
_NEW_HEAD: Final = (
    update(_HEAD)
    .where(_HEAD.c.id == 1)
    .values(
        size=bindparam("new_size"),
        root=bindparam("new_root"),
        frontier=bindparam("new_frontier"),
        mac=bindparam("new_mac"),
    )
)
_APPEND: Final = (_ENTRY, _PAYLOAD, search_index.insertion("sqlite"), _NEW_HEAD)
_APPEND_AT_ONCE: Final = (
    _NEW_HEAD.add_cte(
        _ENTRY.cte("entry"), _PAYLOAD.cte("payload"), search_index.insertion("postgresql").cte("words")
    ),
)
