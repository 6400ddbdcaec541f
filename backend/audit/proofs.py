"""Proving that one entry is in the log, in memory that does not grow with it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from backend.audit.merkle import Frontier, leaf_hash, verify_inclusion
from backend.audit.rows import raw
from backend.audit.tables import AuditEntry, AuditHead
from backend.database.session import ReadSession
from backend.errors import Conflict, NotFound


class LogDamaged(Conflict):
    """No proof can be given, because the stored log does not add up."""

    title = "The audit log is damaged"


@dataclass(frozen=True)
class InclusionProof:
    """RFC 9162 section 2.1.3: the leaf as hashed, its index, and the sibling hashes (hex) up to the root
    (hex) of the tree of `size` entries."""

    leaf: str
    index: int
    size: int
    root: str
    hashes: tuple[str, ...]

    def check(self) -> None:
        """Raise `backend.audit.merkle.ProofInvalid` unless the proof proves its leaf."""
        verify_inclusion(
            leaf_hash(self.leaf.encode()),
            self.index,
            self.size,
            [bytes.fromhex(one) for one in self.hashes],
            bytes.fromhex(self.root),
        )


def prove_inclusion(session: ReadSession, seq: int) -> InclusionProof:
    """Prove entry `seq` against the head row. Raises `NotFound`, or `LogDamaged` when it cannot be proved."""
    head = session.get(AuditHead, 1)
    size = head.size if head else 0
    dialect = session.get_bind().dialect.name
    leaf = session.scalar(
        select(raw(AuditEntry.leaf, dialect)).where(AuditEntry.seq == seq, AuditEntry.seq < size)
    )
    if head is None or leaf is None:
        raise NotFound(f"there is no audit entry {seq}; the log has {size}")
    try:
        proof = InclusionProof(
            leaf=leaf.decode() if isinstance(leaf, bytes) else leaf,
            index=seq,
            size=size,
            root=head.root,
            hashes=tuple(_subtree(session, low, high).hex() for low, high in _siblings(seq, size)),
        )
        proof.check()
    except ValueError as error:
        raise LogDamaged(
            f"entry {seq} cannot be proved ({error}); run: warrant audit verify", seq=seq
        ) from error
    return proof


def _siblings(index: int, size: int) -> list[tuple[int, int]]:
    """The ranges of entries whose subtree roots make the path of `index`, from the leaf up."""
    low, high, path = 0, size, []
    while high - low > 1:
        middle = low + (1 << ((high - low - 1).bit_length() - 1))
        if index < middle:
            path.append((middle, high))
            high = middle
        else:
            path.append((low, middle))
            low = middle
    return path[::-1]


def _subtree(session: ReadSession, low: int, high: int) -> bytes:
    frontier = Frontier()
    hashes = session.execute(
        select(AuditEntry.leaf_hash)
        .where(AuditEntry.seq >= low, AuditEntry.seq < high)
        .order_by(AuditEntry.seq)
        .execution_options(yield_per=5000)
    ).scalars()
    for one in hashes:
        frontier.append(bytes.fromhex(one))
    if frontier.size != high - low:
        raise ValueError(f"entries {low} to {high - 1} are not all there")
    return frontier.root()
