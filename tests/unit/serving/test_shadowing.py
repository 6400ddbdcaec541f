"""A shadow holds nobody up: what it has no room for is dropped, and what it fails at is only counted."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend import clock
from backend.observations.spool import all_logs, read_log
from backend.observations.spool_log import SpoolLog
from backend.serving.board import Serving
from backend.serving.metrics import GatewayMetrics
from backend.serving.predictor import Predictor
from backend.serving.record import Target
from backend.serving.requests import Instance
from backend.serving.shadowing import MAX_WAITING_ROWS, Shadower
from backend.serving.tallies import Tallies


class Slow:
    """An estimator that waits until it is let go, and fails where it is told to."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.failing = False

    def predict_proba(self, frame: Any) -> Any:
        self.go.wait(20)
        if self.failing:
            raise ValueError("no such category")
        return np.tile([0.7, 0.3], (len(frame), 1))


@pytest.fixture
def slow() -> Iterator[Slow]:
    made = Slow()
    yield made
    made.go.set()


def serving(estimator: Slow) -> Serving:
    target = Target("toy", 9, 2, "shadow", 0.5, "", "sha256:2", {}, 0.0)
    predictor = Predictor(estimator, digest="sha256:2", load_s=0)
    return Serving(target, predictor, {"distance": "numeric"}, "binary", clock.now())


def rows(count: int, prefix: str = "r") -> list[Instance]:
    return [Instance(f"{prefix}{number}", {"distance": 1.0}, None, b"") for number in range(count)]


def outcomes(metrics: GatewayMetrics) -> dict[str, float]:
    found = metrics.shadow_rows.collect()
    return {
        sample.labels["outcome"]: sample.value
        for family in found
        for sample in family.samples
        if sample.name.endswith("_total")
    }


def test_what_has_no_room_is_dropped_at_once(tmp_path: Path, slow: Slow) -> None:
    metrics, shadow = GatewayMetrics("production"), serving(slow)
    with SpoolLog(tmp_path / "spool") as spool:
        shadower = Shadower(spool, Tallies(), metrics, environment="production")
        shadower.submit(shadow, rows(50))
        time.sleep(0.2)  # the pass over these is held up
        begun = time.perf_counter()
        for number in range(100):
            shadower.submit(shadow, rows(100, f"{number}-"))
        assert time.perf_counter() - begun < 1.0
        assert outcomes(metrics) == {"dropped": 100 * 100 - MAX_WAITING_ROWS}
        slow.go.set()
        shadower.close()


def test_a_shadow_that_fails_is_counted_and_goes_on(tmp_path: Path, slow: Slow) -> None:
    metrics, shadow = GatewayMetrics("production"), serving(slow)
    slow.go.set()
    slow.failing = True
    with SpoolLog(tmp_path / "spool") as spool:
        shadower = Shadower(spool, Tallies(), metrics, environment="production")
        shadower.submit(shadow, rows(5, "bad"))
        deadline = time.monotonic() + 10
        while outcomes(metrics).get("failed") != 5 and time.monotonic() < deadline:
            time.sleep(0.01)
        slow.failing = False
        shadower.submit(shadow, rows(7, "good"))
        while outcomes(metrics).get("scored") != 7 and time.monotonic() < deadline:
            time.sleep(0.01)
        shadower.close()
    assert outcomes(metrics) == {"failed": 5, "scored": 7}
    stored = [
        (found.model, found.row["role"])
        for path in all_logs(tmp_path / "spool")
        for found in read_log(path).rows
    ]
    assert stored == [("toy~shadow", "shadow")] * 7
