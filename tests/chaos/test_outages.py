"""The database goes away, or refuses, in the middle of a change: the change goes on afterwards, or is undone."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from backend.database.engine import connect
from backend.database.session import writing
from backend.database.upgrade import upgrade
from backend.governance.asking import cancel_change
from tests.chaos.stage import Stage, stage
from tests.postgresql import postgresql_server

pytestmark = [pytest.mark.chaos, pytest.mark.slow]


@pytest.mark.parametrize("shared_stage", ["sqlite"], indirect=True)
def test_a_database_that_is_locked_for_seconds_only_delays_the_change(on_stage: Stage) -> None:
    change_id = on_stage.ask_and_approve(on_stage.other_good())
    on_stage.start_worker("patient", WARRANT_GATEWAY_WAIT_S="60")
    on_stage.wait_for(lambda: on_stage.deployments_of(change_id), 60, "the deployment record")
    holder = sqlite3.connect(on_stage.database_file, timeout=30, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    time.sleep(7)
    assert on_stage.change(change_id).state == "executing"
    holder.execute("ROLLBACK")
    holder.close()
    on_stage.assert_executed_once(change_id)


REFUSALS = {
    "sqlite": (
        "CREATE TRIGGER refuse BEFORE UPDATE ON changes WHEN NEW.state = '{state}' "
        "BEGIN SELECT RAISE(ABORT, 'the disk is on fire'); END",
        "DROP TRIGGER IF EXISTS refuse",
    ),
    "postgresql": (
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF NEW.state = '{state}' THEN RAISE 'the disk is on fire'; END IF; RETURN NEW; END $$; "
        "CREATE TRIGGER refuse BEFORE UPDATE ON changes FOR EACH ROW EXECUTE FUNCTION refuse()",
        "DROP FUNCTION IF EXISTS refuse CASCADE",
    ),
}


@pytest.fixture
def refuse(on_stage: Stage) -> Iterator[Any]:
    """`refuse("executed")`: from now on the database refuses that a change gets this state."""
    statement, undo = REFUSALS[on_stage.kind]

    def begin(state: str) -> None:
        with writing() as session:
            session.connection().exec_driver_sql(statement.format(state=state))

    yield begin
    with writing() as session:
        session.execute(text(undo))


@pytest.mark.parametrize(
    ("state", "moved"), [("executing", 0), ("executed", 2)], ids=["at its first step", "at its last step"]
)
def test_a_change_that_cannot_be_recorded_is_undone_and_does_not_block_the_next(
    on_stage: Stage, refuse: Any, state: str, moved: int
) -> None:
    before = on_stage.serving()
    change_id = on_stage.ask_and_approve(on_stage.other_good())
    refuse(state)
    on_stage.start_worker("refused")
    change = on_stage.wait_settled(change_id)
    assert change.state == "failed"
    assert "the disk is on fire" in change.outcome
    assert len(on_stage.deployments_of(change_id)) == moved
    assert on_stage.serving() == before
    if moved:
        on_stage.assert_restored_once(change_id, why="the disk is on fire")
    next_id, _ = on_stage.request(on_stage.other_good())
    with writing() as session:
        cancel_change(session, on_stage.world.on_call, next_id, reason="it was asked for to see that one can")


@pytest.fixture
def frail(tmp_path: Path) -> Iterator[tuple[Stage, Any]]:
    """A stage on a PostgreSQL server of its own, which may be stopped."""
    with postgresql_server() as server:
        database = connect(server.get_uri())
        upgrade(database)
        database.dispose()
        with stage("postgresql", server.get_uri(), None, tmp_path) as made:
            yield made, server


def test_postgresql_that_restarts_only_delays_the_change(frail: tuple[Stage, Any]) -> None:
    """Once for longer than any single attempt, while the worker waits; then shortly, at other moments."""
    on_stage, server = frail
    on_stage.start_worker("patient", WARRANT_GATEWAY_WAIT_S="90")
    gateway = on_stage.gateway.process
    assert gateway is not None
    change_id = on_stage.ask_and_approve(on_stage.other_good())
    on_stage.put_to_sleep(gateway.pid)
    on_stage.wait_step(change_id, "waiting until the gateways serve it")
    server.stop()
    time.sleep(12)
    server.ensure_postgres_running()
    os.kill(gateway.pid, signal.SIGCONT)
    on_stage.assert_executed_once(change_id)
    for pause_s in (0.0, 0.3, 0.6, 1.0):
        change_id = on_stage.ask_and_approve(on_stage.other_good())
        time.sleep(pause_s)
        server.stop()
        time.sleep(1)
        server.ensure_postgres_running()
        on_stage.assert_executed_once(change_id)
