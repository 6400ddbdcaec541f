"""The database as of one moment, as files: SQLite by its online backup, PostgreSQL by `postgresql_copy`.

Nobody is held up by it: writers of SQLite go on beside a reader, and PostgreSQL reads one snapshot.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from sqlalchemy import make_url

from backend.backups.errors import BackupFailed
from backend.database.engine import Database, database

SQLITE_NAME: Final = "warrant.db"
VERSIONS_QUERY: Final = "SELECT model, version, uri, artefact_digest FROM versions ORDER BY model, version"


@dataclass(frozen=True)
class DatabaseFacts:
    """What the database says of itself at that moment. `versions` are the rows of `VERSIONS_QUERY`."""

    revision: str
    workflow_revision: str
    log_size: int
    log_root: str
    versions: list[tuple[str, int, str, str]] = field(default_factory=list)


class Snapshot(Protocol):
    """A database that stands still."""

    facts: DatabaseFacts

    def write(self, folder: Path) -> list[Path]:
        """Write it into a folder; gives the files."""
        ...


class SqliteSnapshot:
    """A copy made by SQLite itself, and looked at page by page before it counts."""

    def __init__(self, copy: Path) -> None:
        self._copy = copy
        self.facts = sqlite_facts(copy)

    def write(self, folder: Path) -> list[Path]:
        return [self._copy]


@contextmanager
def snapshot_of(folder: Path, source: Database | None = None) -> Iterator[Snapshot]:
    """The database as it is now; `folder` is where it may put its files."""
    source = source or database()
    if source.dialect != "sqlite":
        from backend.backups.postgresql_copy import PostgresqlSnapshot, reading_snapshot

        with reading_snapshot(source.url) as connection:
            yield PostgresqlSnapshot(connection)
        return
    path = make_url(source.url).database
    if not path or path == ":memory:":
        raise BackupFailed("a database in memory cannot be saved")
    yield SqliteSnapshot(copy_sqlite(Path(path), folder / SQLITE_NAME))


def copy_sqlite(source: Path, target: Path) -> Path:
    """A consistent copy of a SQLite file that is in use. Raises `BackupFailed` where it is damaged."""
    try:
        with (
            closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as stored,
            closing(sqlite3.connect(target)) as copy,
        ):
            stored.backup(copy)
            found = copy.execute("PRAGMA integrity_check").fetchone()[0]
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, whatever the source's journal is
    except sqlite3.Error as error:
        raise BackupFailed(f"{source} cannot be copied: {error}") from error
    if found != "ok":
        raise BackupFailed(f"{source} is damaged: {found}; `warrant doctor` and the runbook say what to do")
    return target


def sqlite_facts(path: Path) -> DatabaseFacts:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as copy:
        return facts_by(lambda query: copy.execute(query).fetchall(), workflow_schema="")


def facts_by(ask: Any, *, workflow_schema: str) -> DatabaseFacts:
    """What `ask` (a query to its rows) tells. Raises what it raises for a database without our tables."""
    head = ask("SELECT size, root FROM audit_head WHERE id = 1") or [(0, "")]
    workflow = ask(f"SELECT version FROM {workflow_schema}dbos_migrations")  # noqa: S608 - one of two words
    return DatabaseFacts(
        revision=str(ask("SELECT version_num FROM alembic_version")[0][0]),
        workflow_revision=str(workflow[0][0] if workflow else ""),
        log_size=int(head[0][0]),
        log_root=str(head[0][1]),
        versions=[(str(one[0]), int(one[1]), str(one[2]), str(one[3])) for one in ask(VERSIONS_QUERY)],
    )
