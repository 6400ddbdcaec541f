"""Proofs from the stored log: that an entry is in it, and that an older tree is a prefix of it.

Each reads a few hundred hashes however long the log is, and is checked before it is handed out.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from backend.audit.merkle import (
    EMPTY_ROOT,
    consistency_ranges,
    inclusion_ranges,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)
from backend.audit.rows import raw
from backend.audit.subtrees import range_roots
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


def prove_inclusion(
    session: ReadSession, seq: int, *, size: int | None = None, root: str | None = None
) -> InclusionProof:
    """Prove entry `seq` against the head row, or against the tree of `size` with this `root` (hex).

    Raises `NotFound`, or `LogDamaged` when it cannot be proved.
    """
    if size is None or root is None:
        head = session.get(AuditHead, 1)
        size, root = (head.size, head.root) if head else (0, EMPTY_ROOT.hex())
    dialect = session.get_bind().dialect.name
    leaf = session.scalar(
        select(raw(AuditEntry.leaf, dialect)).where(AuditEntry.seq == seq, AuditEntry.seq < size)
    )
    if leaf is None:
        raise NotFound(f"there is no audit entry {seq}; the log has {size}")
    try:
        proof = InclusionProof(
            leaf=leaf.decode() if isinstance(leaf, bytes) else leaf,
            index=seq,
            size=size,
            root=root,
            hashes=tuple(one.hex() for one in range_roots(session, inclusion_ranges(seq, size))),
        )
        proof.check()
    except ValueError as error:
        raise LogDamaged(
            f"entry {seq} cannot be proved ({error}); run: warrant audit verify", seq=seq
        ) from error
    return proof


def prove_consistency(
    session: ReadSession, old_size: int, old_root: str, size: int, root: str
) -> list[bytes]:
    """The hashes that show that the tree of `old_size` entries is a prefix of the one of `size`; roots in hex.

    From an empty tree nothing needs to be shown, and the tree of `size` is recomputed instead: then none.
    Raises `LogDamaged` when the stored entries do not show it.
    """
    try:
        if old_size == 0:
            old_size, old_root = size, range_roots(session, [(0, size)])[0].hex()
        hashes = range_roots(session, consistency_ranges(old_size, size)) if size else []
        if size or old_root != root:
            verify_consistency(old_size, size, hashes, bytes.fromhex(old_root), bytes.fromhex(root))
    except ValueError as error:
        raise LogDamaged(
            f"the log of {size} entries is no continuation of the one of {old_size} ({error}); run: warrant "
            "audit verify"
        ) from error
    return hashes


def root_at(session: ReadSession, size: int) -> str:
    """The root (hex) over the first `size` entries as they are stored."""
    try:
        return range_roots(session, [(0, size)])[0].hex()
    except ValueError as error:
        raise LogDamaged(f"the first {size} entries are not all there ({error})") from error
