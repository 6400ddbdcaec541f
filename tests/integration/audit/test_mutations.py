"""Whatever one alters at random in what is stored of the log is found: a byte, a row, an order, a signature, a file."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from backend.audit.actions import Action
from backend.audit.anchoring import anchor_newest
from backend.audit.anchors.witness import WitnessAnchor
from backend.audit.checkpoints import sign_head
from backend.audit.erasure import erase_payloads
from backend.audit.heads import head_path
from backend.audit.log import record
from backend.audit.notes import VerifierKey
from backend.audit.rotation import rotate_key
from backend.audit.signers import last_path, verifier_keys, verifier_path
from backend.audit.verification import verify
from backend.audit.witnesses import Witness
from backend.database.session import writing
from backend.identity.actor import system_actor
from backend.settings import settings
from tests.integration.audit.conftest import ADA
from tests.integration.audit.tampering import tampering
from tests.integration.audit.witness_process import witness_process

WORKER = system_actor("worker")
# Of every table what is stored, and what names a row. Generated columns cannot be written.
COLUMNS = {
    "audit_entries": ("seq", ["leaf", "leaf_hash"]),
    "audit_payloads": ("seq", ["salt", "payload"]),
    "audit_head": ("id", ["root", "frontier", "mac"]),
    "audit_subtrees": ("position", ["hash"]),
    "audit_checkpoints": ("id", ["root", "note"]),
    "audit_anchors": ("id", ["kind", "place", "proof"]),
}
NUMBERS = {
    "audit_entries": ["seq"], "audit_payloads": ["seq"], "audit_head": ["id", "size"],
    "audit_erasures": ["seq", "recorded_by"], "audit_subtrees": ["level", "position"],
    "audit_checkpoints": ["id", "size"], "audit_anchors": ["id", "checkpoint_id"],
}  # fmt: skip
ROUNDS = 60


@pytest.fixture
def full(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A log with everything in it: 300 entries, an erasure, checkpoints by two keys, a witness's signatures."""
    with writing() as session:
        for number in range(290):
            record(
                session,
                ADA,
                Action.CHANGE_APPROVED,
                object_kind="change",
                object_id=number,
                why=f"späť {number}",
            )
    sign_head()
    with witness_process(tmp_path / "witness", [str(verifier_keys()[0])]) as running:
        place = WitnessAnchor(Witness(running.url, VerifierKey.parse(running.key)))
        anchor_newest(WORKER, [place])
        with writing() as session:
            erase_payloads(session, WORKER, [3, 4, 77], why="request 7", subject="erq_1")
        with writing() as session:
            for number in range(10):
                record(session, ADA, Action.CHANGE_APPROVED, object_kind="change", object_id=number)
        sign_head()
        anchor_newest(WORKER, [place])
    rotate_key(WORKER, why="due")
    sign_head()
    monkeypatch.setenv("WARRANT_AUDIT_WITNESSES", running.setting)
    settings.cache_clear()
    assert verify().ok
    return database


def rows(table: str) -> list[dict[str, Any]]:
    generated = {"at", "actor", "action", "object_kind", "object_id"} if table == "audit_entries" else set()
    with tampering() as connection:
        found = connection.execute(text(f"SELECT * FROM {table}")).mappings().all()
    return [{name: value for name, value in row.items() if name not in generated} for row in found]


def found_after(statement: str, values: dict[str, Any]) -> str | None:
    """What verification says; None where the database itself refused the change."""
    try:
        with tampering() as connection:
            connection.execute(text(statement), values)
    except DBAPIError:
        return None
    result = verify()
    assert not result.ok, (statement, values)
    assert result.problem is not None
    return result.problem.message


def put_back(table: str, content: list[dict[str, Any]]) -> None:
    with tampering() as connection:
        connection.execute(text(f"DELETE FROM {table}"))
        names = list(content[0])
        connection.execute(
            text(
                f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(':' + name for name in names)})"
            ),
            content,
        )


@pytest.mark.slow
def test_every_altered_byte_of_a_row_is_found(full: str) -> None:
    rng = random.Random(20260101)
    kept = {table: rows(table) for table in COLUMNS}
    altered = 0
    for _ in range(ROUNDS):
        table = rng.choice(list(COLUMNS))
        name, columns = COLUMNS[table]
        row, column = rng.choice(kept[table]), rng.choice(columns)
        content = bytearray(str(row[column]).encode())
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(7)
        try:
            changed = content.decode()
        except UnicodeDecodeError:
            continue
        if "\0" in changed:
            continue
        also = " AND level = :level" if table == "audit_subtrees" else ""
        done = found_after(f"UPDATE {table} SET {column} = :v WHERE {name} = :n{also}",
                           {"v": changed, "n": row[name], **({"level": row["level"]} if also else {})})  # fmt: skip
        if done is None:
            continue
        altered += 1
        put_back(table, kept[table])
    assert altered > ROUNDS / 3
    assert verify().ok


@pytest.mark.slow
def test_every_altered_number_is_found(full: str) -> None:
    rng = random.Random(7)
    for table, columns in NUMBERS.items():
        content = rows(table)
        for column in columns:
            row = rng.choice(content)
            value = int(row[column])
            keys = " AND ".join(f"{name} = :k_{name}" for name in row if isinstance(row[name], int))
            bound = {f"k_{name}": row[name] for name in row if isinstance(row[name], int)}
            for changed in {value ^ 1, value + 1000}:
                if column == "checkpoint_id" and changed != value + 1000:
                    continue  # two checkpoints of one size have one text: a witness signed both or neither
                if (
                    found_after(f"UPDATE {table} SET {column} = :v WHERE {keys}", {"v": changed, **bound})
                    is not None
                ):
                    put_back(table, content)
    assert verify().ok


@pytest.mark.slow
def test_every_deleted_or_exchanged_row_is_found(full: str) -> None:
    rng = random.Random(5)
    for table in (
        "audit_entries",
        "audit_payloads",
        "audit_head",
        "audit_erasures",
        "audit_subtrees",
        "audit_checkpoints",
        "audit_anchors",
    ):
        content = rows(table)
        for _ in range(3):
            row = rng.choice(content)
            keys = " AND ".join(f"{name} = :{name}" for name in row if isinstance(row[name], int))
            bound = {name: value for name, value in row.items() if isinstance(value, int)}
            if table in ("audit_checkpoints", "audit_anchors") and row["id"] == len(content):
                continue  # the newest may be on its way: of a checkpoint the signer's own note is checked instead
            assert found_after(f"DELETE FROM {table} WHERE {keys}", bound) is not None
            put_back(table, content)
        if len(content) > 1:
            first, second = rng.sample(content, 2)
            key = next(iter(first)) if table != "audit_subtrees" else "position"
            if table in ("audit_entries", "audit_payloads", "audit_checkpoints"):
                exchanged = [
                    {**row, key: second[key]}
                    if row is first
                    else {**row, key: first[key]}
                    if row is second
                    else row
                    for row in content
                ]
                put_back(table, exchanged)
                assert not verify().ok, (table, first[key], second[key])
                put_back(table, content)
    assert verify().ok


@pytest.mark.slow
def test_every_altered_byte_of_a_file_is_found(full: str) -> None:
    rng = random.Random(3)
    for path in (head_path(), last_path(), verifier_path()):
        content = path.read_bytes()
        for _ in range(25):
            altered = bytearray(content)
            position = rng.randrange(len(altered))
            altered[position] ^= 1 << rng.randrange(8)
            path.write_bytes(altered)
            assert not verify().ok, (path.name, position, bytes(altered[max(0, position - 9) : position + 9]))
        path.write_bytes(content)
    assert verify().ok


@pytest.mark.slow
def test_exchanged_signatures_are_found(full: str) -> None:
    """A signature of one checkpoint under another, and a witness's line of one under another."""
    checkpoints, anchors = rows("audit_checkpoints"), rows("audit_anchors")
    body = checkpoints[0]["note"].split("\n\n")[0]
    swapped = body + "\n\n" + checkpoints[1]["note"].split("\n\n")[1]
    assert "checkpoint 1" in (
        found_after("UPDATE audit_checkpoints SET note = :v WHERE id = 1", {"v": swapped}) or ""
    )
    put_back("audit_checkpoints", checkpoints)
    assert found_after("UPDATE audit_anchors SET proof = :v WHERE id = :n",
                       {"v": anchors[1]["proof"], "n": anchors[0]["id"]}) is not None  # fmt: skip
    put_back("audit_anchors", anchors)
    assert verify().ok
