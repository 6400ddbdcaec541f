"""kill -9 of the worker at every moment of a retraining: one version, one promotion, and no step done twice."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from backend.audit.actions import Action
from backend.audit.tables import AuditEntry
from backend.audit.verification import verify
from backend.database.session import reading
from backend.governance.tables import Change
from backend.queue import RETRAIN
from backend.registry.tables import Version
from jobs.kill_points import MOMENTS
from jobs.runtime import load_workflow
from tests.chaos.processes import WorkerProcess
from tests.integration.retraining.conftest import ask, begin, run_of, step_of, trained
from tests.worlds import World, register_in_mlflow

__all__ = ["trained"]
pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(900)]

# Before a step is as after the checkpoint of the one before it.
POINTS = [
    point
    for point in load_workflow(RETRAIN).kill_points()
    if ":fail:" not in point and (not point.endswith(":before") or ":begin:" in point or ":finish:" in point)
]


@pytest.fixture
def workers(migrated_home: Path) -> Iterator[list[WorkerProcess]]:
    started: list[WorkerProcess] = []
    yield started
    for worker in started:
        worker.kill()


def test_workers_killed_at_every_point_register_one_version_and_ask_once(
    workers: list[WorkerProcess], trained: World
) -> None:
    register_in_mlflow("toy", 2)
    run = begin(ask(trained.engineer))
    for point in (*sorted(POINTS, key=_order), ""):
        chaos = {"WARRANT_CHAOS": "1", "WARRANT_KILL_AT": point} if point else {}
        worker = WorkerProcess("trainer", queues="training", environment={**os.environ, **chaos})
        workers.append(worker)
        if point:
            assert worker.wait(300) == -signal.SIGKILL, (point, worker.output()[-3000:])
    deadline = time.monotonic() + 300
    while run_of(run.id).state == "running" and time.monotonic() < deadline:
        time.sleep(0.1)
    done = run_of(run.id)
    assert (done.state, done.version) == ("succeeded", 3), (done.outcome, workers[-1].output()[-3000:])
    with reading() as session:
        versions = session.scalars(select(Version.version).where(Version.model == "toy")).all()
        asked = session.scalars(select(Change.id).where(Change.kind == "promote")).all()
        entries = session.scalar(
            select(func.count()).where(
                AuditEntry.action == Action.RETRAINING_FINISHED.value, AuditEntry.object_id == run.id
            )
        )
    assert (sorted(versions), asked, entries) == ([1, 2, 3], [done.promote_change_id], 1)
    assert all(
        step_of(run.id, name).state == "finished"
        for name in load_workflow(RETRAIN).steps
        if name not in ("begin_run", "end_run")
    )
    assert _versions_in_mlflow() == 3
    assert verify().ok


def _versions_in_mlflow() -> int:
    from backend.registry.mlflow_adapter import mlflow_client

    return len(mlflow_client().search_model_versions("name = 'toy'"))


def _order(point: str) -> int:
    """As a run passes them."""
    steps = ["begin", *load_workflow(RETRAIN).steps, "finish"]
    name, moment = point.split(":")[1:]
    return steps.index(name) * 3 + MOMENTS.index(moment)
