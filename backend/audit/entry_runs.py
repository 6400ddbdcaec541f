"""Walking over the stored entries in their order, each of them checked."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from typing import Any, Final, cast

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from backend.audit.entry_checks import Altered, check_entry, plain_hash, reject
from backend.audit.erasure_checks import Erasures
from backend.audit.rows import StoredEntry, as_stored, plain_rows, stored_entries
from backend.audit.tables import AuditEntry

BATCH: Final = 2000


def checked_hashes(
    connection: Connection,
    *,
    first: int = 0,
    head_size: int,
    batch: int = BATCH,
    erased_before: int = sys.maxsize,
) -> Iterator[bytes]:
    """The leaf hash of entry `first`, of the next one, and so on to the last that is stored.

    Raises `Altered` at the first that is not as it was recorded, not in its place, or not below `head_size`; also where
    the entry that records an erasure is not below `erased_before`.
    """
    erasures, seq = Erasures(connection, before=erased_before), first
    for row in _rows(connection, first, batch):
        hashed = plain_hash(row, seq) if seq < head_size else None
        if hashed is None or (row[-1] is not None and not erasures.name(seq, row[-1])):
            entry = stored_entry(connection, row[0])
            _check_place(entry, expected_seq=seq, head_size=head_size)
            check_entry(entry)
            erasures.check(entry)
            hashed = (entry.leaf_hash or b"").decode()
        yield bytes.fromhex(hashed)
        seq += 1


def stored_entry(connection: Connection, seq: int) -> StoredEntry:
    """The entry of this number, which must be there."""
    query = stored_entries(connection.dialect.name).where(AuditEntry.seq == seq)
    return as_stored(connection.execute(query).one())


def _check_place(entry: StoredEntry, *, expected_seq: int, head_size: int) -> None:
    if entry.seq < expected_seq:
        reject(entry, "does not belong here: entries are numbered from 0")
    if entry.seq > expected_seq:
        raise Altered(f"entry {expected_seq} is missing: entry {entry.seq} comes next", expected_seq)
    if entry.seq >= head_size:
        reject(entry, f"is beyond the {head_size} entries that the head row counts")


def _rows(connection: Connection, first: int, batch: int) -> Iterator[tuple[Any, ...]]:
    """The rows of `plain_rows` by number, from `first` on; from 0 also those that stand before it. Where a batch cannot
    be read, row by row up to the one that cannot."""
    after = first - 1 if first else None
    seq, size = first, batch
    while True:
        page = plain_rows(connection.dialect.name, after).limit(size)
        try:
            # Straight from the driver: dressing up a million rows takes as long as hashing them.
            with connection.execute(page) as result:
                rows = cast(Any, result.cursor).fetchall()
        except (SQLAlchemyError, sqlite3.Error) as error:
            if size == 1 or connection.dialect.name != "sqlite":
                raise Altered(f"entry {seq} cannot be read: {reason_of(error)}", seq) from error
            size = 1
            continue
        if rows:
            after = rows[-1][0]
        yield from rows
        seq += len(rows)
        if len(rows) < size:
            return


def reason_of(error: Exception) -> str:
    """What an error of the database says, in a line."""
    return str(getattr(error, "orig", None) or error).splitlines()[0] if str(error) else type(error).__name__
