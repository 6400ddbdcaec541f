"""Put what a SQLite database holds into the empty PostgreSQL of the environment: `python -m benchmarks.to_server FILE`.

Loading the demo takes minutes; copying one that was loaded takes seconds. Rows go over as they are, those of the
workflow engine too, with triggers and references off meanwhile: the audit log is then the one that was copied, and
`warrant audit verify` agrees.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, MetaData, Table, create_engine, insert, inspect, select, text

BATCH: Final = 2000
REVISION: Final = "alembic_version"


def copy_rows(source: Path) -> int:
    """How many rows were copied."""
    from backend.database import tables
    from backend.database.engine import database
    from backend.database.upgrade import upgrade

    upgrade()
    copied = 0
    stored = create_engine(f"sqlite:///{source}")
    with stored.connect() as reading, database().write_engine.begin() as writing:
        writing.execute(text("SET session_replication_role = replica"))
        there = inspect(reading).get_table_names()
        for table in tables.Base.metadata.sorted_tables:
            copied += _copy(reading, writing, table, table)
        ours = set(tables.Base.metadata.tables)
        for name in set(inspect(writing).get_table_names(schema="dbos")) & set(there) - ours:
            old = Table(name, MetaData(), autoload_with=reading)
            new = Table(name, MetaData(), schema="dbos", autoload_with=writing, resolve_fks=False)
            copied += _copy(reading, writing, old, new)
    stored.dispose()
    return copied


def _copy(reading: Connection, writing: Connection, old: Table, new: Table) -> int:
    """All rows of one table, in place of those that a migration has put there."""
    if new.name == REVISION:
        return 0
    writing.execute(new.delete())
    columns = [
        column
        for column in old.columns
        if column.name in new.columns and not new.columns[column.name].computed
    ]
    copied = 0
    for rows in reading.execute(select(*columns)).mappings().partitions(BATCH):
        _insert(writing, new, [dict(row) for row in rows])
        copied += len(rows)
    for column in new.primary_key.columns:
        sequence = writing.scalar(
            text("SELECT pg_get_serial_sequence(:table, :column)"), {"table": str(new), "column": column.name}
        )
        if sequence and copied:
            highest = select(text(f'max("{column.name}")')).select_from(new)
            writing.execute(
                text("SELECT setval(CAST(:name AS regclass), :at)"),
                {"name": sequence, "at": writing.scalar(highest)},
            )
    return copied


def _insert(writing: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    writing.execute(insert(table), rows)


if __name__ == "__main__":
    print(copy_rows(Path(sys.argv[1])))
