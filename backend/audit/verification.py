"""Recomputing the whole log from what is stored, and saying where it first differs.

Checked, in order of entries: no gap and nothing before the first or beyond the head; every cell stored as
text; the leaf's hash; the leaf in canonical form with the right members and its own number; the database's
generated columns; the payload and its commitment, or the entry that records its erasure. On the way the root at the
size of every checkpoint and of the published head. Then the head row (size, root, frontier, mark), checkpoints and
anchors, the stored subtrees, payloads without entry, the keys of persons, the triggers, and on SQLite the tables' own
structure.

What it cannot see alone: a log rewritten as a whole together with the keys and heads in the home. For that there are
anchors, which are kept elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection, select

from backend import clock
from backend.audit.entry_checks import Altered, Problem, reject
from backend.audit.entry_runs import BATCH, reason_of, stored_entry
from backend.audit.heads import Head, read_head
from backend.audit.key_checks import check_keys
from backend.audit.keys import check_mark
from backend.audit.merkle import BlockFrontier, Frontier
from backend.audit.rows import StoredEntry, raw
from backend.audit.signed_checks import SignedHeads, read_last, read_signed_heads
from backend.audit.structure_checks import SubtreeCheck, check_orphans, check_structure
from backend.audit.tables import AuditEntry, AuditHead
from backend.audit.vouching import all_hashes
from backend.database.engine import Database, database

PUBLISHED_WITHIN = timedelta(seconds=60)


@dataclass(frozen=True)
class Verification:
    """`size` entries were found good, with `root` (hex) over them. `published` is the head this machine keeps
    outside the database and `signed` the newest signed one; without any a cut tail could not be seen, and `ok` says
    only that the rest agrees.
    """

    ok: bool
    size: int
    root: str
    problem: Problem | None
    published: Head | None
    signed: Head | None = None


def verify(source: Database | None = None) -> Verification:
    """Verify every entry in bounded memory. Never raises for what is stored: whatever fails is the problem."""
    source = source or database()
    tree = BlockFrontier()
    published: Head | None = None
    signed: Head | None = None
    problem: Problem | None = None
    try:
        # Read before the snapshot begins: a head is published only after its entries are committed.
        published, last = _published_head(), read_last()
        # READ COMMITTED would see the head row and the entries at different moments.
        isolation = {"isolation_level": "REPEATABLE READ"} if source.dialect == "postgresql" else {}
        with source.read_engine.connect().execution_options(**isolation) as connection:
            heads = read_signed_heads(connection, last)
            signed = heads.newest
            _verify_stored(source, connection, tree, published, heads)
    except Altered as altered:
        problem = altered.problem
    except Exception as error:  # noqa: BLE001  (a verifier that crashes on damage hides it)
        problem = Problem(f"entry {tree.size} could not be checked: {reason_of(error)}", tree.size)
    root = tree.settled().root().hex()
    return Verification(problem is None, tree.size, root, problem, published, signed)


def _verify_stored(
    source: Database,
    connection: Connection,
    tree: BlockFrontier,
    published: Head | None,
    heads: SignedHeads,
) -> None:
    head = _head_row(connection)
    subtrees = SubtreeCheck(connection)
    # Closed at once: an entry that is altered must not leave helpers behind.
    with closing(all_hashes(source, connection, head_size=head.size, batch=BATCH)) as hashes:
        _walk(hashes, tree, published, heads, subtrees)
    frontier = tree.settled()
    if frontier.size < head.size:
        raise _missing(frontier.size, f"the head row counts {head.size} entries")
    if published is not None and frontier.size < published.size:
        raise _missing(frontier.size, f"this machine published a head of {published.size} entries")
    if heads.newest is not None and frontier.size < heads.newest.size:
        raise _missing(frontier.size, f"a head of {heads.newest.size} entries was signed")
    _check_head(head, frontier)
    # The first entry that no head of ours covers.
    uncovered = published is not None and published.size < head.size
    tail = stored_entry(connection, published.size) if published is not None and uncovered else None
    _check_mark(head, published, tail)
    heads.check(connection)
    subtrees.finish(frontier.size)
    check_orphans(connection)
    check_keys(connection)
    check_structure(connection)


def _walk(
    hashes: Iterator[bytes],
    tree: BlockFrontier,
    published: Head | None,
    heads: SignedHeads,
    subtrees: SubtreeCheck,
) -> None:
    """Grow the tree by the entries' hashes; at the size of every head, published or signed, compare roots."""
    sizes = iter(sorted({*heads.roots, *([published.size] if published is not None else [])}))
    size = next(sizes, -1)
    if size == 0:
        _check_mark_of(tree, published, heads)
        size = next(sizes, -1)
    for count, hashed in enumerate(hashes, 1):
        completed = tree.append(hashed)
        if completed:
            subtrees.add(completed)
        if count == size:
            _check_mark_of(tree, published, heads)
            size = next(sizes, -1)


def _check_mark_of(tree: BlockFrontier, published: Head | None, heads: SignedHeads) -> None:
    """The root at a size at which a head was published or signed."""
    root = tree.settled().root().hex()
    if published is not None and tree.size == published.size and root != published.root:
        raise Altered(
            f"the first {published.size} entries have another root than this machine published: at least one of "
            f"the entries 0 to {published.size - 1} was rewritten together with its hash, or the published head "
            "was altered"
        )
    heads.check_root(tree.size, root)


def _missing(seq: int, because: str) -> Altered:
    return Altered(f"entry {seq} and all later ones are missing: {because}", seq)


@dataclass(frozen=True)
class _HeadRow:
    size: int
    root: str
    frontier: str
    mac: str


def _head_row(connection: Connection) -> _HeadRow:
    dialect = connection.dialect.name
    rows = connection.execute(
        select(
            AuditHead.id,
            AuditHead.size,
            raw(AuditHead.root, dialect),
            raw(AuditHead.frontier, dialect),
            raw(AuditHead.mac, dialect),
        )
    ).all()
    if not rows:
        first = connection.execute(select(AuditEntry.seq).limit(1)).first()
        if first is not None:
            raise Altered("the head row is missing although there are entries")
        return _HeadRow(0, Frontier().root().hex(), "[]", "")
    if len(rows) > 1 or rows[0][0] != 1:
        raise Altered("the head table holds something other than its one row")
    _, size, root, frontier, mac = rows[0]
    if type(size) is not int or size < 0:
        raise Altered(f"the head row's size is not a number of entries: {size!r}")
    return _HeadRow(size, _as_text(root), _as_text(frontier), _as_text(mac))


def _check_head(head: _HeadRow, frontier: Frontier) -> None:
    if head.root != frontier.root().hex():
        raise Altered(
            f"the head row's root differs from the root of the {frontier.size} entries: the head was altered, or "
            "an entry was rewritten together with its hash"
        )
    peaks = json.dumps([peak.hex() for peak in frontier.peaks], separators=(",", ":"))
    if head.frontier != peaks:
        raise Altered("the head row's frontier differs from the entries'")


def _check_mark(head: _HeadRow, published: Head | None, tail: StoredEntry | None) -> None:
    """A head that no process of ours wrote, and entries beyond the published head.

    A process that dies between commit and publication leaves such entries, under a head that it marked with the
    append key; somebody who adds an entry by hand cannot mark it. Where the mark is of a key that this home lacks,
    entries that stay unpublished for a minute are taken for forged.
    """
    if not head.size:
        return
    marked = check_mark(head.mac, head.size, head.root)
    if marked is False:
        message = (
            "the head row does not carry Warrant's mark: it was rewritten, or entries were added by hand"
        )
        if tail is not None:
            reject(tail, f"was never published outside the database, and {message}")
        raise Altered(message)
    if marked is None and tail is None and published is not None and published.size == head.size:
        raise Altered("the head row is marked with a key that this home lacks, and this home wrote it")
    if marked is None and tail is not None and _age(tail) > PUBLISHED_WITHIN:
        reject(tail, "it was never published outside the database, and no key here can tell who added it")


def _age(entry: StoredEntry) -> timedelta:
    return clock.now() - clock.from_iso(entry.fields["at"])


def _published_head() -> Head | None:
    try:
        head = read_head()
    except (ValueError, OSError) as error:
        raise Altered(f"the published head cannot be read: {error}") from error
    if head is not None and head.size < 0:
        raise Altered(f"the published head has a negative size: {head.size}")
    return head


def _as_text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
