"""Merkle tree hashing and proofs of RFC 9162 section 2.1 (equal to RFC 6962 section 2.1).

Leaf hash SHA-256(0x00 ‖ entry), node SHA-256(0x01 ‖ left ‖ right), split at the largest power of two
below n; the empty tree is SHA-256(""). All hashes are 32 raw bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
KEPT_LEVEL: Final = (
    8  # roots of complete subtrees of 2^8, 2^16, ... leaves are stored, so that proofs read few hashes
)


_IN_BLOCK: Final = (1 << KEPT_LEVEL) - 1


class Subtree(NamedTuple):
    """The root of the complete subtree over leaves [position * 2^level, (position + 1) * 2^level)."""

    level: int
    position: int
    root: bytes


class ProofInvalid(ValueError):
    """A proof that does not prove what it claims; the message says why."""


def leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """The right edge of a growing tree: one hash per set bit of its size, largest subtree first.

    Appending costs O(log n) and needs nothing but this.
    """

    def __init__(self, size: int = 0, peaks: Iterable[bytes] = ()) -> None:
        self.size = size
        self.peaks = list(peaks)
        if len(self.peaks) != size.bit_count():
            raise ValueError(f"a tree of size {size} has {size.bit_count()} peaks, not {len(self.peaks)}")

    def append(self, leaf: bytes, level: int = 0) -> list[Subtree]:
        """Add one leaf hash, or the root of a complete subtree of 2^level leaves where the size is a multiple.

        Returns the subtrees of the kept levels that this completed, smallest first.
        """
        if self.size & ((1 << level) - 1):
            raise ValueError(f"a subtree of {1 << level} leaves does not fit behind {self.size} leaves")
        carry, size, completed = leaf, self.size >> level, []
        self.size += 1 << level
        while True:
            if level and level % KEPT_LEVEL == 0:
                completed.append(Subtree(level, (self.size >> level) - 1, carry))
            if not size & 1:
                break
            carry = node_hash(self.peaks.pop(), carry)
            size >>= 1
            level += 1
        self.peaks.append(carry)
        return completed

    def root(self) -> bytes:
        return fold(self.peaks)


class BlockFrontier:
    """A `Frontier` for many leaves: it hashes them in blocks of 2^KEPT_LEVEL, which takes a third of the time."""

    def __init__(self) -> None:
        self._frontier, self._waiting = Frontier(), list[bytes]()

    @property
    def size(self) -> int:
        return self._frontier.size + len(self._waiting)

    def append(self, leaf: bytes) -> list[Subtree]:
        """As `Frontier.append`."""
        waiting = self._waiting
        if not waiting and self._frontier.size & _IN_BLOCK:
            return self._frontier.append(leaf)
        waiting.append(leaf)
        if len(waiting) <= _IN_BLOCK:
            return []
        completed = self._frontier.append(complete_root(waiting), KEPT_LEVEL)
        waiting.clear()
        return completed

    def settled(self) -> Frontier:
        """The frontier of everything that was appended."""
        for leaf in self._waiting:
            self._frontier.append(leaf)
        self._waiting.clear()
        return self._frontier


def complete_root(hashes: Sequence[bytes]) -> bytes:
    """The root over 2^k hashes."""
    sha256, level = hashlib.sha256, hashes
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=True)
        level = [sha256(b"\x01" + left + right).digest() for left, right in pairs]
    return level[0]


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The root over leaf hashes."""
    return fold(complete_runs(leaves))


def complete_runs(hashes: Sequence[bytes]) -> list[bytes]:
    """The roots of the complete subtrees that n hashes make, one for each set bit of n, largest first."""
    roots, start = [], 0
    for bit in reversed(range(len(hashes).bit_length())):
        if len(hashes) >> bit & 1:
            roots.append(complete_root(hashes[start : start + (1 << bit)]))
            start += 1 << bit
    return roots


def fold(peaks: Sequence[bytes]) -> bytes:
    """The root over complete subtrees of falling size."""
    if not peaks:
        return EMPTY_ROOT
    root = peaks[-1]
    for peak in reversed(peaks[:-1]):
        root = node_hash(peak, root)
    return root


def _split(size: int) -> int:
    return 1 << ((size - 1).bit_length() - 1)


def inclusion_ranges(index: int, size: int) -> list[tuple[int, int]]:
    """The ranges [low, high) of leaves whose roots are PATH(index, leaves), from the leaf up."""
    if not 0 <= index < size:
        raise ValueError(f"no entry {index} in a tree of {size}")
    low, high, path = 0, size, []
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append((middle, high))
            high = middle
        else:
            path.append((low, middle))
            low = middle
    return path[::-1]


def consistency_ranges(old_size: int, size: int) -> list[tuple[int, int]]:
    """The ranges [low, high) of leaves whose roots are PROOF(old_size, leaves), in the order of the proof."""
    if not 0 < old_size <= size:
        raise ValueError(f"no tree of size {old_size} inside one of {size}")
    low, high, path, complete = 0, size, [], True
    while old_size != high:
        middle = low + _split(high - low)
        if old_size <= middle:
            path.append((middle, high))
            high = middle
        else:
            path.append((low, middle))
            low, complete = middle, False
    if not complete:
        path.append((low, high))
    return path[::-1]


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """PATH(index, leaves): the sibling hashes from the leaf up to the root."""
    return [root_of(leaves[low:high]) for low, high in inclusion_ranges(index, len(leaves))]


def consistency_proof(leaves: Sequence[bytes], old_size: int) -> list[bytes]:
    """PROOF(old_size, leaves): shows that the tree of `old_size` is a prefix of this one."""
    return [root_of(leaves[low:high]) for low, high in consistency_ranges(old_size, len(leaves))]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """RFC 9162 section 2.1.3.2. Raises `ProofInvalid`; returns nothing."""
    _check_hashes(leaf, root, *proof)
    if not 0 <= index < size:
        raise ProofInvalid(f"index {index} lies outside a tree of size {size}")
    fn, sn, r = index, size - 1, leaf
    for p in proof:
        if sn == 0:
            raise ProofInvalid("the proof is longer than the path to the root")
        if fn & 1 or fn == sn:
            r = node_hash(p, r)
            while not fn & 1 and fn:
                fn >>= 1
                sn >>= 1
        else:
            r = node_hash(r, p)
        fn >>= 1
        sn >>= 1
    if sn != 0:
        raise ProofInvalid("the proof is shorter than the path to the root")
    if r != root:
        raise ProofInvalid("the computed root differs from the given root")


def verify_consistency(
    old_size: int, size: int, proof: Sequence[bytes], old_root: bytes, root: bytes
) -> None:
    """RFC 9162 section 2.1.4.2. Raises `ProofInvalid`; a claim about an empty old tree proves nothing."""
    _check_hashes(old_root, root, *proof)
    if old_size <= 0 or old_size > size:
        raise ProofInvalid(f"no consistency is provable from size {old_size} to {size}")
    if old_size == size:
        if proof or old_root != root:
            raise ProofInvalid("two trees of one size must have one root and an empty proof")
        return
    path = list(proof)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)
    if not path:
        raise ProofInvalid("the proof is empty")
    fn, sn = old_size - 1, size - 1
    while fn & 1:
        fn >>= 1
        sn >>= 1
    fr = sr = path[0]
    for c in path[1:]:
        if sn == 0:
            raise ProofInvalid("the proof is longer than the path to the root")
        if fn & 1 or fn == sn:
            fr, sr = node_hash(c, fr), node_hash(c, sr)
            while not fn & 1 and fn:
                fn >>= 1
                sn >>= 1
        else:
            sr = node_hash(sr, c)
        fn >>= 1
        sn >>= 1
    if sn != 0 or fr != old_root or sr != root:
        raise ProofInvalid("the proof does not lead from the old root to the new one")


def _check_hashes(*hashes: bytes) -> None:
    for value in hashes:
        if len(value) != 32:
            raise ProofInvalid(f"a SHA-256 hash has 32 bytes, not {len(value)}")
