"""Many rows at once in the caller's transaction: `executemany` on SQLite, `COPY` on PostgreSQL.

Types are bound as the tables' own types bind them; JSON comes as text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Final

from sqlalchemy import func, select, text

from backend.database.session import WriteSession
from backend.database.types import UtcDateTime

AT_ONCE: Final = 20_000
MEASURED: Final = ("windows", "window_profiles", "metric_points", "reference_profiles")


def insert_rows(
    session: WriteSession, table: Any, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]
) -> int:
    """Insert tuples of these columns; gives how many."""
    session.flush()
    connection = session.connection()
    names = ", ".join(f'"{name}"' for name in columns)
    cursor = connection.connection.cursor()
    times = [place for place, name in enumerate(columns) if isinstance(table.columns[name].type, UtcDateTime)]
    made = 0
    try:
        if connection.dialect.name == "postgresql":
            with cursor.copy(f'COPY "{table.name}" ({names}) FROM STDIN') as copy:
                for row in rows:
                    copy.write_row(row)
                    made += 1
            return made
        values = ", ".join("?" * len(columns))
        # names of our own tables
        statement = f'INSERT INTO "{table.name}" ({names}) VALUES ({values})'  # noqa: S608
        bound = _bound(rows, times, _as_sqlite())
        while batch := list(islice(bound, AT_ONCE)):
            cursor.executemany(statement, batch)
            made += len(batch)
        return made
    finally:
        cursor.close()


def _bound(
    rows: Iterable[tuple[Any, ...]], times: Sequence[int], write: Callable[[Any], Any]
) -> Iterator[list[Any]]:
    for row in rows:
        values = list(row)
        for place in times:
            values[place] = write(values[place])
        yield values


def _as_sqlite() -> Callable[[Any], Any]:
    """A time as SQLAlchemy stores it there; each is written once."""
    known: dict[datetime, str] = {}

    def write(moment: datetime | None) -> str | None:
        if moment is None:
            return None
        if moment not in known:
            known[moment] = f"{moment:%Y-%m-%d %H:%M:%S.%f}"
        return known[moment]

    return write


def new_ids(session: WriteSession, table: Any, count: int) -> list[int]:
    """Ids that no row of the table has; the caller's transaction keeps them."""
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        following = func.nextval(func.pg_get_serial_sequence(table.name, "id"))
        found = connection.execute(select(following).select_from(func.generate_series(1, count)))
        return [int(one) for one in found.scalars()]
    last = connection.execute(select(func.max(table.columns.id))).scalar() or 0
    return list(range(last + 1, last + count + 1))


def analyze(session: WriteSession) -> None:
    """Tell the planner what the tables hold now."""
    for name in MEASURED:
        session.connection().execute(text(f'ANALYZE "{name}"'))
