"""Bringing a database up to date: our tables by Alembic, then the workflow tables by DBOS."""

from __future__ import annotations

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from backend.database.engine import Database, database, workflow_schema

MIGRATIONS = Path(__file__).parent / "migrations"


def alembic_config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


def head_revision() -> str:
    """The revision that this release's tables have."""
    return str(ScriptDirectory.from_config(alembic_config("sqlite://")).get_current_head())


def upgrade(target: Database | None = None) -> None:
    """Run every missing migration, forward only. Doing it again does nothing."""
    target = target or database()
    config = alembic_config(target.url)
    config.attributes["engine"] = target.write_engine
    command.upgrade(config, "head")
    _upgrade_workflow_tables(target)


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
