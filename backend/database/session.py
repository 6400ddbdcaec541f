"""Sessions, and the only commit in the code base.

    with reading() as session: ...     a ReadSession: cannot write, sees one snapshot
    with writing() as session: ...     a WriteSession: commits when the block ends, rolls back when it raises

Services take a session and flush; they never commit. Work that must follow a commit (publishing the new
audit head outside the database) is registered with `after_commit` and runs once the commit is durable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

from sqlalchemy.orm import Session

from backend.database.engine import Database, database


class ReadSession(Session):
    """A session that only reads. Services that take one cannot change anything."""


class WriteSession(ReadSession):
    """A session inside a write transaction. Whoever opened it with `writing()` commits; nobody else does."""


def after_commit(session: WriteSession, action: Callable[[], None]) -> None:
    """Run `action` after this session's commit; it vanishes with a rollback."""
    cast(list[Callable[[], None]], session.info.setdefault("after_commit", [])).append(action)


@contextmanager
def reading(source: Database | None = None) -> Iterator[ReadSession]:
    """A read session on one snapshot."""
    with ReadSession((source or database()).read_engine, expire_on_commit=False) as session:
        yield session


@contextmanager
def writing(source: Database | None = None) -> Iterator[WriteSession]:
    """One write transaction: commit at the end, roll back on any exception."""
    with WriteSession((source or database()).write_engine, expire_on_commit=False) as session:
        try:
            yield session
            session.commit()
        except BaseException:
            session.rollback()
            raise
        for action in cast(list[Callable[[], None]], session.info.pop("after_commit", [])):
            action()
