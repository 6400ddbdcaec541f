"""Sessions, and the only commit in the code base.

    with reading() as session: ...     a ReadSession: cannot write, sees one snapshot
    with writing() as session: ...     a WriteSession: commits when the block ends, rolls back when it raises

Services take a session and flush; they never commit. Work that must follow a commit (publishing the new
audit head outside the database) is registered with `after_commit` and runs once the commit is durable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, cast

from sqlalchemy.orm import Session

from backend.database.engine import Database, database

PATIENCE_S: Final = 1.0


class ReadSession(Session):
    """A session that only reads. Services that take one cannot change anything."""


class WriteSession(ReadSession):
    """A session inside a write transaction. Whoever opened it with `writing()` commits; nobody else does."""


def after_commit(session: WriteSession, action: Callable[[], None]) -> None:
    """Run `action` after this session's commit; it vanishes with a rollback."""
    cast(list[Callable[[], None]], session.info.setdefault("after_commit", [])).append(action)


def hold(session: ReadSession, *rows: object) -> None:
    """Keep rows as long as the session: what is asked for by its key again and again is then read once."""
    session.info.setdefault("held", []).extend(rows)


@contextmanager
def reading(source: Database | None = None) -> Iterator[ReadSession]:
    """A read session: on SQLite one snapshot, on PostgreSQL each statement sees what was committed before it."""
    with ReadSession((source or database()).read_engine, expire_on_commit=False) as session:
        yield session


@contextmanager
def writing(source: Database | None = None) -> Iterator[WriteSession]:
    """One write transaction: commit at the end, roll back on any exception.

    Few threads of a process are in one at a time (`WRITERS`); who has waited for `PATIENCE_S` goes in all the same, so
    a long transaction, or one inside another, stops nobody.
    """
    source = source or database()
    mine = source.turns.acquire(timeout=PATIENCE_S)
    try:
        with WriteSession(source.write_engine, expire_on_commit=False) as session:
            try:
                yield session
                session.commit()
            except BaseException:
                session.rollback()
                raise
    finally:
        if mine:
            source.turns.release()
    for action in cast(list[Callable[[], None]], session.info.pop("after_commit", [])):
        action()
