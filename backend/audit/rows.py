"""Reading the log's rows as the raw bytes that are stored, so that a damaged one can be shown, not crash.

SQLite stores what it is given: a flipped byte may make text that is not UTF-8, which its driver refuses to
decode. PostgreSQL guarantees valid text.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import LargeBinary, Row, Select, Text, and_, cast, func, literal, or_, select, type_coerce
from sqlalchemy.sql.elements import ColumnElement

from backend.audit.tables import AuditEntry, AuditErasure, AuditPayload

GENERATED = ("at", "actor", "action", "object_kind", "object_id")
_STORED = (
    AuditEntry.leaf, AuditEntry.leaf_hash, AuditEntry.at, AuditEntry.actor, AuditEntry.action,
    AuditEntry.object_kind, AuditEntry.object_id, AuditPayload.salt, AuditPayload.payload,
)  # fmt: skip


@dataclass(frozen=True)
class StoredEntry:
    """One entry and its payload as stored. None is a NULL, or a payload row that is not there."""

    seq: int
    leaf: bytes | None
    leaf_hash: bytes | None
    generated: dict[str, bytes | None]
    has_payload: bool
    salt: bytes | None
    payload: bytes | None
    erased_by: int | None  # the entry that records that the payload was removed on purpose
    kinds: str  # storage classes on SQLite, every one "text" unless tampered with; empty on PostgreSQL

    @cached_property
    def fields(self) -> dict[str, Any]:
        """The leaf's members, or nothing when it is not a JSON object."""
        return parsed(self.leaf)

    @cached_property
    def clear(self) -> dict[str, Any]:
        """The payload's members, or nothing."""
        return parsed(self.payload)


def parsed(document: bytes | None) -> dict[str, Any]:
    try:
        value = json.loads((document or b"").decode())
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def raw(column: Any, dialect: str) -> ColumnElement[Any]:
    """The column's bytes on SQLite, its text on PostgreSQL."""
    return cast(column, LargeBinary) if dialect == "sqlite" else type_coerce(column, Text)


def stored_entries(dialect: str, *, after: int | None = None) -> Select[Any]:
    """Every entry beside its payload, those behind entry `after`; the caller filters, orders and limits."""
    kinds: ColumnElement[Any] = literal("")
    if dialect == "sqlite":
        for column in _STORED:
            kinds = kinds.concat(func.typeof(column)).concat(" ")
    return _beside(_columns(dialect, kinds.label("kinds")), after)


def plain_rows(dialect: str, after: int | None) -> Select[Any]:
    """What `entry_checks.plain_hash` looks at, of the entries behind entry `after`, by number; the caller limits.

    After the columns of the entry and its payload: the payload's number, whether every cell that is there is stored as
    text (SQLite), and the entry that records the payload's erasure.
    """
    all_text: ColumnElement[Any] = literal(1)
    if dialect == "sqlite":
        entry, payload = (
            and_(*(func.typeof(column) == "text" for column in some)) for some in (_STORED[:7], _STORED[7:])
        )
        all_text = and_(entry, or_(payload, AuditPayload.seq.is_(None)))
    return _beside(_columns(dialect, all_text.label("all_text")), after).order_by(AuditEntry.seq)


def _columns(dialect: str, kinds: ColumnElement[Any]) -> Select[Any]:
    return select(
        AuditEntry.seq, *(raw(column, dialect).label(f"c{i}") for i, column in enumerate(_STORED)),
        AuditPayload.seq.label("payload_seq"), kinds, AuditErasure.recorded_by,
    )  # fmt: skip


def _beside(query: Select[Any], after: int | None) -> Select[Any]:
    """Payloads and erasures beside their entries, where these lie behind entry `after`. Said of each of the three
    tables: PostgreSQL would go through the whole beginning of the others for every page."""
    for table in (AuditPayload, AuditErasure):
        beside = table.seq == AuditEntry.seq
        query = query.outerjoin(table, beside if after is None else and_(beside, table.seq > after))
    return query if after is None else query.where(AuditEntry.seq > after)


def as_stored(row: Row[Any]) -> StoredEntry:
    values = [value.encode() if isinstance(value, str) else value for value in row[1 : 1 + len(_STORED)]]
    return StoredEntry(
        seq=row[0],
        leaf=values[0],
        leaf_hash=values[1],
        generated=dict(zip(GENERATED, values[2:7], strict=True)),
        has_payload=row.payload_seq is not None,
        salt=values[7],
        payload=values[8],
        erased_by=row.recorded_by,
        kinds=row.kinds,
    )
