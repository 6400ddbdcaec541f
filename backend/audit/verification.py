"""Recomputing the whole log from what is stored, and saying where it first differs.

Checked, in order of entries: no gap and nothing before the first or beyond the head; every cell stored as
text; the leaf's hash; the leaf in canonical form with the right members and its own number; the database's
generated columns; the payload and its commitment. Then the head row (size, root, frontier), the head this
machine published outside the database, payloads without entry, and on SQLite the table's own structure.

What it cannot see alone: a log rewritten as a whole together with every published head. That is what
checkpoints signed and kept elsewhere are for.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NoReturn

from sqlalchemy import Connection, select
from sqlalchemy.exc import SQLAlchemyError

from backend import clock
from backend.audit.heads import Head, read_head
from backend.audit.merkle import Frontier, leaf_hash
from backend.audit.rows import StoredEntry, as_stored, raw, stored_entries
from backend.audit.tables import AuditEntry, AuditHead, AuditPayload
from backend.database.engine import Database, database

BATCH = 500
MEMBERS = frozenset(
    {"v", "seq", "at", "actor", "actor_kind", "acting_for", "session", "request", "action", "object_kind",
     "object_id", "commitment"}
)  # fmt: skip
_HASH = re.compile(rb"[0-9a-f]{64}")
_AT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
PUBLISHED_WITHIN = timedelta(seconds=60)


@dataclass(frozen=True)
class Problem:
    """The first thing that is not as it was recorded. `seq` is None where it is not about one entry."""

    message: str
    seq: int | None = None


@dataclass(frozen=True)
class Verification:
    """`size` entries were found good, with `root` (hex) over them. `published` is the head this machine keeps
    outside the database; without one a cut tail could not be seen, and `ok` says only that the rest agrees.
    """

    ok: bool
    size: int
    root: str
    problem: Problem | None
    published: Head | None


class _Altered(Exception):
    def __init__(self, message: str, seq: int | None = None) -> None:
        super().__init__(message)
        self.problem = Problem(message, seq)


def verify(source: Database | None = None) -> Verification:
    """Verify every entry in bounded memory. Never raises for what is stored: whatever fails is the problem."""
    source = source or database()
    frontier = Frontier()
    published: Head | None = None
    problem: Problem | None = None
    try:
        # Read before the snapshot begins: a head is published only after its entries are committed.
        published = _published_head()
        # READ COMMITTED would see the head row and the entries at different moments.
        isolation = {"isolation_level": "REPEATABLE READ"} if source.dialect == "postgresql" else {}
        with source.read_engine.connect().execution_options(**isolation) as connection:
            _verify_stored(connection, frontier, published)
    except _Altered as altered:
        problem = altered.problem
    except Exception as error:  # noqa: BLE001  (a verifier that crashes on damage hides it)
        problem = Problem(f"entry {frontier.size} could not be checked: {_reason(error)}", frontier.size)
    return Verification(problem is None, frontier.size, frontier.root().hex(), problem, published)


def _verify_stored(connection: Connection, frontier: Frontier, published: Head | None) -> None:
    head = _head_row(connection)
    unpublished: StoredEntry | None = None
    for entry in _entries(connection, frontier):
        _check_place(entry, expected_seq=frontier.size, head_size=head.size)
        _check_alone(entry)
        if published is not None and entry.seq == published.size:
            unpublished = entry
        frontier.append(bytes.fromhex((entry.leaf_hash or b"").decode()))
        if published is not None and frontier.size == published.size:
            _check_published(frontier, published)
    if frontier.size < head.size:
        raise _Altered(
            f"entry {frontier.size} and all later ones are missing: the head row counts {head.size} entries",
            frontier.size,
        )
    if published is not None and frontier.size < published.size:
        raise _Altered(
            f"entry {frontier.size} and all later ones are missing: this machine published a head of "
            f"{published.size} entries",
            frontier.size,
        )
    _check_head(head, frontier)
    if unpublished is not None:
        _check_fresh(unpublished)
    _check_orphans(connection)
    _check_structure(connection)


def entry_problem(entry: StoredEntry) -> Problem | None:
    """What is wrong with this entry by itself: its hash, leaf, columns, payload. None: nothing."""
    try:
        _check_alone(entry)
    except _Altered as altered:
        return altered.problem
    return None


def _check_fresh(entry: StoredEntry) -> None:
    """An entry beyond the published head is fine for the moment between its commit and its publication.

    Later it means that somebody added it by hand, or that a process died just there; the next entry that is
    appended publishes it. Signed checkpoints will tell the two apart.
    """
    if clock.now() - clock.from_iso(entry.fields["at"]) > PUBLISHED_WITHIN:
        _reject(entry, "it was never published outside the database: added by hand, or its process died then")


def _check_place(entry: StoredEntry, *, expected_seq: int, head_size: int) -> None:
    if entry.seq < expected_seq:
        _reject(entry, "does not belong here: entries are numbered from 0")
    if entry.seq > expected_seq:
        raise _Altered(f"entry {expected_seq} is missing: entry {entry.seq} comes next", expected_seq)
    if entry.seq >= head_size:
        _reject(entry, f"is beyond the {head_size} entries that the head row counts")


def _check_alone(entry: StoredEntry) -> None:
    if entry.leaf is None or entry.leaf_hash is None:
        _reject(entry, "has no leaf or no hash")
    if not _HASH.fullmatch(entry.leaf_hash):
        _reject(entry, "the stored hash is not 64 lower-case hexadecimal digits")
    if leaf_hash(entry.leaf).hex().encode() != entry.leaf_hash:
        _reject(entry, "the leaf's hash differs from the stored one")
    if entry.kinds and set(entry.kinds.split()) - {"text", "null"}:
        _reject(entry, f"a cell is stored as something other than text ({entry.kinds.strip()})")
    _check_leaf(entry, entry.leaf)
    _check_payload(entry)


def _check_leaf(entry: StoredEntry, leaf: bytes) -> None:
    fields = entry.fields
    # For an object of strings, small integers and nulls this is RFC 8785, and many times faster.
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    if not fields or canonical.encode("utf-8", "surrogatepass") != leaf:
        _reject(entry, "the leaf is not canonical JSON")
    if fields.keys() != MEMBERS or repr(fields["v"]) != "1":
        _reject(entry, "the leaf has other members than an entry of version 1")
    if type(fields["seq"]) is not int or fields["seq"] != entry.seq:
        _reject(entry, f"the leaf says that it is entry {fields['seq']}")
    optional = {"acting_for", "session", "request"}
    for name in MEMBERS - {"v", "seq"}:
        if not isinstance(fields[name], str) and not (name in optional and fields[name] is None):
            _reject(entry, f"the leaf's {name} is not text")
    if not _AT.fullmatch(fields["at"]):
        _reject(entry, "the leaf's time is not written as the log writes times")
    for name, stored in entry.generated.items():
        if stored != fields[name].encode("utf-8", "surrogatepass"):
            _reject(entry, f"the column {name} differs from the leaf")


def _check_payload(entry: StoredEntry) -> None:
    if not entry.has_payload:
        _reject(entry, "its payload is missing")
    if entry.salt is None or not _HASH.fullmatch(entry.salt) or entry.payload is None:
        _reject(entry, "its payload's salt is not 64 lower-case hexadecimal digits, or the payload is empty")
    commitment = hashlib.sha256(bytes.fromhex(entry.salt.decode()) + entry.payload).hexdigest()
    if commitment != entry.fields["commitment"]:
        _reject(entry, "the payload does not match its commitment")


@dataclass(frozen=True)
class _HeadRow:
    size: int
    root: str
    frontier: str


def _head_row(connection: Connection) -> _HeadRow:
    dialect = connection.dialect.name
    rows = connection.execute(
        select(
            AuditHead.id,
            AuditHead.size,
            raw(AuditHead.root, dialect),
            raw(AuditHead.frontier, dialect),
        )
    ).all()
    if not rows:
        first = connection.execute(select(AuditEntry.seq).limit(1)).first()
        if first is not None:
            raise _Altered("the head row is missing although there are entries")
        return _HeadRow(0, Frontier().root().hex(), "[]")
    if len(rows) > 1 or rows[0][0] != 1:
        raise _Altered("the head table holds something other than its one row")
    _, size, root, frontier = rows[0]
    if type(size) is not int or size < 0:
        raise _Altered(f"the head row's size is not a number of entries: {size!r}")
    return _HeadRow(size, _as_text(root), _as_text(frontier))


def _check_head(head: _HeadRow, frontier: Frontier) -> None:
    if head.root != frontier.root().hex():
        raise _Altered(
            f"the head row's root differs from the root of the {frontier.size} entries: the head was altered, or "
            "an entry was rewritten together with its hash"
        )
    peaks = json.dumps([peak.hex() for peak in frontier.peaks], separators=(",", ":"))
    if head.frontier != peaks:
        raise _Altered("the head row's frontier differs from the entries'")


def _published_head() -> Head | None:
    try:
        head = read_head()
    except (ValueError, OSError) as error:
        raise _Altered(f"the published head cannot be read: {error}") from error
    if head is not None and head.size < 0:
        raise _Altered(f"the published head has a negative size: {head.size}")
    return head


def _check_published(frontier: Frontier, published: Head) -> None:
    if frontier.root().hex() != published.root:
        raise _Altered(
            f"the first {published.size} entries have another root than this machine published: at least one of "
            f"the entries 0 to {published.size - 1} was rewritten together with its hash, or the published head "
            "was altered"
        )


def _check_orphans(connection: Connection) -> None:
    orphan = connection.execute(
        select(AuditPayload.seq)
        .where(~select(AuditEntry.seq).where(AuditEntry.seq == AuditPayload.seq).exists())
        .order_by(AuditPayload.seq)
        .limit(1)
    ).first()
    if orphan is not None:
        raise _Altered(f"a payload is stored for entry {orphan.seq}, which does not exist", orphan.seq)


def _check_structure(connection: Connection) -> None:
    """On SQLite, that indexes agree with the tables: an entry taken out of an index hides from searches."""
    if connection.dialect.name != "sqlite":
        return
    for table in (AuditEntry.__tablename__, AuditPayload.__tablename__, AuditHead.__tablename__):
        found = connection.exec_driver_sql(f"PRAGMA integrity_check({table})").scalars().all()
        if found != ["ok"]:
            raise _Altered(f"the table {table} is damaged: {found[0]}")


def _entries(connection: Connection, frontier: Frontier) -> Iterator[StoredEntry]:
    """All rows by number. Where a batch cannot be read, row by row up to the one that cannot."""
    query = stored_entries(connection.dialect.name).order_by(AuditEntry.seq)
    after: int | None = None
    size = BATCH
    while True:
        page = query.limit(size) if after is None else query.where(AuditEntry.seq > after).limit(size)
        try:
            rows = connection.execute(page).all()
        except SQLAlchemyError as error:
            if size == 1 or connection.dialect.name != "sqlite":
                raise _Altered(
                    f"entry {frontier.size} cannot be read: {_reason(error)}", frontier.size
                ) from error
            size = 1
            continue
        for row in rows:
            after = row[0]
            yield as_stored(row)
        if len(rows) < size:
            return


def _reject(entry: StoredEntry, reason: str) -> NoReturn:
    fields = entry.fields
    known = [str(fields[name])[:80] for name in ("action", "at") if isinstance(fields.get(name), str)]
    label = f" ({', '.join(known)})" if known else ""
    raise _Altered(f"entry {entry.seq}{label}: {reason}", entry.seq)


def _as_text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _reason(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).splitlines()[0] if str(error) else type(error).__name__
