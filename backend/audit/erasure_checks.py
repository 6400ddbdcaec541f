"""Whether a payload that is gone was erased on purpose: an entry must say so, and name it."""

from __future__ import annotations

from bisect import bisect_right

from sqlalchemy import Connection, select

from backend.audit.actions import Action
from backend.audit.entry_checks import reject
from backend.audit.rows import StoredEntry, as_stored, stored_entries
from backend.audit.tables import AuditEntry, AuditErasure


class Erasures:
    """Looks up the entries that record erasures, each once. One that is not below `before` records nothing."""

    def __init__(self, connection: Connection, *, before: int) -> None:
        self._connection, self._before = connection, before
        self._named: dict[int, list[tuple[int, int]]] = {}

    def check(self, entry: StoredEntry) -> None:
        """Raise `Altered` when the erasure of this entry's payload is not recorded. Nothing for one not erased."""
        if entry.erased_by is None:
            return
        if entry.erased_by <= entry.seq:
            reject(
                entry, f"its payload is said to be erased by entry {entry.erased_by}, which is no later one"
            )
        if not self.name(entry.seq, entry.erased_by):
            reject(entry, f"its payload is gone, and entry {entry.erased_by} does not say that it was erased")

    def name(self, seq: int, erased_by: int) -> bool:
        """Whether entry `erased_by`, a later one, says that the payload of entry `seq` was erased."""
        if erased_by not in self._named:
            self._named[erased_by] = self._read(erased_by)
        runs = self._named[erased_by]
        place = bisect_right(runs, (seq, 1 << 62)) - 1
        return erased_by > seq and place >= 0 and runs[place][0] <= seq <= runs[place][1]

    def _read(self, seq: int) -> list[tuple[int, int]]:
        """The runs of entries that entry `seq` erased; none where it is no such entry. Itself it is checked in turn."""
        query = stored_entries(self._connection.dialect.name).where(
            AuditEntry.seq == seq, AuditEntry.seq < self._before
        )
        row = self._connection.execute(query).one_or_none()
        if row is None:
            return []
        recorder = as_stored(row)
        if recorder.fields.get("action") != Action.PAYLOADS_ERASED.value:
            return []
        runs = recorder.clear.get("entries")
        found = [
            (run[0], run[1])
            for run in (runs if isinstance(runs, list) else [])
            if isinstance(run, list) and len(run) == 2 and all(type(end) is int for end in run)
        ]
        return sorted(found)


def stray_erasure(connection: Connection) -> int | None:
    """An erasure of an entry that does not exist, or by one that does not."""
    known = select(AuditEntry.seq)
    return connection.scalar(
        select(AuditErasure.seq)
        .where(
            ~known.where(AuditEntry.seq == AuditErasure.seq).exists()
            | ~known.where(AuditEntry.seq == AuditErasure.recorded_by).exists()
        )
        .limit(1)
    )
