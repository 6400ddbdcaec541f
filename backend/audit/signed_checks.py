"""Checking the signed heads against the entries: who signed, what, in which order, and that none is missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Connection, Text, cast, null, select

from backend.audit.actions import Action
from backend.audit.anchor_checks import check_anchors
from backend.audit.entry_checks import Altered
from backend.audit.heads import Head
from backend.audit.merkle import ProofInvalid
from backend.audit.notes import PLAIN, Checkpoint, NoteMalformed, VerifierKey, parse_note, verify_note
from backend.audit.rows import raw
from backend.audit.signers import LastSigned, last_signed, verifier_keys
from backend.audit.tables import AuditCheckpoint, AuditEntry

_AT_ONCE = 1000


@dataclass
class SignedHeads:
    """The signed heads of one database. Sizes are looked at while the tree grows, signatures afterwards."""

    roots: dict[int, str]  # size -> root (hex), of every checkpoint
    newest: Head | None
    last: LastSigned | None
    _problem: Altered | None = field(default=None)

    def check_root(self, size: int, root: str) -> None:
        """Raise `Altered` when a head of this size was signed with another root."""
        if self.roots.get(size, root) != root:
            raise Altered(
                f"the first {size} entries have another root than was signed: at least one of the entries 0 to "
                f"{size - 1} was rewritten together with its hash, or the checkpoint was altered"
            )

    def check(self, connection: Connection) -> None:
        """Raise `Altered` for a checkpoint that is missing, out of order, or not what a key of ours signed."""
        keys = _keys() if self.roots else ()
        coming = _coming(connection, keys) if self.roots else ()
        number, size, at, row = 0, 0, None, None
        used: dict[bytes, datetime] = {}
        for row in _checkpoints(connection):
            number += 1
            if row.id != number:
                raise Altered(f"checkpoint {number} is missing: checkpoint {row.id} comes next")
            size, at = _check_one(row, keys, coming, size, at, used)
        _check_last(self.last, row, number)
        if self.last is not None and number == self.last.number - 1:  # signed, and on its way to the table
            _check_one(_as_row(self.last), keys, coming, size, at, used)
        _check_rotations(connection, keys)
        _check_ends(keys, used)
        check_anchors(connection)


def read_signed_heads(connection: Connection, last: LastSigned | None) -> SignedHeads:
    """What is stored, not checked yet. Raises `Altered` where two signed heads of one size differ.

    `last` (see `read_last`) must have been read before the connection's snapshot began.
    """
    dialect = connection.dialect.name
    roots: dict[int, str] = {}
    for size, root in connection.execute(
        select(AuditCheckpoint.size, raw(AuditCheckpoint.root, dialect)).distinct()
    ):
        text = root.decode("ascii", "replace") if isinstance(root, bytes) else root
        if type(size) is not int or size < 0 or roots.setdefault(size, text) != text:
            raise Altered(f"two signed heads of {size} entries differ, or one was altered")
    newest = Head(max(roots), roots[max(roots)]) if roots else None
    if last is not None and (newest is None or last.size > newest.size):
        roots.setdefault(last.size, last.root)
        newest = Head(last.size, last.root)
    return SignedHeads(roots, newest, last)


def _checkpoints(connection: Connection) -> Iterator[Any]:
    dialect = connection.dialect.name
    after = -(1 << 62)
    written = cast(AuditCheckpoint.at, Text) if dialect == "sqlite" else null()
    query = select(
        AuditCheckpoint.id, AuditCheckpoint.size, raw(AuditCheckpoint.root, dialect).label("root"),
        AuditCheckpoint.at, written.label("at_text"),
        raw(AuditCheckpoint.note, dialect).label("note"),
    ).order_by(AuditCheckpoint.id).limit(_AT_ONCE)  # fmt: skip
    while rows := connection.execute(query.where(AuditCheckpoint.id > after)).all():
        yield from rows
        after = rows[-1].id


def _check_one(
    row: Any,
    keys: tuple[VerifierKey, ...],
    coming: tuple[VerifierKey, ...],
    size: int,
    at: datetime | None,
    used: dict[bytes, datetime],
) -> tuple[int, datetime]:
    """The size and the time of a checkpoint that is what it says, and no smaller or earlier than the one before.

    One of `keys` signed it; beside that a key of `coming` may have. `used` gets when each key signed last.
    """
    name = f"checkpoint {row.id}"
    note = row.note.decode("utf-8", "surrogateescape") if isinstance(row.note, bytes) else row.note
    root = row.root.decode("ascii", "replace") if isinstance(row.root, bytes) else row.root
    try:
        text, signed = verify_note(note, (*keys, *coming))
        said = Checkpoint.parse(text)
    except (ProofInvalid, NoteMalformed, UnicodeError) as error:
        raise Altered(f"{name} is not what was signed: {error}") from error
    moments = [one.at for one in signed if one.at is not None]
    used.update({one.key.public: one.at for one in signed if one.at is not None})
    if not any(one.key in keys for one in signed):
        raise Altered(f"{name} is signed by a key alone that is not published yet")
    if len(signed) != len(parse_note(note)[1]) or len(moments) * 2 != len(signed):
        raise Altered(f"{name} carries a signature that no key of this log made")
    if (said.size, said.root.hex()) != (row.size, root) or not moments or row.at not in moments:
        raise Altered(f"{name} says something else than its signed note")
    # SQLite keeps a time as text, and reads more forms of it than it is written in.
    if row.at_text is not None and row.at_text != row.at.strftime("%Y-%m-%d %H:%M:%S.%f"):
        raise Altered(f"the time of {name} is not written as the log writes times")
    if row.size < size or (at is not None and row.at < at):
        raise Altered(f"{name} is of a smaller tree, or of an earlier time, than the one before")
    return row.size, row.at


def _check_last(last: LastSigned | None, newest: Any, stored: int) -> None:
    """The signer wrote down what it signed last before it was stored: at most that one may not be stored yet."""
    if last is None:
        if stored:
            raise Altered(
                f"{stored} checkpoints are stored, and the signer's own note of the last one is missing"
            )
        return
    if stored < last.number - 1:
        raise Altered(f"checkpoint {stored + 1} and all later ones are missing: {last.number} were signed")
    if stored == last.number and _written(_as_row(last)) != _written(newest):
        raise Altered(f"checkpoint {last.number} is not the one that was signed last")


def _as_row(last: LastSigned) -> Any:
    at = last.moment
    return SimpleNamespace(
        id=last.number, size=last.size, root=last.root, at=at, at_text=None, note=last.note
    )


def _written(row: Any) -> tuple[Any, ...]:
    root, note = (
        (one.decode("utf-8", "replace") if isinstance(one, bytes) else one) for one in (row.root, row.note)
    )
    return row.id, row.size, root, row.at, note


def _check_ends(keys: tuple[VerifierKey, ...], used: dict[bytes, datetime]) -> None:
    """Every key but the newest ended with the last head that it signed: moved, its end would let a stolen key sign."""
    known = [key for key in keys if key.kind == PLAIN]
    for number, key in enumerate(known):
        ended = None if number == len(known) - 1 else used.get(key.public)
        if key.until != ended:
            raise Altered(
                f"the end of the key {key} among the verifier keys is not the time of the last head that it signed"
            )


def _check_rotations(connection: Connection, keys: tuple[VerifierKey, ...]) -> None:
    """Every key after the first was named by an entry before it signed."""
    for key in dict.fromkeys(key for key in keys[2:] if key.kind == PLAIN):
        named = connection.scalar(
            select(AuditEntry.seq).where(
                AuditEntry.action == Action.KEY_ROTATED.value, AuditEntry.object_id == str(key)
            )
        )
        if named is None:
            raise Altered(f"no entry says that the key {key} signs heads, and it is among the verifier keys")


def read_last() -> LastSigned | None:
    """What the signer wrote down last. Raises `Altered` when that cannot be read."""
    try:
        return last_signed()
    except (ValueError, OSError) as error:
        raise Altered(f"the signer's note of its last checkpoint cannot be read: {error}") from error


def _coming(connection: Connection, keys: tuple[VerifierKey, ...]) -> tuple[VerifierKey, ...]:
    """The key that the newest rotation names, while it is not among the published ones: it signs beside the old key
    before it is published, and a rotation may be cut short in between."""
    named = connection.scalar(
        select(AuditEntry.object_id)
        .where(AuditEntry.action == Action.KEY_ROTATED.value)
        .order_by(AuditEntry.seq.desc())
        .limit(1)
    )
    if named is None:
        return ()
    try:
        key = VerifierKey.parse(named)
    except NoteMalformed as error:
        raise Altered(f"the newest entry that changes the key names none: {error}") from error
    return () if key in keys else (key, key.timed())


def _keys() -> tuple[VerifierKey, ...]:
    try:
        keys = verifier_keys()
    except (ValueError, OSError) as error:
        raise Altered(f"the verifier keys of the checkpoints cannot be read: {error}") from error
    if not keys:
        raise Altered("there are checkpoints, and the file of their verifier keys is missing from this home")
    return tuple(key for one in keys for key in (one, one.timed()))
