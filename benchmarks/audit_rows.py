"""A million audit entries, made quickly: what is measured is how they are read.

A year of a house with five models: most entries are routine of machines, every twelfth is a person's; a few persons
and objects are rare. All are valid: leaf, commitment, words, subtrees and head are what `record` would have stored.
"""

from __future__ import annotations

import hashlib
import random
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import update

from backend import clock
from backend.audit import heads
from backend.audit.keys import mark_head
from backend.audit.merkle import Frontier
from backend.audit.search_index import row_of
from backend.audit.tables import AuditHead
from backend.canonical import canonical_json
from backend.database.engine import database
from backend.database.session import reading

PEOPLE: Final = 50
MODELS: Final = ("flights", "credit", "churn", "claims", "prices")
CHUNK: Final = 50_000
_BEGINS: Final = datetime(2025, 3, 1, tzinfo=UTC)
_SECONDS: Final = 31  # between two entries: a million of them are a year
_WORDS: Final = (
    "agreed", "after", "review", "drift", "report", "because", "label", "delay", "fell", "cutoff", "moved", "window",
    "late", "feed", "repaired", "recall", "precision", "threshold", "segment", "airport", "winter", "schedule",
    "carrier", "backlog", "vendor", "sensor", "outage", "holiday", "season",
)  # fmt: skip


def fill(size: int) -> None:
    """Append entries until there are `size`."""
    with reading() as session:
        head = session.get_one(AuditHead, 1)
        frontier = Frontier(head.size, [bytes.fromhex(peak) for peak in head.frontier])
    rng = random.Random(frontier.size)  # noqa: S311 - the content of a benchmark
    with database().write_engine.connect() as connection:
        store = _store_postgresql if connection.dialect.name == "postgresql" else _store_sqlite
        indexes = _drop_word_indexes(connection)
        while frontier.size < size:
            rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in _COLUMNS}
            for seq in range(frontier.size, min(size, frontier.size + CHUNK)):
                leaf, hashed, salt, payload, words = _entry(rng, seq, connection.dialect.name)
                rows["audit_entries"].append((seq, leaf, hashed.hex()))
                rows["audit_payloads"].append((seq, salt, payload))
                rows["audit_search"].append((seq, *words))
                rows["audit_subtrees"] += [
                    (level, position, root.hex()) for level, position, root in frontier.append(hashed)
                ]
            for table, some in rows.items():
                store(connection, table, some)
            root = frontier.root().hex()
            connection.execute(
                update(AuditHead).values(
                    size=frontier.size, root=root, frontier=[peak.hex() for peak in frontier.peaks],
                    mac=mark_head(frontier.size, root),
                )
            )  # fmt: skip
            connection.commit()
        for statement in indexes:
            connection.exec_driver_sql(statement)
        connection.commit()
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("ANALYZE")  # the server does by itself, a minute later
            connection.commit()
    heads.publish(frontier.size, frontier.root().hex())


def _entry(rng: random.Random, seq: int, dialect: str) -> tuple[str, bytes, str, str, tuple[Any, ...]]:
    """Leaf, its hash, salt, payload, and the row of words."""
    salt = hashlib.sha256(b"salt %d" % seq)
    model = MODELS[rng.randrange(len(MODELS))]
    at = clock.to_iso(_BEGINS + timedelta(seconds=_SECONDS * seq + rng.random()))
    payload: dict[str, Any]
    if seq % 12:
        actor, kind, session = "system:worker", "system", None
        action, object_kind = rng.choice(_ROUTINE)
        object_id, payload = f"{model}/{seq}", {"model": model, "rows": rng.randrange(5000), "why": ""}
    else:
        person = min(rng.randrange(PEOPLE), rng.randrange(PEOPLE))
        actor, kind, session = f"per_{person:020x}", "person", f"ses_{seq % 500:020x}"
        action, object_kind = rng.choice(_BY_PEOPLE)
        why = " ".join(rng.choices(_WORDS, k=8)) + (f" ticket{seq}" if seq % 600 == 0 else "")
        object_id, payload = str(seq // 40), {"model": model, "cutoff": 0.4, "why": why}
    body = canonical_json(payload)
    leaf = {
        "v": 1, "seq": seq, "at": at, "actor": actor, "actor_kind": kind, "acting_for": None, "session": session,
        "request": f"req_{seq:020x}", "action": action, "object_kind": object_kind, "object_id": object_id,
        "commitment": hashlib.sha256(salt.digest() + body).hexdigest(),
    }  # fmt: skip
    text = canonical_json(leaf)
    words = row_of(dialect, leaf, payload)
    hashed = hashlib.sha256(b"\0" + text).digest()
    return text.decode(), hashed, salt.hexdigest(), body.decode(), (words["new_open"], words["new_clear"])


_ROUTINE: Final = (
    ("observations:batch:ingest", "batch"), ("monitoring:window:compute", "window"),
)  # fmt: skip
_BY_PEOPLE: Final = (
    ("governance:change:approve", "change"), ("governance:change:request", "change"),
    ("alerting:incident:acknowledge", "incident"),
)  # fmt: skip
_COLUMNS: Final = {
    "audit_entries": ("seq", "leaf", "leaf_hash"),
    "audit_payloads": ("seq", "salt", "payload"),
    "audit_search": ("seq", "open", "clear"),
    "audit_subtrees": ("level", "position", "hash"),
}


def _store_sqlite(connection: Any, table: str, rows: list[tuple[Any, ...]]) -> None:
    names = [name if table != "audit_search" or name != "seq" else "rowid" for name in _COLUMNS[table]]
    places = ", ".join("?" for _ in names)
    if rows:
        connection.exec_driver_sql(  # every name is a constant
            f"INSERT INTO {table} ({', '.join(names)}) VALUES ({places})",  # noqa: S608
            rows,
        )


def _store_postgresql(connection: Any, table: str, rows: list[tuple[Any, ...]]) -> None:
    cursor = connection.connection.cursor()
    cursor.execute("SET LOCAL session_replication_role = replica")  # a million checks of foreign keys
    with cursor.copy(f"COPY {table} ({', '.join(_COLUMNS[table])}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row([_vector(one) if isinstance(one, list) else one for one in row])


def _vector(words: list[str]) -> str:
    """As text that the database reads as a `tsvector` of just these words."""
    return " ".join(f"'{word}'" for word in words)


def _drop_word_indexes(connection: Any) -> list[str]:
    """Drop the indexes over words, which a million rows fill slowly one by one; gives what makes them again."""
    if connection.dialect.name != "postgresql":
        return []
    found = connection.exec_driver_sql(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'audit_search' AND indexdef LIKE '%%gin%%'"
    ).all()
    made = []
    for name, definition in found:
        connection.exec_driver_sql(f"DROP INDEX {name}")
        made.append(definition)
    connection.commit()
    return made
