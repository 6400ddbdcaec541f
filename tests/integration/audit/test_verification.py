"""Whatever is altered in the stored log, verification says so and names the place."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from backend import clock
from backend.audit import heads
from backend.audit.merkle import leaf_hash
from backend.audit.verification import PUBLISHED_WITHIN, verify
from backend.database.engine import connect, database, use_database
from backend.settings import settings
from tests.integration.audit.conftest import append
from tests.integration.audit.tampering import forge, problem, rewrite_head, run, tampering

STORED = (
    ("audit_entries", "leaf"),
    ("audit_entries", "leaf_hash"),
    ("audit_payloads", "salt"),
    ("audit_payloads", "payload"),
)


def test_an_untouched_log_verifies(five: str) -> None:
    result = verify()
    assert (result.ok, result.size, result.problem) == (True, 5, None)
    assert result.published == heads.Head(5, result.root)


def test_an_empty_log_verifies(database: str) -> None:
    result = verify()
    assert (result.ok, result.size) == (True, 0)
    assert result.root == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_a_log_longer_than_a_batch_verifies_and_names_an_altered_entry(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.audit.verification.BATCH", 7)
    append(30)
    assert verify().size == 30
    run("UPDATE audit_payloads SET payload = replace(payload, 'reason', 'Reason') WHERE seq = 17")
    message = problem()
    assert message.startswith("entry 17 (governance:change:approve, 20")
    assert "does not match its commitment" in message


@pytest.mark.slow
def test_every_changed_character_of_an_entry_is_found(five: str) -> None:
    """Every position on SQLite; every third on PostgreSQL, where each costs more. A change that the database
    itself refuses (a leaf that is no longer JSON) did not happen."""
    step = 1 if five == "sqlite" else 3
    for table, column in STORED:
        with database().read_engine.connect() as connection:
            value = connection.execute(text(f"SELECT {column} FROM {table} WHERE seq = 2")).scalar_one()
        for position in range(0, len(value), step):
            flipped = value[:position] + chr(ord(value[position]) ^ 1) + value[position + 1 :]
            try:
                run(f"UPDATE {table} SET {column} = :v WHERE seq = 2", v=flipped)
            except DBAPIError:
                continue
            assert problem().startswith("entry 2"), (table, column, position)
            run(f"UPDATE {table} SET {column} = :v WHERE seq = 2", v=value)
    assert verify().ok


@pytest.mark.parametrize(
    ("size", "seqs", "step"),
    [
        pytest.param(5, {2}, 1, id="every byte of one entry"),
        pytest.param(5, {0, 1, 3, 4}, 1, id="every byte of the others", marks=pytest.mark.slow),
        pytest.param(60, {0, 31, 32, 59}, 29, id="a sample of a larger log"),
    ],
)
def test_every_flipped_byte_in_the_sqlite_file_is_found(
    home: Path, migrated_sqlite: Path, size: int, seqs: set[int], step: int
) -> None:
    """Past the database: bytes of leaf, hash, generated columns, salt and payload in the file itself."""
    path = Path(shutil.copy(migrated_sqlite, home / "warrant.db"))
    append(size)
    use_database(None)
    with sqlite3.connect(path) as plain:
        plain.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        entries = plain.execute(
            "SELECT e.seq, leaf || leaf_hash || at || actor || action || object_kind || object_id, salt || payload "
            "FROM audit_entries e JOIN audit_payloads p ON p.seq = e.seq"
        ).fetchall()
    plain.close()
    content = path.read_bytes()
    rng = random.Random(7)
    other = connect(f"sqlite:///{path}")
    for seq, part in [(seq, part.encode()) for seq, *parts in entries if seq in seqs for part in parts]:
        start = content.find(part)
        assert start >= 0, "a row is not stored in one piece; the test looks in the wrong place"
        for position in range(start, start + len(part), step):
            altered = content[position] ^ (1 << rng.randrange(8))
            write_byte(path, position, altered)
            result = verify(other)
            other.dispose()  # a connection that has read a page would not read it again
            assert not result.ok, (seq, position - start)
            assert result.problem is not None
            assert result.problem.message.startswith(f"entry {seq}"), result.problem.message
            write_byte(path, position, content[position])
    assert verify().ok


def write_byte(path: Path, position: int, value: int) -> None:
    with path.open("r+b") as file:
        file.seek(position)
        file.write(bytes([value]))


@pytest.mark.parametrize("table", ["audit_entries", "audit_payloads"])
@pytest.mark.parametrize("seq", [0, 2, 4])
def test_a_deleted_row_is_named(five: str, table: str, seq: int) -> None:
    run(f"DELETE FROM {table} WHERE seq = {seq}")
    message = problem()
    assert message.startswith(f"entry {seq}")
    assert "missing" in message


def test_a_cut_tail_is_seen_even_after_the_head_row_is_rewritten(five: str) -> None:
    run("DELETE FROM audit_payloads WHERE seq = 4")
    run("DELETE FROM audit_entries WHERE seq = 4")
    assert problem() == "entry 4 and all later ones are missing: the head row counts 5 entries"
    rewrite_head()
    assert problem() == ("entry 4 and all later ones are missing: this machine published a head of 5 entries")


def test_an_emptied_log_is_seen(five: str) -> None:
    for table in ("audit_payloads", "audit_entries"):
        run(f"DELETE FROM {table}")
    assert problem().startswith("entry 0 and all later ones are missing: the head row counts 5")
    run("DELETE FROM audit_head")
    assert problem().startswith("entry 0 and all later ones are missing: this machine published a head of 5")


def test_a_missing_head_row_is_seen(five: str) -> None:
    run("DELETE FROM audit_head")
    assert problem() == "the head row is missing although there are entries"


@pytest.mark.parametrize("seq", [-1, 5, 9])
def test_an_inserted_entry_is_seen(five: str, seq: int) -> None:
    forge(seq, like=2)
    message = problem()
    assert message.startswith(f"entry {seq}" if seq != 9 else "entry 5 is missing: entry 9")


@pytest.mark.parametrize("age", [timedelta(0), PUBLISHED_WITHIN * 2], ids=["just now", "earlier"])
def test_an_entry_added_at_the_end_is_seen_at_once_because_its_head_has_no_mark_of_ours(
    five: str, age: timedelta
) -> None:
    forge(5, like=2, at=clock.to_iso(clock.now() - age))
    rewrite_head()
    assert problem().startswith("entry 5")
    assert "never published" in problem()


def test_an_entry_whose_process_died_before_publication_is_fine_however_long_ago(five: str) -> None:
    early = heads.head_path().read_text()
    append(1, start=5)
    heads.head_path().write_text(early)
    assert verify().ok
    assert verify().published == heads.Head(5, heads.read_head().root)  # type: ignore[union-attr]


def test_an_entry_under_a_mark_that_this_home_cannot_read_must_be_published_within_a_minute(
    five: str,
) -> None:
    forge(5, like=2, at=clock.to_iso(clock.now()))
    rewrite_head(mac="00000000:" + "ab" * 32)
    assert verify().ok
    for table in ("audit_payloads", "audit_entries"):
        run(f"DELETE FROM {table} WHERE seq = 5")
    forge(5, like=2, at=clock.to_iso(clock.now() - PUBLISHED_WITHIN - timedelta(seconds=1)))
    rewrite_head()
    assert problem().startswith("entry 5")
    assert "never published" in problem()


def test_a_head_row_whose_mark_is_altered_is_seen(five: str) -> None:
    with tampering() as connection:
        mac = connection.execute(text("SELECT mac FROM audit_head")).scalar_one()
    run("UPDATE audit_head SET mac = :mac", mac=mac[:-1] + ("0" if mac[-1] != "0" else "1"))
    assert problem().startswith("the head row does not carry Warrant's mark")


def test_an_entry_rewritten_with_hash_and_head_differs_from_the_published_head(five: str) -> None:
    for table in ("audit_payloads", "audit_entries"):
        run(f"DELETE FROM {table} WHERE seq = 3")
    forge(3, like=2)
    assert "root differs" in problem() or "another root" in problem()
    rewrite_head()
    assert "have another root than this machine published" in problem()


def test_swapped_entries_are_seen(five: str) -> None:
    for table in ("audit_payloads", "audit_entries"):
        for before, after in ((1, 99), (2, 1), (99, 2)):
            run(f"UPDATE {table} SET seq = {after} WHERE seq = {before}")
    rewrite_head()
    message = problem()
    assert message.startswith("entry 1 ")
    assert message.endswith("the leaf says that it is entry 2")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("size = 6", "entry 5 and all later ones are missing"),
        ("size = 4", "entry 4 (governance:change:approve"),
        ("size = -1", "the head row's size"),
        ("root = replace(root, substr(root, 1, 4), 'zzzz')", "the head row's root differs"),
        ("frontier = '[]'", "the head row's frontier differs"),
        ("frontier = 'no json'", "the head row's frontier differs"),
    ],
)
def test_an_altered_head_row_is_seen(five: str, change: str, said: str) -> None:
    run(f"UPDATE audit_head SET {change}")
    assert problem().startswith(said)


def test_a_payload_without_entry_is_seen(five: str) -> None:
    run("INSERT INTO audit_payloads (seq, salt, payload) VALUES (77, 'aa', '{}')")
    assert problem() == "a payload is stored for entry 77, which does not exist"


@pytest.mark.parametrize(
    "content", ["", "no json", '{"size": 5}', '{"size": "five", "root": ""}', '{"size": -2, "root": ""}']
)
def test_a_published_head_that_is_none_is_seen(five: str, content: str) -> None:
    heads.head_path().write_text(content)
    assert "published head" in problem()


def test_a_published_head_of_another_log_is_seen(five: str) -> None:
    heads.head_path().write_text(json.dumps({"size": 3, "root": "ab" * 32}))
    assert problem().startswith("the first 3 entries have another root than this machine published")


def test_a_head_published_before_a_crash_is_a_prefix_and_fine(five: str) -> None:
    early = heads.head_path().read_text()
    append(3, start=5)
    heads.head_path().write_text(early)
    assert verify().ok


def test_a_missing_published_head_is_told(five: str) -> None:
    heads.head_path().unlink()
    assert verify().published is None


def test_an_entry_hidden_from_an_index_is_seen(home: Path) -> None:
    """A search that goes by the index would not find it, although the entry itself is whole."""
    from backend.database.upgrade import upgrade

    upgrade()
    append(5)
    use_database(None)
    with sqlite3.connect(home / "warrant.db") as plain:
        plain.execute("PRAGMA writable_schema=ON")
        root = plain.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'ix_audit_entries_action'"
        ).fetchone()[0]
        empty = plain.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'ix_audit_entries_at'"
        ).fetchone()[0]
        plain.execute(
            "UPDATE sqlite_master SET rootpage = ? WHERE name = 'ix_audit_entries_action'", (empty,)
        )
        plain.execute("UPDATE sqlite_master SET rootpage = ? WHERE name = 'ix_audit_entries_at'", (root,))
    plain.close()
    assert "damaged" in problem() or "could not be checked" in problem()


def test_a_file_that_is_no_database_is_a_problem_not_a_crash(home: Path) -> None:
    (home / "warrant.db").write_bytes(b"not a database, just long enough to be read as one" * 50)
    settings.cache_clear()
    assert "entry 0" in problem()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            "audit_payloads SET payload = CAST(payload AS BLOB)",
            "a cell is stored as something other than text",
        ),
        ("audit_payloads SET salt = upper(salt)", "its payload's salt is not 64 lower-case"),
        ("audit_entries SET leaf_hash = upper(leaf_hash)", "the stored hash is not 64 lower-case"),
        ("audit_payloads SET payload = CAST(x'ff00' AS TEXT)", "does not match its commitment"),
        ("audit_entries SET leaf = leaf || ' '", "the leaf's hash differs"),
    ],
)
def test_what_looks_the_same_but_is_stored_otherwise_is_seen(
    home: Path, migrated_sqlite: Path, change: str, said: str
) -> None:
    shutil.copy(migrated_sqlite, home / "warrant.db")
    append(3)
    run(f"UPDATE {change} WHERE seq = 1")
    message = problem()
    assert message.startswith("entry 1")
    assert said in message


@pytest.mark.parametrize(
    "leaf",
    ["{}", '{"v":1}', "[]", '"text"', '{"a":1,"a":1}', '{"seq":' + "9" * 5000 + "}", '{"a":NaN}', "1e999",
     "[" * 900 + "]" * 900, '{"v":true}', '{"a":"\\ud800"}'],
)  # fmt: skip
def test_a_leaf_of_any_shape_is_a_problem_not_a_crash(database: str, leaf: str) -> None:
    """Also where the attacker recomputed its hash and the head."""
    append(2)
    with tampering() as connection:
        try:
            connection.execute(
                text("UPDATE audit_entries SET leaf = :l, leaf_hash = :h WHERE seq = 1"),
                {"l": leaf, "h": leaf_hash(leaf.encode()).hex()},
            )
        except DBAPIError:
            connection.rollback()  # the database itself refused it
            return
    rewrite_head()
    assert problem().startswith("entry 1")
