"""Every proof verifies, and no altered proof does."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from backend.audit.merkle import (
    Frontier,
    ProofInvalid,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)


def tree(size: int) -> list[bytes]:
    return [leaf_hash(str(number).encode()) for number in range(size)]


def flip(value: bytes, bit: int) -> bytes:
    at = bit % (8 * len(value))
    return value[: at // 8] + bytes([value[at // 8] ^ (1 << at % 8)]) + value[at // 8 + 1 :]


def recursive_root(leaves: list[bytes]) -> bytes:
    """The definition of RFC 9162 section 2.1.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + recursive_root(leaves[:k]) + recursive_root(leaves[k:])).digest()


@pytest.mark.parametrize("size", [*range(70), 127, 128, 129, 255, 256, 257])
def test_the_frontier_gives_the_root_of_the_definition(size: int) -> None:
    assert root_of(tree(size)) == recursive_root(tree(size))


@settings(deadline=None)
@given(st.data())
def test_every_inclusion_proof_verifies(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 200))
    index = data.draw(st.integers(0, size - 1))
    leaves = tree(size)
    verify_inclusion(leaves[index], index, size, inclusion_proof(leaves, index), root_of(leaves))


@settings(deadline=None)
@given(st.data())
def test_no_altered_inclusion_proof_verifies(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 70))
    index = data.draw(st.integers(0, size - 1))
    leaves = tree(size)
    leaf, proof, root = leaves[index], inclusion_proof(leaves, index), root_of(leaves)
    kind = data.draw(st.sampled_from(["leaf", "root", "index", "hash", "drop", "insert", "append"]))
    bit = data.draw(st.integers(0, 255))
    if kind == "leaf":
        leaf = flip(leaf, bit)
    elif kind == "root":
        root = flip(root, bit)
    elif kind == "index":
        other = data.draw(st.integers(-1, 2 * size))
        assume(other != index)
        index = other
    elif kind == "insert":
        proof.insert(data.draw(st.integers(0, len(proof))), hashlib.sha256(bytes([bit])).digest())
    elif kind == "append":
        proof.append(root)
    else:
        assume(proof)
        at = data.draw(st.integers(0, len(proof) - 1))
        if kind == "drop":
            del proof[at]
        else:
            proof[at] = flip(proof[at], bit)
    with pytest.raises(ProofInvalid):
        verify_inclusion(leaf, index, size, proof, root)


@settings(deadline=None)
@given(st.data())
def test_every_consistency_proof_verifies(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 200))
    old = data.draw(st.integers(1, size))
    leaves = tree(size)
    verify_consistency(old, size, consistency_proof(leaves, old), root_of(leaves[:old]), root_of(leaves))


@settings(deadline=None)
@given(st.data())
def test_no_altered_consistency_proof_verifies(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 70))
    old_size = data.draw(st.integers(1, size))
    leaves = tree(size)
    proof, old, new = consistency_proof(leaves, old_size), root_of(leaves[:old_size]), root_of(leaves)
    kind = data.draw(st.sampled_from(["old", "new", "hash", "drop", "append"]))
    bit = data.draw(st.integers(0, 255))
    if kind == "old":
        old = flip(old, bit)
    elif kind == "new":
        new = flip(new, bit)
    elif kind == "append":
        proof.append(new)
    else:
        assume(proof)
        at = data.draw(st.integers(0, len(proof) - 1))
        if kind == "drop":
            del proof[at]
        else:
            proof[at] = flip(proof[at], bit)
    with pytest.raises(ProofInvalid):
        verify_consistency(old_size, size, proof, old, new)


@settings(deadline=None)
@given(st.integers(1, 100), st.integers(1, 100))
def test_a_rewritten_history_has_no_consistency_proof(old_size: int, more: int) -> None:
    leaves = tree(old_size + more)
    rewritten = [leaf_hash(b"rewritten"), *leaves[1:]]
    with pytest.raises(ProofInvalid):
        verify_consistency(
            old_size,
            len(leaves),
            consistency_proof(rewritten, old_size),
            root_of(leaves[:old_size]),
            root_of(rewritten),
        )


def test_a_frontier_that_does_not_fit_its_size_is_refused() -> None:
    with pytest.raises(ValueError, match="2 peaks, not 1"):
        Frontier(5, [b"\0" * 32])
