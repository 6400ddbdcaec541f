"""The database itself refuses to change the log, and verification says when it no longer would."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from backend.audit.erasure import erase_payloads, erased_by
from backend.audit.reading import entry_detail, search_entries
from backend.audit.tables import AuditPayload
from backend.audit.triggers import guards
from backend.audit.verification import verify
from backend.database.engine import database as opened
from backend.database.session import reading, writing
from backend.errors import BadInput, NotAllowed
from backend.identity.actor import Actor, system_actor
from backend.identity.roles import Role
from tests.integration.audit.conftest import ADA, append
from tests.integration.audit.tampering import problem, run, tampering

WORKER = system_actor("worker")
COMPLIANCE = Actor(person_id="per_grace", kind="person", roles=frozenset({Role.COMPLIANCE}))


def attempt(statement: str) -> None:
    with opened().write_engine.begin() as connection:
        connection.execute(text(statement))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entries SET leaf = leaf WHERE seq = 2",
        "UPDATE audit_entries SET seq = 9 WHERE seq = 2",
        "DELETE FROM audit_entries",
        "UPDATE audit_payloads SET payload = '{}' WHERE seq = 2",
        "DELETE FROM audit_payloads WHERE seq = 2",
        "DELETE FROM audit_head",
        "UPDATE audit_head SET root = 'x'",
        "UPDATE audit_head SET size = size - 1",
        "UPDATE audit_head SET id = 2, size = size + 1",
    ],
)
def test_a_change_of_the_log_is_refused(five: str, statement: str) -> None:
    with pytest.raises(DBAPIError, match=r"append-only|only by erasing|only grows"):
        attempt(statement)
    assert verify().ok


@pytest.mark.parametrize("table", ["audit_entries", "audit_payloads", "audit_head", "audit_subtrees"])
def test_emptying_a_table_is_refused(five: str, table: str) -> None:
    if five == "sqlite":
        pytest.skip("SQLite has no TRUNCATE")
    with pytest.raises(DBAPIError, match="append-only"):
        attempt(f"TRUNCATE {table} CASCADE")
    assert verify().ok


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT OR REPLACE INTO audit_entries (seq, leaf, leaf_hash) "
        "SELECT seq, leaf, leaf_hash FROM audit_entries WHERE seq = 2",
        "INSERT OR REPLACE INTO audit_payloads (seq, salt, payload) VALUES (2, 'aa', '{}')",
        "INSERT OR REPLACE INTO audit_head (id, size, root, frontier, mac) VALUES (1, 9, '', '[]', '')",
        "INSERT INTO audit_entries (seq, leaf, leaf_hash) "
        "SELECT 9, leaf, leaf_hash FROM audit_entries WHERE seq = 2",
    ],
)  # fmt: skip
def test_replacing_a_row_is_refused_on_sqlite(five: str, statement: str) -> None:
    if five != "sqlite":
        pytest.skip("only SQLite has REPLACE")
    with pytest.raises(DBAPIError, match="append-only"):
        attempt(statement)
    assert verify().ok


def test_every_missing_or_altered_guard_is_named(five: str) -> None:
    for guard in guards(five):
        with opened().write_engine.connect() as connection:
            if five == "sqlite":
                made = connection.execute(
                    text("SELECT sql FROM sqlite_master WHERE name = :n"), {"n": guard.name}
                ).scalar_one()
                connection.exec_driver_sql(f"DROP TRIGGER {guard.name}")
            else:
                connection.exec_driver_sql(f"ALTER TABLE {guard.table} DISABLE TRIGGER {guard.name}")
            connection.commit()
        assert problem().startswith(f"the trigger {guard.name} is missing"), guard
        with opened().write_engine.connect() as connection:
            if five == "sqlite":
                connection.exec_driver_sql(made)
            else:
                connection.exec_driver_sql(f"ALTER TABLE {guard.table} ENABLE TRIGGER {guard.name}")
            connection.commit()
    assert verify().ok


def test_an_erased_payload_is_gone_and_the_log_still_verifies(five: str) -> None:
    with writing() as session:
        assert erase_payloads(session, WORKER, [3, 1, 2, 2], why="request 7", subject="erq_1") == [1, 2, 3]
    with reading() as session:
        assert session.get(AuditPayload, 2) is None
        assert erased_by(session, 2) == 5
        assert erased_by(session, 4) is None
        assert not any(view.damaged for view in search_entries(session, ADA))
        assert (
            entry_detail(session, COMPLIANCE, 2).view.payload is None
            or not entry_detail(session, COMPLIANCE, 2).view.payload
        )
    append(2, start=5)
    result = verify()
    assert result.ok, result.problem
    with writing() as session:
        assert erase_payloads(session, WORKER, [1, 4], why="again", subject="erq_2") == [4]
    assert verify().ok


def test_the_record_of_an_erasure_cannot_be_erased_and_persons_erase_nothing(five: str) -> None:
    with writing() as session:
        erase_payloads(session, WORKER, [1], why="request 7", subject="erq_1")
    with pytest.raises(BadInput, match="entry 5 records an erasure"), writing() as session:
        erase_payloads(session, WORKER, [5], why="hide it")
    with pytest.raises(NotAllowed), writing() as session:
        erase_payloads(session, COMPLIANCE, [2], why="hide it")


def test_an_erasure_that_no_entry_records_is_seen(five: str) -> None:
    """Past our code the database lets a payload go with a row in the side table; the log tells."""
    attempt("INSERT INTO audit_erasures (seq, recorded_by) VALUES (1, 4)")
    attempt("DELETE FROM audit_payloads WHERE seq = 1")
    assert "entry 4 does not say that it was erased" in problem()


def test_an_erasure_recorded_for_other_entries_is_seen(five: str) -> None:
    with writing() as session:
        erase_payloads(session, WORKER, [1, 3], why="request 7", subject="erq_1")
    attempt("INSERT INTO audit_erasures (seq, recorded_by) VALUES (2, 5)")
    attempt("DELETE FROM audit_payloads WHERE seq = 2")
    assert problem().startswith("entry 2")


def test_an_erased_payload_that_is_put_back_is_seen(five: str) -> None:
    with tampering() as connection:
        kept = connection.execute(text("SELECT salt, payload FROM audit_payloads WHERE seq = 1")).one()
    with writing() as session:
        erase_payloads(session, WORKER, [1], why="request 7", subject="erq_1")
    run("INSERT INTO audit_payloads (seq, salt, payload) VALUES (1, :s, :p)", s=kept.salt, p=kept.payload)
    assert "is there again" in problem()


def test_a_removed_erasure_is_seen(five: str) -> None:
    with writing() as session:
        erase_payloads(session, WORKER, [1], why="request 7", subject="erq_1")
    run("DELETE FROM audit_erasures")
    assert problem().startswith("entry 1")
