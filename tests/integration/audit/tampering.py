"""What somebody does who owns the database: past our code, past foreign keys and past the triggers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import rfc8785
from sqlalchemy import Connection, text

from backend.audit.log import commit_to
from backend.audit.merkle import Frontier, leaf_hash
from backend.audit.triggers import guards, protect_log
from backend.audit.verification import verify
from backend.database.engine import database


@contextmanager
def tampering() -> Iterator[Connection]:
    """A connection that neither our code nor a foreign key nor a trigger watches; afterwards all of them do again."""
    with database().write_engine.connect() as connection:
        on_sqlite = connection.dialect.name == "sqlite"
        raw: Any = connection.connection.dbapi_connection
        if on_sqlite:
            connection.rollback()
            raw.execute("PRAGMA foreign_keys=OFF")
            for guard in guards("sqlite"):
                raw.execute(f"DROP TRIGGER {guard.name}")
        else:
            connection.exec_driver_sql("SET session_replication_role = replica")
        try:
            yield connection
            connection.commit()
        finally:
            connection.rollback()
            if on_sqlite:
                protect_log(connection)
                connection.commit()
                raw.execute("PRAGMA foreign_keys=ON")
            else:
                connection.exec_driver_sql("SET session_replication_role = DEFAULT")
                connection.commit()


def run(statement: str, **values: Any) -> None:
    with tampering() as connection:
        connection.execute(text(statement), values)


def problem() -> str:
    """What verification finds; fails the test when it finds nothing."""
    result = verify()
    assert not result.ok
    assert result.problem is not None
    return result.problem.message


def rewrite_head(*, mac: str | None = None) -> None:
    """What an attacker with write access to the database does after changing entries. The mark stays as it was."""
    frontier = Frontier()
    with tampering() as connection:
        for (stored,) in connection.execute(text("SELECT leaf_hash FROM audit_entries ORDER BY seq")).all():
            frontier.append(bytes.fromhex(stored))
        connection.execute(
            text(
                "UPDATE audit_head SET size = :size, root = :root, frontier = :frontier, mac = coalesce(:mac, mac)"
            ),
            {
                "size": frontier.size,
                "root": frontier.root().hex(),
                "frontier": json.dumps([peak.hex() for peak in frontier.peaks], separators=(",", ":")),
                "mac": mac,
            },
        )


def forge(seq: int, like: int, **changes: Any) -> None:
    """Insert an entry whose leaf, hash, payload and commitment agree."""
    with tampering() as connection:
        leaf = connection.execute(
            text("SELECT leaf FROM audit_entries WHERE seq = :s"), {"s": like}
        ).scalar_one()
        salt, payload = "00" * 32, '{"why":"forged"}'
        fields = {**json.loads(leaf), "seq": seq, "commitment": commit_to(salt, payload), **changes}
        forged = rfc8785.dumps(fields).decode()
        connection.execute(
            text("INSERT INTO audit_entries (seq, leaf, leaf_hash) VALUES (:s, :l, :h)"),
            {"s": seq, "l": forged, "h": leaf_hash(forged.encode()).hex()},
        )
        connection.execute(
            text("INSERT INTO audit_payloads (seq, salt, payload) VALUES (:s, :t, :p)"),
            {"s": seq, "t": salt, "p": payload},
        )
