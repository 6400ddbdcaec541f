"""A disk that is full or cannot be written: nothing accepted is lost, and whoever asks is told what to do."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import event, select
from sqlalchemy.exc import OperationalError

from backend.audit import heads
from backend.audit.actions import Action
from backend.audit.log import record
from backend.audit.tables import AuditEntry
from backend.audit.verification import verify
from backend.database.engine import database as database_of
from backend.database.refusals import unavailable
from backend.database.session import reading, writing
from tests.integration.api.conftest import TestClient
from tests.worlds import SYSTEM


def say(text: str = "x") -> None:
    with writing() as session:
        record(session, SYSTEM, Action.SAMPLE_DRAWN, object_kind="log", object_id=1, payload={"said": text})


def entries() -> int:
    with reading() as session:
        return len(session.scalars(select(AuditEntry)).all())


@pytest.fixture
def full(migrated_home: Path) -> Iterator[None]:
    """A database whose disk has no page left."""

    def limit(connection: Any) -> None:
        connection.exec_driver_sql("PRAGMA max_page_count = 1")  # SQLite keeps the pages that there are

    engine = database_of().write_engine
    event.listen(engine, "begin", limit)
    yield
    event.remove(engine, "begin", limit)


def test_what_does_not_fit_is_taken_back_as_a_whole(full: None) -> None:
    with pytest.raises(OperationalError) as refused:
        say("x" * (4 << 20))
    told = unavailable(refused.value)
    assert told.status == 503
    assert told.message == (
        "the disk of the database is full; whoever runs Warrant has to free some space. Nothing was changed"
    )
    assert entries() == 0


@pytest.mark.parametrize(
    ("state", "said", "told"),
    [("53100", "could not extend file", "the disk of the database is full"),
     ("25006", "cannot execute INSERT in a read-only transaction", "the database cannot be written"),
     (None, "attempt to write a readonly database", "the database cannot be written"),
     (None, "connection refused", "the database does not answer; look in a minute")],
)  # fmt: skip
def test_each_refusal_has_its_words(state: str | None, said: str, told: str) -> None:
    class Refused(Exception):
        sqlstate = state

    assert unavailable(OperationalError("INSERT", {}, Refused(said))).message.startswith(told)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_what_was_committed_is_no_failure_where_the_head_cannot_be_written(
    migrated_home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    """The published head stays behind, as after a crash, and catches up."""
    say()

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(heads, "_replace", refuse)
        say()
    assert entries() == 2
    assert f"is behind: it cannot be written ({os.strerror(number)})" in caplog.text
    behind = heads.read_head()
    assert behind is not None and behind.size == 1
    assert verify().ok
    say()
    caught_up = heads.read_head()
    assert caught_up is not None and caught_up.size == 3


def test_the_api_says_so_and_what_to_do(migrated_home: Path) -> None:
    from fastapi import FastAPI

    from backend.api.problems import install

    api = FastAPI()
    install(api)

    @api.get("/")
    def fail() -> None:
        raise OperationalError("INSERT", {}, SimpleNamespace(sqlstate="53100"))  # type: ignore[arg-type]

    answer = TestClient(api, raise_server_exceptions=False).get("/")
    assert answer.status_code == 503
    assert answer.json()["detail"].startswith("the disk of the database is full")
