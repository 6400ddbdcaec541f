"""kill -9 of the worker at every moment of making a pack: what is offered is whole, is one, and verifies."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.audit.actions import Action
from backend.audit.reading import search_entries
from backend.audit.verification import verify
from backend.database.session import reading, writing
from backend.packs.service import NotMadeYet, folder, get_pack, pack_views, take_pack
from backend.queue import MAKE_PACK
from jobs.runtime import load_workflow
from tests.chaos.processes import WorkerProcess
from tests.integration.packs.conftest import ask_pack, fill, verify_alone
from tests.worlds import make_world

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

POINTS = [point for point in load_workflow(MAKE_PACK).kill_points() if ":fail:" not in point]


@pytest.fixture
def workers(database: str) -> Iterator[list[WorkerProcess]]:
    started: list[WorkerProcess] = []
    yield started
    for worker in started:
        worker.kill()


def test_workers_killed_at_every_point_make_one_whole_pack(
    workers: list[WorkerProcess], tmp_path: Path
) -> None:
    house = fill(make_world(tmp_path / "files"))
    pack_id = ask_pack(house.world.lead, kind="model", model="toy")
    (folder() / f".{pack_id}.zip.draft").write_bytes(b"PK half of it")
    for point in sorted(POINTS, key=_order):
        worker = WorkerProcess(
            "packer",
            queues="metrics",
            environment={**os.environ, "WARRANT_CHAOS": "1", "WARRANT_KILL_AT": point},
        )
        workers.append(worker)
        assert worker.wait(90) == -signal.SIGKILL, (point, worker.output()[-3000:])
        if "finish" not in point and not point.startswith("make_pack:record_pack"):
            with writing() as session, pytest.raises(NotMadeYet):
                take_pack(session, house.world.lead, pack_id)
    workers.append(WorkerProcess("packer", queues="metrics", environment=dict(os.environ)))
    deadline = time.monotonic() + 90
    while state(house.world.lead, pack_id) != "made" and time.monotonic() < deadline:
        time.sleep(0.2)
    with reading() as session:
        made = search_entries(session, house.world.compliance, object_kind="pack", object_id=pack_id)
    assert [one.action for one in made].count(Action.PACK_MADE) == 1
    with writing() as session:
        _, path = take_pack(session, house.world.lead, pack_id)
    code, said = verify_alone(path.read_bytes(), tmp_path / "empty")
    assert code == 0, said
    assert not list(folder().glob(".*.draft"))
    assert verify().ok


def _order(point: str) -> int:
    """As a run passes them."""
    steps = ["begin", *load_workflow(MAKE_PACK).steps, "finish"]
    name, moment = point.split(":")[1:]
    return steps.index(name) * 3 + ["before", "after", "commit"].index(moment)


def state(who: object, pack_id: str) -> str:
    with reading() as session:
        return str(pack_views(session, [get_pack(session, who, pack_id)])[0]["state"])  # type: ignore[arg-type]
