"""Engines: one for reading and one for writing, on SQLite and PostgreSQL.

SQLite: WAL, `BEGIN IMMEDIATE` for every write (a deferred transaction that upgrades fails with
SQLITE_BUSY instead of waiting), and a read engine that cannot write at all.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import QueuePool

from backend.database.whole import require_whole
from backend.settings import settings

BUSY_TIMEOUT_MS = 30_000
# Connections of one engine: what stays open between bursts (opening one costs as much as a decision), and the most.
POOLED, MOST = 20, 30
# A connection that was used a moment ago is taken as it is; one that has lain longer is asked whether it still answers.
FRESH_S: Final = 1.0
# Write transactions of this process at a time. More of them would only wait for each other, for the interpreter and for
# the head of the audit log, and would make each other slower.
WRITERS: Final = 6


@dataclass(frozen=True)
class Database:
    """The two engines of one database, and the turns in which this process writes to it."""

    url: str
    write_engine: Engine
    read_engine: Engine
    turns: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(WRITERS))

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
    return Database(url, _postgresql(url), _reading_postgresql(url))


def _postgresql(url: str, **options: Any) -> Engine:
    engine = create_engine(url, pool_size=POOLED, max_overflow=MOST - POOLED, **options)

    @event.listens_for(engine, "checkin")
    def returned(_connection: Any, entry: Any) -> None:
        entry.info["returned"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def ask(connection: Any, entry: Any, _proxy: Any) -> None:
        # `pool_pre_ping` asks every time: a tenth of what a decision takes.
        since = entry.info.get("returned")
        if since is None or time.monotonic() - since < FRESH_S:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError from error

    return engine


def _reading_postgresql(url: str) -> Engine:
    """Each statement by itself, as in READ COMMITTED they are anyway. A transaction around a few short queries is two
    more journeys to the server, and pages read in many short sessions."""
    engine = _postgresql(url, isolation_level="AUTOCOMMIT")

    @event.listens_for(engine, "connect")
    def read_only(connection: Any, _record: Any) -> None:
        connection.autocommit = True
        connection.execute("SET default_transaction_read_only = on")

    return engine


def _sqlite(url: str, *, write: bool) -> Engine:
    # pysqlite would begin its own deferred transactions: isolation_level None leaves BEGIN to us.
    engine = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=POOLED,
        max_overflow=MOST - POOLED,
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
_opening: Final = threading.Lock()


def database() -> Database:
    """The database of this process, opened on first use from `settings().database`."""
    global _database
    if _database is None:
        with _opening:  # two threads at once would open two, and one would never be closed
            if _database is None:
                require_whole(settings().resolved_home())
                _database = connect(settings().database)
    return _database


def use_database(replacement: Database | None) -> None:
    """Point this process at another database (tests, tools); None closes and forgets the current one."""
    global _database
    if _database is not None and _database is not replacement:
        _database.dispose()
    _database = replacement
