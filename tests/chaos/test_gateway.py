"""kill -9 of the gateway and of the writer while clients ask: each answered prediction is in the store, once."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Self

import httpx
import pytest

from backend.observations import reader
from backend.observations.spool import pending_bytes
from backend.settings import settings
from tests.chaos.stage import FEATURES, MODEL, Stage

pytestmark = [pytest.mark.chaos, pytest.mark.slow]


@dataclass
class Clients:
    """They ask without pause, also while nobody answers, and send again what was not answered, as clients do."""

    url: str
    prefix: str
    count: int = 6
    answered: dict[str, dict[str, Any]] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def _ask(self, client: int) -> None:
        with httpx.Client(base_url=self.url, timeout=10.0) as session:
            for number in itertools.count():
                prediction_id = f"{self.prefix}-{client}-{number}"
                body = {"prediction_id": prediction_id, "features": {**FEATURES, "distance": 100.0 + number}}
                while not self._stop.is_set():
                    try:
                        answer = session.post(f"/v1/models/{MODEL}/predict", json=body)
                    except httpx.TransportError:
                        self.lost.append(prediction_id)
                        time.sleep(0.05)
                        continue
                    if answer.status_code == 200:
                        self.answered[prediction_id] = answer.json()
                        break
                    time.sleep(0.05)
                if self._stop.is_set():
                    return

    def __enter__(self) -> Self:
        self._threads = [threading.Thread(target=self._ask, args=(client,)) for client in range(self.count)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def stored(prefix: str) -> list[dict[str, Any]]:
    rows = reader.read(settings().observations, MODEL).to_pylist()
    return [row for row in rows if row["prediction_id"].startswith(prefix)]


def test_every_answer_is_stored_once_whatever_is_killed(on_stage: Stage) -> None:
    gateway, writer_environment = on_stage.gateway, {"WARRANT_SPOOL_COMMIT_S": "0.2"}
    writer = on_stage.start_worker("writer", queues="writer", **writer_environment)
    with Clients(gateway.url, f"{on_stage.kind}") as clients:
        for killed in (1, 2):
            so_far = len(clients.answered)
            on_stage.wait_for(lambda so_far=so_far: len(clients.answered) > so_far + 150, 60, "load")
            on_stage.wait_for(lambda: stored(on_stage.kind), 60, "the first commit")
            gateway.kill()
            if killed == 1:
                writer.kill()
                writer = on_stage.start_worker("writer", queues="writer", **writer_environment)
            gateway.start().wait_ready()
        so_far = len(clients.answered)
        on_stage.wait_for(lambda: len(clients.answered) > so_far + 50, 60, "load after the last kill")
    assert clients.lost, "no client was in the middle of a request"
    on_stage.wait_for(lambda: not pending_bytes(settings().spool), 60, "an empty spool")
    rows = stored(on_stage.kind)
    by_id = {row["prediction_id"]: row for row in rows}
    assert len(by_id) == len(rows), "a prediction is stored twice"
    assert clients.answered.keys() <= by_id.keys(), "an answered prediction is missing"
    version = on_stage.serving()
    for prediction_id, answer in clients.answered.items():
        row = by_id[prediction_id]
        assert (row["score"], row["prediction"], row["version"]) == (
            answer["score"],
            answer["prediction"],
            version,
        )
    assert not list((settings().observations / MODEL / "rejected").glob("*")), "a prediction was set aside"
