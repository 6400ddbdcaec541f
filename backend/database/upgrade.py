"""Bringing a database up to date: our tables by Alembic, then the workflow tables by DBOS."""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text

from backend.database.engine import Database, database, workflow_schema
from backend.errors import Conflict

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK: Final = 0x57_41_52_52_41_4E_54  # PostgreSQL's advisory lock of whoever migrates: "WARRANT"


class SchemaTooNew(Conflict):
    """The database was brought up to date by a release that this one does not know."""

    title = "Database of a newer release"


def alembic_config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


def head_revision() -> str:
    """The revision that this release's tables have."""
    return str(ScriptDirectory.from_config(alembic_config("sqlite://")).get_current_head())


def present_revision(target: Database) -> str | None:
    """The revision that a database's tables have; None where there are none."""
    with target.read_engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def known_revisions() -> frozenset[str]:
    """Every revision that this release can begin an upgrade from, and its own."""
    scripts = ScriptDirectory.from_config(alembic_config("sqlite://"))
    return frozenset(one.revision for one in scripts.walk_revisions())


def upgrade(target: Database | None = None) -> None:
    """Run every missing migration, forward only, one process at a time. Doing it again does nothing.

    Raises `SchemaTooNew` for a database of a later release, which is left as it is.
    """
    target = target or database()
    with _alone(target):
        _require_known(present_revision(target))
        config = alembic_config(target.url)
        config.attributes["engine"] = target.write_engine
        command.upgrade(config, "head")
        _upgrade_workflow_tables(target)


def _require_known(revision: str | None) -> None:
    if revision is not None and revision not in known_revisions():
        raise SchemaTooNew(
            f"the database has revision {revision}, which this release does not know (its own is {head_revision()}): "
            "install the release that made it, or restore the backup from before its upgrade"
        )


@contextmanager
def _alone(target: Database) -> Iterator[None]:
    """Wait until no other process migrates this database, and keep others waiting meanwhile. The lock ends with the
    process that holds it."""
    if target.dialect == "postgresql":
        # A connection of its own: the lock is the session's, whatever the migrations do with their transactions.
        engine = create_engine(target.write_engine.url, isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as connection:
                connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": LOCK})
                yield
        finally:
            engine.dispose()
        return
    file = target.write_engine.url.database
    if not file:  # in memory, and so this process's own
        yield
        return
    # Beside the database: SQLite loses its own locks where another handle of the database's file is closed.
    with Path(f"{file}.upgrade.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _upgrade_workflow_tables(target: Database) -> None:
    from dbos._sys_db import SystemDatabase

    from backend.queue import workflow_serializer

    logging.getLogger("dbos").setLevel(logging.WARNING)
    # An engine of its own: DBOS begins its migration transaction itself, and ours has begun one already.
    engine = create_engine(target.write_engine.url)
    system = SystemDatabase.create(
        system_database_url=target.url,
        engine_kwargs={},
        engine=engine,
        schema=workflow_schema(target),
        serializer=workflow_serializer(),
        executor_id=None,
    )
    try:
        system.run_migrations()
    finally:
        engine.dispose()
