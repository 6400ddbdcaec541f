"""Reading the log's rows as the raw bytes that are stored, so that a damaged one can be shown, not crash.

SQLite stores what it is given: a flipped byte may make text that is not UTF-8, which its driver refuses to
decode. PostgreSQL guarantees valid text.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import LargeBinary, Row, Select, Text, cast, func, literal, select, type_coerce
from sqlalchemy.sql.elements import ColumnElement

from backend.audit.tables import AuditEntry, AuditPayload

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


def stored_entries(dialect: str) -> Select[Any]:
    """Every entry beside its payload; the caller filters, orders and limits."""
    kinds: ColumnElement[Any] = literal("")
    if dialect == "sqlite":
        for column in _STORED:
            kinds = kinds.concat(func.typeof(column)).concat(" ")
    return select(
        AuditEntry.seq, *(raw(column, dialect).label(f"c{i}") for i, column in enumerate(_STORED)),
        AuditPayload.seq.label("payload_seq"), kinds.label("kinds"),
    ).outerjoin(AuditPayload, AuditPayload.seq == AuditEntry.seq)  # fmt: skip


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
        kinds=row.kinds,
    )
