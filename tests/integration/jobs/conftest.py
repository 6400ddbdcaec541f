"""Worker processes for tests: started for real, stopped at the end whatever happens."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.database.session import reading, writing
from backend.queue import JobRun, request_job
from backend.settings import settings
from jobs.runtime import Run

ROOT = Path(__file__).parents[3]
Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start_worker(database: str) -> Iterator[Start]:
    """`start_worker("a", WARRANT_KILL_AT=...)` gives a running process; its output is in `<home>/a.log`."""
    started: list[subprocess.Popen[bytes]] = []

    def start(name: str, *, queues: str = "metrics", **environment: str) -> subprocess.Popen[bytes]:
        log = (settings().resolved_home() / f"{name}.log").open("ab")
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.jobs.probe_worker", "--name", name, "--queues", queues],
            cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **environment},
        )  # fmt: skip
        log.close()
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()


@pytest.fixture
def request_probe(database: str, tmp_path: Path) -> Callable[..., str]:
    """Ask for a probe run; gives its id. Marks go to `tmp_path`."""
    from tests.integration.jobs.probe_worker import PROBE

    def ask(*, queue: str | None = None, **arguments: Any) -> str:
        with writing() as session:
            run = request_job(
                session, PROBE, subject="test", arguments={"folder": str(tmp_path), **arguments}, queue=queue
            )
            return run.id

    return ask


class OwnedRun(Run):
    """A run whose ownership is not in question; test_workers.py and the chaos tests ask about that."""

    def require_owned(self, session: object = None) -> None:
        return


def run_of(run_id: str) -> JobRun:
    with reading() as session:
        return session.get_one(JobRun, run_id)


def wait_for(what: Callable[[], Any], within_s: float = 40.0) -> Any:
    """The first true answer of `what`; fails the test after `within_s`."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        answer = what()
        if answer:
            return answer
        time.sleep(0.1)
    logs = "\n".join(
        f"--- {path.name}\n{path.read_text()}" for path in settings().resolved_home().glob("*.log")
    )
    pytest.fail(f"nothing happened within {within_s:g} s\n{logs}")


def marks(folder: Path) -> list[list[str]]:
    path = folder / "marks"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def registered_version(database: str, tmp_path: Path) -> Callable[..., None]:
    """`registered_version(pipeline, reference, features)` makes model `flights` with version 1, files and all."""
    from backend import clock
    from backend.identity.actor import system_actor
    from backend.registry.artefacts import artefact_digest
    from backend.registry.service import NewVersion, register_model, register_version
    from jobs.demo.training import dump_pipeline

    def make(pipeline: Any, reference: Any, features: dict[str, str], *, window: str = "1d") -> None:
        folder = tmp_path / "artefact"
        folder.mkdir()
        dump_pipeline(pipeline, folder / "model.skops")
        reference.to_parquet(tmp_path / "reference.parquet")
        (tmp_path / "card.md").write_text("# Card\n")
        actor = system_actor("test")
        with writing() as session:
            register_model(
                session, actor, name="flights", title="Flights", description="", tier="low",
                spec={"task": "binary", "features": features, "window": window},
            )  # fmt: skip
            register_version(
                session, actor,
                new=NewVersion(
                    model="flights", version=1, run_id="r", uri=str(folder),
                    artefact_digest=artefact_digest(folder), trained_by=None, trained_at=clock.now(), cutoff=0.5,
                    parameters={}, metrics={}, training={},
                    reference_path=str(tmp_path / "reference.parquet"), card_path=str(tmp_path / "card.md"),
                ),
            )  # fmt: skip

    return make
