"""A real gateway process, real artefacts, and the rows that say what serves."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from backend import clock
from backend.database.session import writing
from backend.deployment.service import start_deployment
from backend.deployment.tables import Deployment
from backend.identity.actor import system_actor
from backend.observations.spool import all_logs, read_log
from backend.registry.artefacts import artefact_digest
from backend.registry.tables import Model, Version
from backend.settings import settings

MODEL = "delay"
SPEC: dict[str, Any] = {
    "task": "binary",
    "window": "1d",
    "features": {"carrier": "categorical", "hour": "numeric", "wind": "numeric"},
}
FEATURES: dict[str, Any] = {"carrier": "AA", "hour": 17, "wind": 2.5}
WORKER = system_actor("worker")


def train_artefact(folder: Path, *, seed: int) -> Path:
    """A small boosted-tree pipeline as MLflow stores it. Each seed gives other scores."""
    import warnings

    import numpy as np
    import pandas as pd

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow.sklearn

        from backend.monitoring.columns import parse_spec
        from jobs.demo.training import TRUSTED_TYPES, build_pipeline

        spec = parse_spec(SPEC)
        draw = np.random.default_rng(seed)
        rows = 600
        frame = pd.DataFrame(
            {
                "carrier": draw.choice(["AA", "B6", "UA"], rows),
                "hour": draw.integers(0, 24, rows).astype("float64"),
                "wind": draw.normal(10, 5, rows),
            }
        )
        label = (frame["hour"] / 24 + draw.normal(0, 0.3, rows) > 0.5).astype("int8")
        pipeline = build_pipeline(spec, {"max_iter": 12, "min_samples_leaf": 20, "random_state": seed})
        pipeline.fit(frame, label)
        mlflow.sklearn.save_model(
            pipeline,
            str(folder),
            serialization_format="skops",
            skops_trusted_types=list(TRUSTED_TYPES),
            pip_requirements=["scikit-learn"],
        )
    return folder


def register_model(name: str = MODEL, spec: dict[str, Any] = SPEC) -> None:
    with writing() as session:
        session.add(Model(name=name, title=name, spec=spec, created_at=clock.now()))


def register_version(version: int, folder: Path, *, model: str = MODEL, digest: str | None = None) -> None:
    with writing() as session:
        session.add(
            Version(
                model=model, version=version, run_id=f"run{version}", uri=str(folder),
                artefact_digest=digest or artefact_digest(folder), trained_at=clock.now(), cutoff=0.5, parameters={},
                metrics={}, training={}, reference_path="", reference_digest="", card_path="", card_digest="",
            )
        )  # fmt: skip


def deploy(version: int, *, model: str = MODEL) -> int:
    """Write the deployment record as the rollback job does; gives the deployment's id."""
    with writing() as session:
        opened: Deployment = start_deployment(
            session,
            WORKER,
            model=model,
            environment="production",
            version=version,
            change_id=None,
            reason="test",
        )
        return opened.id


def wait_until(condition: Callable[[], Any], *, timeout_s: float = 20.0, what: str = "it") -> Any:
    """The condition's first true value."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen within {timeout_s} s"
        time.sleep(0.02)
    return value


def spooled_rows() -> list[dict[str, Any]]:
    """Every prediction in the logs of this home's gateways."""
    while True:
        try:
            return [found.row for path in all_logs(settings().spool) for found in read_log(path).rows]
        except FileNotFoundError:  # a log was closed between listing and reading, and has another name now
            continue


def spooled_ids() -> list[str]:
    return [row["prediction_id"] for row in spooled_rows()]


class GatewayProcess:
    """`python -m backend.serving.gateway` on a free port, with the environment of this test."""

    def __init__(self, log: Path, **environment: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = httpx.Client(base_url=self.url, timeout=15.0)
        self._log = log
        self._environment = {**os.environ, "WARRANT_GATEWAY_PORT": str(self.port), **environment}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "backend.serving.gateway"],
                env=self._environment,
                stdout=log,
                stderr=log,
            )
        return self

    def ready(self) -> dict[str, Any] | None:
        assert self.process is not None and self.process.poll() is None, self._log.read_text()
        try:
            answer = self.client.get("/readyz")
        except httpx.TransportError:
            return None
        state: dict[str, Any] = answer.json()
        return state if answer.status_code == 200 and state["models"] else None

    def wait_ready(self) -> dict[str, Any]:
        state: dict[str, Any] = wait_until(self.ready, timeout_s=120, what="readiness")
        return state

    def model(self, name: str = MODEL) -> dict[str, Any]:
        """What /readyz says of one model."""
        state: dict[str, Any] = self.client.get("/readyz").json()["models"].get(name, {})
        return state

    def wait_version(self, version: int, *, timeout_s: float = 20.0) -> None:
        wait_until(
            lambda: self.model().get("version") == version, timeout_s=timeout_s, what=f"version {version}"
        )

    def predict(self, model: str = MODEL, /, **body: Any) -> httpx.Response:
        return self.client.post(f"/v1/models/{model}/predict", json=body or {"features": FEATURES})

    def log(self) -> str:
        return self._log.read_text()

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def terminate(self) -> int:
        """SIGTERM, and the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=20)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()
        if self.process is not None and self.process.poll() is None:
            self.kill()


@dataclass
class Load:
    """Clients that ask without pause and write down every answer; stop them by leaving the block."""

    url: str
    clients: int = 4
    answers: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    lost_connection: threading.Event = field(default_factory=threading.Event)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def _ask(self, number: int) -> None:
        with httpx.Client(base_url=self.url, timeout=15.0) as client:
            count = 0
            while not self._stop.is_set():
                count += 1
                features = {**FEATURES, "hour": count % 24}
                body = {"prediction_id": f"load-{number}-{count}", "features": features}
                sent = time.monotonic()
                try:
                    answer = client.post(f"/v1/models/{MODEL}/predict", json=body)
                except httpx.TransportError as failure:
                    self.refusals.append(repr(failure))
                    self.lost_connection.set()
                    return
                if answer.status_code == 200:
                    self.answers.append((sent, answer.json()))
                else:
                    self.refusals.append(answer.text)

    def __enter__(self) -> Self:
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(self.clients)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
