"""Alembic's entry point; started by backend.database.upgrade (and by `alembic revision` for developers)."""

from __future__ import annotations

from alembic import context

from backend.database.tables import Base

OURS = set(Base.metadata.tables)


def include(_object: object, name: str | None, kind: str, reflected: bool, _compare_to: object) -> bool:
    """Leave the workflow tables, which live in the same database, alone."""
    return not (kind == "table" and reflected and name not in OURS)


engine = context.config.attributes["engine"]
with engine.begin() as connection:
    context.configure(
        connection=connection, target_metadata=Base.metadata, include_object=include, compare_type=True,
        render_as_batch=False, transaction_per_migration=False,
    )  # fmt: skip
    with context.begin_transaction():
        context.run_migrations()
