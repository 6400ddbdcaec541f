"""Signing the head of the log, so that nobody can rewrite what was there before without it being seen.

A checkpoint is made every five minutes, also when nothing was appended: its second signature carries the time, so a
pause shows. It is refused where the log is no continuation of the head that was signed last, or where the head row was
not written by Warrant; this log never signs two heads that contradict each other.

In this order: the last signed head is read; the present one must continue it; it is signed; the note is on disk; only
then the row is stored. A process that dies in between leaves a note without row, which the next run stores.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, select

from backend import clock
from backend.audit import heads
from backend.audit.keys import check_mark
from backend.audit.merkle import EMPTY_ROOT
from backend.audit.notes import Checkpoint, SigningKey
from backend.audit.proofs import LogDamaged, prove_consistency
from backend.audit.signers import KeyUnusable, LastSigned, keep_last, last_signed, signing, signing_key
from backend.audit.tables import AuditCheckpoint, AuditEntry, AuditHead
from backend.database.session import ReadSession, WriteSession, reading, writing
from backend.errors import Conflict

EVERY = timedelta(minutes=5)
UNPUBLISHED_AT_MOST = timedelta(minutes=1)


class HeadRefused(Conflict):
    """The head must not be signed: it contradicts one that was, or nobody here can tell who wrote it."""

    title = "The head of the audit log is not signed"


@dataclass(frozen=True)
class SignedHead:
    """A checkpoint as it is stored."""

    number: int
    size: int
    root: str
    at: str
    note: str

    @property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint.parse(self.note.split("\n\n")[0] + "\n")


def sign_head(*, also: SigningKey | None = None) -> SignedHead:
    """Sign the head as it is now and store it, in a transaction of its own. `also`: a second key that signs too.

    Raises `HeadRefused`, `backend.audit.signers.KeyUnusable`, or `backend.audit.proofs.LogDamaged`.
    """
    with signing():
        last = _last()
        if last is not None:
            _store(last)
        with reading() as session:
            stored = session.scalar(select(func.max(AuditCheckpoint.id))) or 0
            if stored > (last.number if last is not None else 0):
                raise HeadRefused(
                    f"{stored} checkpoints are stored and this home signed {last.number if last else 0}: another home "
                    "signs this log, or audit-signed.json was put back to an earlier state"
                )
            size, root = head_to_sign(session, last)
        key = signing_key(first=last is None)
        head = Checkpoint(key.verifier.name, size, bytes.fromhex(root))
        now = clock.now().replace(microsecond=0)
        if last is not None:
            now = max(now, last.moment)
        keys = [key] + ([also] if also is not None else [])
        lines = "".join(one.sign(head.text) + one.sign_at(head.text, now) for one in keys)
        number = last.number + 1 if last is not None else 1
        signed = LastSigned(number, size, root, clock.to_iso(now), f"{head.text}\n{lines}")
        keep_last(signed)
        _store(signed)
    return SignedHead(signed.number, size, root, signed.at, signed.note)


def head_to_sign(session: ReadSession, last: LastSigned | None) -> tuple[int, str]:
    """Size and root (hex) of the head, which may be signed after `last`. Raises `HeadRefused` otherwise."""
    head = session.get(AuditHead, 1)
    size, root, mac = (head.size, head.root, head.mac) if head is not None else (0, EMPTY_ROOT.hex(), "")
    old_size, old_root = (last.size, last.root) if last is not None else (0, EMPTY_ROOT.hex())
    if size < old_size:
        raise HeadRefused(
            f"the log has {size} entries, and a head of {old_size} was signed: entries are missing. Bring the database "
            "back to its newest state; if it was restored from a backup, the entries after that are lost"
        )
    try:
        prove_consistency(session, old_size, old_root, size, root)
    except LogDamaged as error:
        raise HeadRefused(
            f"the log of {size} entries contradicts the head of {old_size} that was signed last: {error.message}"
        ) from error
    if size:
        _require_ours(session, size, root, mac)
    return size, root


def _require_ours(session: ReadSession, size: int, root: str, mac: str) -> None:
    """Entries that somebody added past Warrant stand under a head without its mark; they are not signed."""
    marked = check_mark(mac, size, root)
    if marked is False:
        raise HeadRefused(
            "the head row does not carry Warrant's mark: it was rewritten, or entries were added by hand; run: "
            "warrant audit verify"
        )
    published = heads.read_head()
    if marked is None and (published is None or published.size < size):
        first = published.size if published is not None else 0
        at = session.scalar(select(AuditEntry.at).where(AuditEntry.seq == first))
        if at is not None and clock.now() - clock.from_iso(at) > UNPUBLISHED_AT_MOST:
            raise HeadRefused(
                f"entry {first} was never published in this home, and the head's mark is of a key that is not here: "
                "share the folder of keys between all processes that write (WARRANT_AUDIT_KEYS)"
            )


def newest_checkpoint(session: ReadSession) -> AuditCheckpoint | None:
    return session.scalars(select(AuditCheckpoint).order_by(AuditCheckpoint.id.desc()).limit(1)).first()


def checkpoint_covering(session: ReadSession, seq: int) -> AuditCheckpoint | None:
    """The first checkpoint that holds entry `seq`."""
    return session.scalars(
        select(AuditCheckpoint)
        .where(AuditCheckpoint.size > seq)
        .order_by(AuditCheckpoint.size, AuditCheckpoint.id)
        .limit(1)
    ).first()


def _last() -> LastSigned | None:
    try:
        return last_signed()
    except ValueError as error:
        raise KeyUnusable(f"{error}; put the file back from a backup of this home") from error


def _store(signed: LastSigned) -> None:
    """Store the row unless it is there."""
    with writing() as session:
        _insert(session, signed)


def _insert(session: WriteSession, signed: LastSigned) -> None:
    if session.get(AuditCheckpoint, signed.number) is None:
        session.add(
            AuditCheckpoint(
                id=signed.number, size=signed.size, root=signed.root, at=signed.moment, note=signed.note
            )
        )
        session.flush()
