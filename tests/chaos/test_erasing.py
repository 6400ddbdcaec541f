"""kill -9 of the worker at every moment of an erasure: every row goes, and the record says how many there were."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from backend.audit.reading import search_entries
from backend.audit.verification import verify
from backend.data_rights.requests import get_request, request_rows
from backend.database.session import reading, writing
from backend.observations.erasing import FAULT_POINTS
from backend.settings import settings
from jobs.kill_points import kill_points
from tests.chaos.processes import WorkerProcess
from tests.integration.data_rights.conftest import (
    SUBJECT_SPEC,
    approve,
    change_of,
    describe,
    ids_of,
    move_spool,
    send,
)
from tests.worlds import make_world

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

POINTS = [
    *kill_points("execute_change", ["check_approval"]),
    "execute_change:carry_out:before",
    *(f"execute_change:erase_rows:{point}" for point in FAULT_POINTS),
    "execute_change:carry_out:after",
    "execute_change:carry_out:commit",
    *kill_points("execute_change", ["apply_record"]),
    "execute_change:finish:before",
]


def holds(path: Path, *ids: str) -> bool:
    return bool(set(ids) & set(pq.read_table(path).column("prediction_id").to_pylist()))


@pytest.fixture
def workers(database: str) -> Iterator[list[WorkerProcess]]:
    started: list[WorkerProcess] = []
    yield started
    for worker in started:
        worker.kill()


def test_workers_killed_at_every_point_erase_once_and_count_right(
    workers: list[WorkerProcess], tmp_path: Path
) -> None:
    world = make_world(tmp_path / "files")
    describe(SUBJECT_SPEC)
    send({"p1": "Ada L.", "p2": "Bob"})
    move_spool()
    send({"p3": "Ada L."})
    with writing() as session:
        request = request_rows(
            session, world.compliance, kind="erase", model="toy", value="Ada L.", reason="she wrote"
        )
    approve(world, request)
    for point in (*POINTS, ""):
        chaos = {"WARRANT_CHAOS": "1", "WARRANT_KILL_AT": point} if point else {}
        worker = WorkerProcess("eraser", queues="changes", environment={**os.environ, **chaos})
        workers.append(worker)
        if point:
            assert worker.wait(60) == -signal.SIGKILL, (point, worker.output()[-3000:])
    deadline = time.monotonic() + 60
    while change_of(request.change_id or 0).state == "executing" and time.monotonic() < deadline:
        time.sleep(0.1)
    change = change_of(request.change_id or 0)
    assert (change.state, change.finished_at is not None) == ("executed", True), change.outcome
    assert ids_of(ids=["p1", "p2", "p3"]) == ["p2"]
    kept = [path for path in settings().observations.rglob("day=*/*.parquet") if holds(path, "p1", "p3")]
    assert kept == []
    with reading() as session:
        done = get_request(session, world.compliance, request.id)
        (entry,) = search_entries(session, world.compliance, action="data:rows:erase")
    assert done.counts == {
        "predictions": 1, "labels": 1, "predictions in the spool": 1, "labels in the spool": 1,
    }  # fmt: skip
    assert entry.payload is not None
    assert entry.payload["rows"] == done.counts
    assert verify().ok
