"""Proofs made from stored subtrees are those of the whole tree."""

from __future__ import annotations

import random

import pytest
from sqlalchemy import select

from backend.audit.actions import Action
from backend.audit.log import record
from backend.audit.merkle import consistency_proof, inclusion_proof, root_of
from backend.audit.proofs import LogDamaged, prove_consistency, prove_inclusion, root_at
from backend.audit.tables import AuditEntry
from backend.database.session import reading, writing
from tests.integration.audit.conftest import ADA
from tests.integration.audit.tampering import run

SIZE = 700


def assert_proofs_are_those_of_the_whole_tree() -> None:
    rng = random.Random(3)
    with reading() as session:
        leaves = [
            bytes.fromhex(one)
            for one in session.scalars(select(AuditEntry.leaf_hash).order_by(AuditEntry.seq))
        ]
        for _ in range(25):
            size = rng.randrange(1, SIZE + 1)
            seq, root = rng.randrange(size), root_of(leaves[:size]).hex()
            assert root_at(session, size) == root
            proof = prove_inclusion(session, seq, size=size, root=root)
            assert [bytes.fromhex(one) for one in proof.hashes] == inclusion_proof(leaves[:size], seq)
            whole = root_of(leaves).hex()
            assert prove_consistency(session, size, root, SIZE, whole) == consistency_proof(leaves, size)


def test_proofs_from_stored_subtrees_or_without_one_are_those_of_the_whole_tree(database: str) -> None:
    with writing() as session:
        for number in range(SIZE):
            record(session, ADA, Action.CHANGE_APPROVED, object_kind="change", object_id=number)
    assert_proofs_are_those_of_the_whole_tree()
    run("DELETE FROM audit_subtrees WHERE position = 1")
    assert_proofs_are_those_of_the_whole_tree()
    run("DELETE FROM audit_payloads WHERE seq = 300")
    run("DELETE FROM audit_entries WHERE seq = 300")
    with reading() as session, pytest.raises(LogDamaged, match="entry 300 is not there"):
        prove_inclusion(session, 301)
