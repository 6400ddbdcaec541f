"""Engines: one for reading and one for writing, on SQLite and PostgreSQL.

SQLite: WAL, `BEGIN IMMEDIATE` for every write (a deferred transaction that upgrades fails with
SQLITE_BUSY instead of waiting), and a read engine that cannot write at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.pool import QueuePool

from backend.settings import settings

BUSY_TIMEOUT_MS = 30_000


@dataclass(frozen=True)
class Database:
    """The two engines of one database."""

    url: str
    write_engine: Engine
    read_engine: Engine

    @property
    def dialect(self) -> str:
        return self.write_engine.dialect.name

    def dispose(self) -> None:
        self.write_engine.dispose()
        self.read_engine.dispose()


def connect(url: str) -> Database:
    """Open both engines on `url`. Nothing is created or migrated here."""
    if make_url(url).get_backend_name() == "sqlite":
        return Database(url, _sqlite(url, write=True), _sqlite(url, write=False))
    url = url.replace("postgresql://", "postgresql+psycopg://", 1)
    write = create_engine(url, pool_size=10, max_overflow=20, pool_pre_ping=True)
    read = create_engine(
        url,
        pool_size=10,
        max_overflow=20,
        pool_pre_ping=True,
        execution_options={"postgresql_readonly": True},
    )
    return Database(url, write, read)


def _sqlite(url: str, *, write: bool) -> Engine:
    # pysqlite would begin its own deferred transactions: isolation_level None leaves BEGIN to us.
    engine = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=10,
        max_overflow=20,
        connect_args={"check_same_thread": False, "isolation_level": None, "timeout": BUSY_TIMEOUT_MS / 1000},
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        cursor.execute("PRAGMA foreign_keys=ON")
        if write:
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA synchronous=FULL")
        else:
            cursor.execute("PRAGMA query_only=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def workflow_schema(target: Database) -> str | None:
    """Where the workflow tables live in the same database: a schema of their own where there are schemas."""
    return None if target.dialect == "sqlite" else "dbos"


_database: Database | None = None


def database() -> Database:
    """The database of this process, opened on first use from `settings().database`."""
    global _database
    if _database is None:
        _database = connect(settings().database)
    return _database


def use_database(replacement: Database | None) -> None:
    """Point this process at another database (tests, tools); None closes and forgets the current one."""
    global _database
    if _database is not None and _database is not replacement:
        _database.dispose()
    _database = replacement
