"""The audit log's tables.

`leaf` is what was hashed: canonical JSON (RFC 8785) with opaque ids and a salted commitment to the payload,
never personal data. The columns beside it are generated from it by the database, so no cell can differ
from what was hashed. The clear-text payload lives in a side table that retention and erasure may empty.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Computed, ForeignKey, Index, Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.sql.expression import ColumnElement

from backend.database.base import Base
from backend.database.types import BigId


class LeafField(ColumnElement[str]):
    """One member of the leaf's JSON, in the words of each database."""

    inherit_cache = True

    def __init__(self, key: str) -> None:
        self.key_in_leaf = key


@compiles(LeafField, "sqlite")
def _on_sqlite(element: LeafField, _compiler: Any, **_: Any) -> str:
    return f"json_extract(leaf, '$.{element.key_in_leaf}')"


@compiles(LeafField)
def _on_postgresql(element: LeafField, _compiler: Any, **_: Any) -> str:
    return f"(CAST(leaf AS json) ->> '{element.key_in_leaf}')"


def _from_leaf(key: str) -> Computed:
    return Computed(LeafField(key), persisted=True)


class AuditEntry(Base):
    __tablename__ = "audit_entries"

    seq: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    leaf: Mapped[str] = mapped_column(Text)
    leaf_hash: Mapped[str] = mapped_column(Text)
    at: Mapped[str] = mapped_column(Text, _from_leaf("at"))
    actor: Mapped[str] = mapped_column(Text, _from_leaf("actor"))
    action: Mapped[str] = mapped_column(Text, _from_leaf("action"))
    object_kind: Mapped[str] = mapped_column(Text, _from_leaf("object_kind"))
    object_id: Mapped[str] = mapped_column(Text, _from_leaf("object_id"))

    __table_args__ = (
        Index("ix_audit_entries_object", "object_kind", "object_id"),
        Index("ix_audit_entries_actor", "actor"),
        Index("ix_audit_entries_action", "action"),
        Index("ix_audit_entries_at", "at"),
    )


class AuditPayload(Base):
    """The clear text of an entry and the salt that binds it to the leaf's commitment."""

    __tablename__ = "audit_payloads"

    seq: Mapped[int] = mapped_column(
        BigId, ForeignKey("audit_entries.seq"), primary_key=True, autoincrement=False
    )
    salt: Mapped[str] = mapped_column(Text)
    payload: Mapped[str] = mapped_column(Text)


class AuditHead(Base):
    """One row (id 1): size, root and frontier of the tree. Locked by every append, so the log has no gaps."""

    __tablename__ = "audit_head"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    size: Mapped[int] = mapped_column(BigId)
    root: Mapped[str] = mapped_column(Text)
    frontier: Mapped[list[str]]
