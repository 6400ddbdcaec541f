"""Public vectors for Merkle inclusion proofs, and the known answers of RFC 6962."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from backend.audit.merkle import (
    EMPTY_ROOT,
    ProofInvalid,
    leaf_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from tests.requirements import SHARED, require

INCLUSION = SHARED / "fixtures" / "merkle" / "inclusion"
VECTORS = sorted(INCLUSION.rglob("*.json")) if INCLUSION.is_dir() else []
ENTRIES = [
    bytes.fromhex(entry)
    for entry in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
ROOT_OF_8 = "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


def decoded(value: str | None) -> bytes:
    return base64.b64decode(value or "")


def holds(vector: dict[str, Any]) -> bool:
    try:
        verify_inclusion(
            decoded(vector["leafHash"]),
            vector["leafIdx"],
            vector["treeSize"],
            [decoded(one) for one in vector["proof"] or []],
            decoded(vector["root"]),
        )
    except ProofInvalid:
        return False
    return True


def test_the_vectors_are_there() -> None:
    require("shared/fixtures/merkle/inclusion")
    outcomes = [json.loads(path.read_text())["wantErr"] for path in VECTORS]
    assert len(outcomes) > 90
    assert set(outcomes) == {True, False}


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: str(path.relative_to(INCLUSION)))
def test_inclusion_vector(path: Path) -> None:
    vector = json.loads(path.read_text())
    assert holds(vector) is not vector["wantErr"], vector["desc"]


def test_roots_of_rfc_6962() -> None:
    assert root_of([]).hex() == EMPTY_ROOT.hex()
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert root_of([leaf_hash(entry) for entry in ENTRIES]).hex() == ROOT_OF_8


def test_a_consistency_proof_from_nothing_is_refused() -> None:
    with pytest.raises(ProofInvalid):
        verify_consistency(0, 8, [], EMPTY_ROOT, bytes.fromhex(ROOT_OF_8))


def test_a_leaf_hash_that_is_not_32_bytes_is_refused() -> None:
    with pytest.raises(ProofInvalid, match="32 bytes"):
        verify_inclusion(b"\x00" * 31, 0, 1, [], b"\x00" * 32)
