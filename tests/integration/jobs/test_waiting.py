"""Which errors of a database are waited out, and which are believed."""

from __future__ import annotations

from pathlib import Path

import pytest
from dbos import _sys_db
from sqlalchemy.exc import OperationalError

from backend.database.engine import connect
from jobs import runtime
from jobs.runtime import database_is_away, persistently


@pytest.mark.parametrize(
    "address",
    ["postgresql://warrant@/warrant?host=/no/such/folder", "postgresql://warrant@127.0.0.1:1/warrant"],
)
def test_a_server_that_cannot_be_reached_is_away_also_for_the_engine(address: str) -> None:
    source = connect(address)
    with pytest.raises(OperationalError) as caught:
        source.write_engine.connect()
    assert database_is_away(caught.value)
    assert _sys_db.retriable_postgres_exception(caught.value)  # type: ignore[attr-defined]


def test_a_statement_that_was_refused_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "RETRY_PAUSES_S", (0.0, 0.0))
    source = connect(f"sqlite:///{tmp_path / 'empty.db'}")
    tries = []

    def ask() -> None:
        tries.append(1)
        with source.read_engine.connect() as connection:
            connection.exec_driver_sql("SELECT * FROM no_such_table")

    with pytest.raises(OperationalError, match="no such table"):
        persistently(ask)
    assert len(tries) == 3
    source.dispose()
