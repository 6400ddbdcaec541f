"""Triggers that refuse to change what was recorded, on both databases.

They stop accidents and whoever has a connection of the application, not the owner of the database, who can drop them;
`verification` finds what was altered all the same, and says when a trigger is missing. On SQLite a `REPLACE` removes
a row without firing the trigger of a removal, so there an insertion must be of the next entry.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from backend.audit.search_index import create_search

APPEND_ONLY: Final = (
    "audit_entries",
    "audit_erasures",
    "audit_subtrees",
    "audit_checkpoints",
    "audit_anchors",
)
_APPENDED: Final = "the audit log is append-only"
_ERASED: Final = "the clear text of an audit entry is removed only by erasing it, which is recorded"
_GROWS: Final = "the head of the audit log only grows"
_NOT_ERASED: Final = "NOT EXISTS (SELECT 1 FROM audit_erasures WHERE seq = OLD.seq)"
_DESTROYED: Final = "the key of a person stays until an entry records the erasure, and then stays destroyed"
# NULLs make a comparison unknown, and what is unknown would not be refused: each case is asked for by itself.
_NOT_DESTROYED: Final = (
    "OLD.key IS NULL OR NEW.key IS NOT NULL OR NEW.subject <> OLD.subject OR NEW.destroyed_at IS NULL "
    "OR NOT EXISTS (SELECT 1 FROM audit_entries WHERE seq = NEW.destroyed_by "
    "AND action = 'audit:person:erase' AND object_kind = 'person' AND object_id = NEW.subject)"
)
_SHRINKS: Final = "NEW.id <> OLD.id OR NEW.size <= OLD.size"


@dataclass(frozen=True)
class Guard:
    """One refusal: of `event` (UPDATE, DELETE, INSERT, TRUNCATE) on `table`, where `when` is true of the row."""

    table: str
    event: str
    message: str
    when: str = ""

    @property
    def name(self) -> str:
        return f"{self.table}_refuse_{self.event.lower()}"


def guards(dialect: str) -> list[Guard]:
    """All of them, in the words of this database."""
    found = [Guard(table, event, _APPENDED) for table in APPEND_ONLY for event in ("UPDATE", "DELETE")]
    found += [
        Guard("audit_payloads", "UPDATE", _APPENDED),
        Guard("audit_payloads", "DELETE", _ERASED, _NOT_ERASED),
        Guard("audit_head", "UPDATE", _GROWS, _SHRINKS),
        Guard("audit_head", "DELETE", _APPENDED),
        Guard("subject_keys", "UPDATE", _DESTROYED, _NOT_DESTROYED),
        Guard("subject_keys", "DELETE", _DESTROYED),
    ]
    if dialect == "sqlite":
        return [*found, *(Guard(table, "INSERT", _APPENDED, when) for table, when in _REPLACED.items())]
    tables = dict.fromkeys(guard.table for guard in found)
    return [*found, *(Guard(table, "TRUNCATE", _APPENDED) for table in tables)]


_REPLACED: Final = {
    "audit_entries": "NEW.seq <> coalesce((SELECT max(seq) FROM audit_entries), -1) + 1",
    "audit_payloads": "EXISTS (SELECT 1 FROM audit_payloads WHERE seq = NEW.seq)",
    "audit_erasures": "EXISTS (SELECT 1 FROM audit_erasures WHERE seq = NEW.seq)",
    "audit_subtrees": "EXISTS (SELECT 1 FROM audit_subtrees WHERE level = NEW.level AND position = NEW.position)",
    "audit_checkpoints": "EXISTS (SELECT 1 FROM audit_checkpoints WHERE id = NEW.id)",
    "audit_anchors": "EXISTS (SELECT 1 FROM audit_anchors WHERE id = NEW.id)",
    "audit_head": "EXISTS (SELECT 1 FROM audit_head WHERE id = NEW.id)",
    "subject_keys": "EXISTS (SELECT 1 FROM subject_keys WHERE subject = NEW.subject)",
}


# pg_trigger.tgtype: 1 for each row, 2 before, then the event (8 DELETE, 16 UPDATE, 32 TRUNCATE).
_TYPES: Final = {"DELETE": 1 + 2 + 8, "UPDATE": 1 + 2 + 16, "TRUNCATE": 2 + 32}


def protect_log(connection: Connection) -> None:
    """Create every trigger, and the table of the search, which no table of the mapper describes. Called once, by the
    migration that makes the tables."""
    create_search(connection)
    for guard in guards(connection.dialect.name):
        for statement in statements(guard, connection.dialect.name):
            connection.exec_driver_sql(statement)


def statements(guard: Guard, dialect: str) -> list[str]:
    """The DDL of one trigger."""
    if dialect == "sqlite":
        when = f" WHEN {guard.when}" if guard.when else ""
        return [
            f"CREATE TRIGGER {guard.name} BEFORE {guard.event} ON {guard.table}{when} "
            f"BEGIN SELECT RAISE(ABORT, '{guard.message}'); END"
        ]
    refusal = f"RAISE EXCEPTION USING MESSAGE = '{guard.message}', ERRCODE = 'insufficient_privilege';"
    if guard.when:  # a trigger's own WHEN may hold no subquery
        refusal = f"IF {guard.when} THEN {refusal} END IF;"
    passed = "NULL" if guard.event == "TRUNCATE" else "OLD" if guard.event == "DELETE" else "NEW"
    each = "STATEMENT" if guard.event == "TRUNCATE" else "ROW"
    return [
        f"CREATE FUNCTION {guard.name}() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN {refusal} RETURN {passed}; END $$",
        f"CREATE TRIGGER {guard.name} BEFORE {guard.event} ON {guard.table} "
        f"FOR EACH {each} EXECUTE FUNCTION {guard.name}()",
    ]


def missing_guard(connection: Connection) -> str | None:
    """The name of a trigger that is not there, is switched off or is not the one that was made; None: all are."""
    dialect = connection.dialect.name
    if dialect == "sqlite":
        rows = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").all()
        wanted = {guard.name: statements(guard, dialect)[0] for guard in guards(dialect)}
    else:
        rows = connection.exec_driver_sql(
            "SELECT t.tgname, concat(t.tgenabled, t.tgtype, c.relname, p.prosrc) FROM pg_trigger t "
            "JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_class c ON c.oid = t.tgrelid "
            "WHERE NOT t.tgisinternal AND pg_table_is_visible(c.oid)"
        ).all()
        wanted = {
            guard.name: f"O{_TYPES[guard.event]}{guard.table}{statements(guard, dialect)[0].split('$$')[1]}"
            for guard in guards(dialect)
        }
    stored = {row[0]: row[1] for row in rows}
    return next((name for name, source in wanted.items() if stored.get(name) != source), None)
