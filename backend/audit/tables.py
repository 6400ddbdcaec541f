"""The audit log's tables.

`leaf` is what was hashed: canonical JSON (RFC 8785) with opaque ids and a salted commitment to the payload,
never personal data. The columns beside it are generated from it by the database, so no cell can differ
from what was hashed. The clear-text payload lives in a side table that retention and erasure may empty.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Computed, ForeignKey, Index, Text, text
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
        Index("ix_audit_entries_object", "object_kind", "object_id", "seq"),
        Index("ix_audit_entries_actor", "actor", "seq"),
        Index("ix_audit_entries_action", "action", "seq"),
        Index("ix_audit_entries_at", "at", "seq"),
    )


class AuditPayload(Base):
    """The clear text of an entry and the salt that binds it to the leaf's commitment."""

    __tablename__ = "audit_payloads"

    seq: Mapped[int] = mapped_column(
        BigId, ForeignKey("audit_entries.seq"), primary_key=True, autoincrement=False
    )
    salt: Mapped[str] = mapped_column(Text)
    payload: Mapped[str] = mapped_column(Text)


class AuditErasure(Base):
    """The payload of entry `seq` was removed, and entry `recorded_by` says so. Kept for ever, as the leaf is."""

    __tablename__ = "audit_erasures"

    seq: Mapped[int] = mapped_column(
        BigId, ForeignKey("audit_entries.seq"), primary_key=True, autoincrement=False
    )
    recorded_by: Mapped[int] = mapped_column(BigId, ForeignKey("audit_entries.seq"), index=True)


class SubjectKey(Base):
    """The key (AES-256, hex) under which what identifies one person is sealed in payloads; see `sealing`.

    A destroyed key is NULL for ever, and entry `destroyed_by` says so. `subject` is an opaque id.
    """

    __tablename__ = "subject_keys"

    subject: Mapped[str] = mapped_column(Text, primary_key=True)
    key: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime]
    destroyed_at: Mapped[datetime | None]
    destroyed_by: Mapped[int | None] = mapped_column(BigId, ForeignKey("audit_entries.seq"))


class AuditSubtree(Base):
    """The root of the complete subtree over entries [position * 2^level, (position + 1) * 2^level), in hex.

    Kept for levels 8, 16, 24, ...: a proof then reads hundreds of hashes and not every leaf.
    """

    __tablename__ = "audit_subtrees"

    level: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    position: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    hash: Mapped[str] = mapped_column(Text)


class AuditCheckpoint(Base):
    """A signed head: the note as it was signed (C2SP tlog-checkpoint), and what it says."""

    __tablename__ = "audit_checkpoints"

    id: Mapped[int] = mapped_column(
        BigId, primary_key=True, autoincrement=False
    )  # 1, 2, 3, ... without a gap
    size: Mapped[int] = mapped_column(BigId, index=True)
    root: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(index=True)  # the time in the signature, in whole seconds
    note: Mapped[str] = mapped_column(Text)


class AuditAnchor(Base):
    """Somebody else holds a checkpoint, and `proof` shows it: a cosignature, the id of a tag."""

    __tablename__ = "audit_anchors"

    id: Mapped[int] = mapped_column(
        BigId, primary_key=True, autoincrement=False
    )  # 1, 2, 3, ... without a gap
    checkpoint_id: Mapped[int] = mapped_column(BigId, ForeignKey("audit_checkpoints.id"), index=True)
    kind: Mapped[str] = mapped_column(Text)  # a key of backend.audit.anchors.KINDS
    place: Mapped[str] = mapped_column(Text)  # which witness, which repository
    at: Mapped[datetime]  # of a witness the time in its signature
    proof: Mapped[str] = mapped_column(Text)


class AuditFinding(Base):
    """Something about the log that a person has to look at. One row is open per kind and subject."""

    __tablename__ = "audit_findings"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    kind: Mapped[str] = mapped_column(Text)
    subject: Mapped[str] = mapped_column(Text)
    level: Mapped[str] = mapped_column(Text)  # page | ticket | info
    state: Mapped[str] = mapped_column(Text, default="open")  # open | closed
    title: Mapped[str] = mapped_column(Text)
    details: Mapped[dict[str, Any]]
    owner: Mapped[str | None] = mapped_column(ForeignKey("persons.id"))
    opened_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]
    closed_because: Mapped[str] = mapped_column(Text, default="")

    __table_args__ = (
        Index(
            "uq_audit_findings_open", "kind", "subject", unique=True,
            sqlite_where=text("state = 'open'"), postgresql_where=text("state = 'open'"),
        ),
    )  # fmt: skip


class AuditVerification(Base):
    """What a verification of the whole log found, and when."""

    __tablename__ = "audit_verifications"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    at: Mapped[datetime]
    ok: Mapped[bool]
    size: Mapped[int] = mapped_column(BigId)
    root: Mapped[str] = mapped_column(Text)
    problem: Mapped[str] = mapped_column(Text, default="")


class SavedSearch(Base):
    """A search of the log under a name of one person's own."""

    __tablename__ = "audit_saved_searches"

    person_id: Mapped[str] = mapped_column(ForeignKey("persons.id"), primary_key=True)
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    search: Mapped[dict[str, Any]]  # backend.audit.searching.Search.to_json
    saved_at: Mapped[datetime]


class AuditCursor(Base):
    """How far something has followed the log: entries before `next_seq` are done. One row a follower."""

    __tablename__ = "audit_cursors"

    name: Mapped[str] = mapped_column(Text, primary_key=True)  # "reconciliation", "stream <kind> <address>"
    next_seq: Mapped[int] = mapped_column(BigId, default=0)
    moved_at: Mapped[datetime]
    problem: Mapped[str] = mapped_column(Text, default="")  # why it did not move when it last tried
    failing_since: Mapped[datetime | None]


class AuditHead(Base):
    """One row (id 1): size, root and frontier of the tree. Locked by every append, so the log has no gaps.

    `mac` is made with a key outside the database (`backend.audit.keys`): who only owns the database can rewrite the
    row and cannot make it look as if Warrant had appended.
    """

    __tablename__ = "audit_head"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    size: Mapped[int] = mapped_column(BigId)
    root: Mapped[str] = mapped_column(Text)
    frontier: Mapped[list[str]]
    mac: Mapped[str] = mapped_column(Text, default="")
