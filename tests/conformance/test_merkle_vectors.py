"""Public vectors for Merkle inclusion proofs, and the known answers of RFC 6962."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from backend.audit.merkle import (
    EMPTY_ROOT,
    ProofInvalid,
    consistency_proof,
    leaf_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from backend.cli import app
from tests.integration.cli.conftest import warrant

INCLUSION = Path(__file__).parent / "vectors" / "merkle" / "inclusion"
VECTORS = sorted(INCLUSION.rglob("*.json"))
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
    outcomes = [json.loads(path.read_text())["wantErr"] for path in VECTORS]
    assert len(outcomes) > 90
    assert set(outcomes) == {True, False}


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: str(path.relative_to(INCLUSION)))
def test_inclusion_vector(path: Path) -> None:
    vector = json.loads(path.read_text())
    assert holds(vector) is not vector["wantErr"], vector["desc"]


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: str(path.relative_to(INCLUSION)))
def test_the_command_answers_every_vector_with_its_exit_code(path: Path) -> None:
    told = CliRunner().invoke(app, ["audit", "check-proof", str(path)])
    assert told.exit_code == (1 if json.loads(path.read_text())["wantErr"] else 0), told.output


@pytest.mark.parametrize(("old", "size"), [(1, 1), (1, 8), (2, 5), (3, 7), (4, 7), (6, 8), (8, 8)])
def test_the_command_checks_consistency_proofs_of_the_same_form(old: int, size: int, tmp_path: Path) -> None:
    leaves = [leaf_hash(entry) for entry in ENTRIES]
    document: dict[str, Any] = {
        "size1": old, "size2": size, "root1": encoded(root_of(leaves[:old])), "root2": encoded(root_of(leaves[:size])),
        "proof": [encoded(one) for one in consistency_proof(leaves[:size], old)] or None,
    }  # fmt: skip
    assert code_of(document, tmp_path) == 0
    for wrong in (
        {"size1": 0}, {"size1": -1}, {"root1": ""}, {"root2": encoded(b"\0" * 31)},
        {"root2": encoded(b"\0" * 32)}, {"proof": [*(document["proof"] or []), encoded(b"\0" * 32)]},
    ):  # fmt: skip
        assert code_of({**document, **wrong}, tmp_path) == 1, wrong


@pytest.mark.parametrize(
    "content",
    [
        "", "[]", "{}", "no json", '{"leafIdx": "0"}', '{"leafIdx": 0, "treeSize": true}', '{"size1": 1.5, "size2": 2}',
        '{"leafIdx": 0, "treeSize": 1, "root": "!", "leafHash": ""}', '{"size1": 1, "size2": 2, "proof": "x"}',
        '{"leafIdx": 0, "treeSize": 1, "root": 7}', "[" * 5000, '{"leafIdx":1,"treeSize":1}',
        '{"leafIdx": 0, "treeSize": 1, "root": "", "leafHash": ""}',
        '{"size1": 1, "size2": 1, "root1": "", "proof": null}',
    ],
)  # fmt: skip
def test_the_command_says_what_is_no_proof(content: str, tmp_path: Path) -> None:
    path = tmp_path / "proof.json"
    path.write_text(content)
    assert CliRunner().invoke(app, ["audit", "check-proof", str(path)]).exit_code == 2


def test_the_command_as_a_process_exits_alike(tmp_path: Path) -> None:
    happy = INCLUSION / "1" / "happy-path.json"
    assert warrant("audit", "check-proof", str(happy)).code == 0
    assert warrant("audit", "check-proof", str(INCLUSION / "1" / "wrong-leaf.json")).code == 1
    assert warrant("audit", "check-proof", str(tmp_path / "absent")).code == 2


def code_of(document: dict[str, Any], folder: Path) -> int:
    path = folder / "proof.json"
    path.write_text(json.dumps(document))
    return CliRunner().invoke(app, ["audit", "check-proof", str(path)]).exit_code


def encoded(value: bytes) -> str:
    return base64.b64encode(value).decode()


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
