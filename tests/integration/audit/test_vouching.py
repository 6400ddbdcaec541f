"""Several processes that check the entries of a log find what one finds, in the same words."""

from __future__ import annotations

import sys

import pytest

from backend.audit import vouching
from backend.audit.erasure import erase_payloads
from backend.audit.tables import AuditHead
from backend.audit.verification import Verification, verify
from backend.audit.vouching import _good, _helpers, _vouched
from backend.database.engine import database as current
from backend.database.session import reading, writing
from backend.identity.actor import system_actor
from tests.integration.audit.conftest import append
from tests.integration.audit.tampering import forge, rewrite_head, run

WORKER = system_actor("worker")


@pytest.fixture
def erased(database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A log of 31 entries, some payloads erased, which is checked in runs of four."""
    append(30)
    with writing() as session:
        erase_payloads(session, WORKER, [3, 4, 5, 20], why="request 7", subject="erq_1")
    monkeypatch.setattr(vouching, "RUN", 4)
    return database


def verify_with_helpers() -> Verification:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vouching, "WORTH_IT", 0)
        patch.setattr("os.cpu_count", lambda: 2)
        return verify()


def vouched() -> int:
    """How many entries the helpers vouch for."""
    with reading() as session:
        size = session.get_one(AuditHead, 1).size
    with _helpers(current(), size, 2) as idle:
        return sum(len(hashes) for _, hashes in _vouched(idle, size, 2)) // 32


def test_helpers_vouch_for_every_entry_of_a_whole_log(erased: str) -> None:
    assert vouched() == 31
    assert verify_with_helpers() == verify()
    assert verify_with_helpers().ok


def test_helpers_that_die_vouch_for_nothing_and_the_log_is_checked_all_the_same(
    erased: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert vouched() == 0
    assert verify_with_helpers() == verify()
    assert verify().ok


@pytest.mark.parametrize(
    ("change", "seq"),
    [
        ("UPDATE audit_payloads SET payload = replace(payload, 'reason', 'Reason') WHERE seq = 17", 17),
        ("UPDATE audit_entries SET leaf_hash = upper(leaf_hash) WHERE seq = 0", 0),
        pytest.param("DELETE FROM audit_payloads WHERE seq = 12", 12, marks=pytest.mark.slow),
        pytest.param("DELETE FROM audit_erasures WHERE seq = 4", 4, marks=pytest.mark.slow),
        pytest.param(
            "INSERT INTO audit_erasures (seq, recorded_by) VALUES (21, 30)", 21, marks=pytest.mark.slow
        ),
        pytest.param("UPDATE audit_entries SET seq = 99 WHERE seq = 15", 15, marks=pytest.mark.slow),
        pytest.param("UPDATE audit_entries SET seq = -1 WHERE seq = 30", -1, marks=pytest.mark.slow),
        pytest.param("UPDATE audit_head SET size = 29", 29, marks=pytest.mark.slow),
        pytest.param("UPDATE audit_head SET size = 33", 31, marks=pytest.mark.slow),
    ],
)
def test_what_was_altered_is_told_in_the_same_words(erased: str, change: str, seq: int) -> None:
    run(change)
    found = verify_with_helpers()
    assert found == verify()
    assert found.problem is not None
    assert found.problem.seq == seq


def test_a_rewritten_entry_whose_cells_all_agree_is_found_by_the_root(erased: str) -> None:
    for table in ("audit_payloads", "audit_entries"):
        run(f"DELETE FROM {table} WHERE seq = 9")
    forge(9, like=8)
    rewrite_head()
    assert vouched() == 31
    found = verify_with_helpers()
    assert found == verify()
    assert found.problem is not None
    assert "another root than this machine published" in found.problem.message


def test_an_erasure_by_an_entry_that_the_asker_does_not_see_is_not_vouched_for(erased: str) -> None:
    with writing() as session:
        erase_payloads(session, WORKER, [25], why="request 8", subject="erq_2")
    assert len(list(_good(current(), 0, 31, head_size=31))) == 25
    assert len(list(_good(current(), 0, 31, head_size=32))) == 31
