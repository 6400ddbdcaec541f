"""What stands beside the entries: stored subtrees, payloads without entry, triggers, and SQLite's own structure."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, func, select

from backend.audit.entry_checks import Altered
from backend.audit.erasure_checks import stray_erasure
from backend.audit.merkle import KEPT_LEVEL, Subtree
from backend.audit.rows import raw
from backend.audit.tables import (
    AuditAnchor,
    AuditCheckpoint,
    AuditEntry,
    AuditErasure,
    AuditHead,
    AuditPayload,
    AuditSubtree,
    SubjectKey,
)
from backend.audit.triggers import missing_guard

_AT_ONCE = 256
TABLES = (
    AuditEntry,
    AuditPayload,
    AuditHead,
    AuditErasure,
    AuditSubtree,
    AuditCheckpoint,
    AuditAnchor,
    SubjectKey,
)


class SubtreeCheck:
    """Compares the stored subtrees with those that the entries make, some at a time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._waiting: list[Subtree] = []

    def add(self, completed: Sequence[Subtree]) -> None:
        self._waiting += completed
        if len(self._waiting) >= _AT_ONCE:
            self._compare()

    def finish(self, size: int) -> None:
        """Compare the rest, and see that there are no others."""
        self._compare()
        stored = self._connection.scalar(select(func.count()).select_from(AuditSubtree))
        expected = sum(size >> level for level in range(KEPT_LEVEL, 64, KEPT_LEVEL))
        if stored != expected:
            raise Altered(f"{stored} subtrees are stored and {size} entries have {expected}")

    def _compare(self) -> None:
        stored_hash = raw(AuditSubtree.hash, self._connection.dialect.name)
        for level in {one.level for one in self._waiting}:
            made = {one.position: one.root.hex() for one in self._waiting if one.level == level}
            stored = self._connection.execute(
                select(AuditSubtree.position, stored_hash).where(
                    AuditSubtree.level == level, AuditSubtree.position.between(min(made), max(made))
                )
            )
            found = {
                place: one.decode("ascii", "replace") if isinstance(one, bytes) else one
                for place, one in stored
            }
            for position, root in made.items():
                if found.get(position) != root:
                    first = position << level
                    raise Altered(
                        f"the stored subtree over the entries {first} to {first + (1 << level) - 1} is missing or is "
                        "not theirs"
                    )
        self._waiting.clear()


def check_orphans(connection: Connection) -> None:
    """Raise `Altered` for a payload or an erasure without its entry."""
    orphan = connection.execute(
        select(AuditPayload.seq)
        .where(~select(AuditEntry.seq).where(AuditEntry.seq == AuditPayload.seq).exists())
        .order_by(AuditPayload.seq)
        .limit(1)
    ).first()
    if orphan is not None:
        raise Altered(f"a payload is stored for entry {orphan.seq}, which does not exist", orphan.seq)
    stray = stray_erasure(connection)
    if stray is not None:
        raise Altered(
            f"an erasure is stored for entry {stray}, and the entry or its record does not exist", stray
        )


def check_structure(connection: Connection) -> None:
    """Raise `Altered` for a missing trigger and, on SQLite, an index that does not agree with its table: an entry
    taken out of an index hides from searches."""
    missing = missing_guard(connection)
    if missing is not None:
        raise Altered(
            f"the trigger {missing} is missing or altered: the database no longer refuses changes of the log"
        )
    if connection.dialect.name != "sqlite":
        return
    for table in TABLES:
        found = connection.exec_driver_sql(f"PRAGMA integrity_check({table.__tablename__})").scalars().all()
        if found != ["ok"]:
            raise Altered(f"the table {table.__tablename__} is damaged: {found[0]}")
