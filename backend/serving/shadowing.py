"""Shadows: versions that score what others answer. Their predictions are stored apart and never answer anybody.

They are stored in a table of their own, `<model>~shadow` (`schema.shadow_table`), under the prediction's own id. No
metric, window, label or count reads it; whoever compares a shadow joins the two tables on `prediction_id`. A name with
`~` cannot be a model's, so nothing can be written there but by a gateway.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import wait
from typing import Final

from backend import clock
from backend.observations.schema import shadow_table
from backend.observations.spool_log import SpoolLog
from backend.observations.store import gateway_row
from backend.observations.validation import prediction_row
from backend.serving.board import Serving
from backend.serving.metrics import GatewayMetrics
from backend.serving.requests import Instance
from backend.serving.scoring import score_instances
from backend.serving.tallies import Tallies

log = logging.getLogger(__name__)

MAX_WAITING_ROWS: Final = 2_000  # of all shadows; what comes on top of them is dropped, and counted
ROWS_PER_PASS: Final = 50  # a pass holds the interpreter: short ones let answers through
STORED_WITHIN_S: Final = 10.0


class Shadower:
    """One thread with a bounded queue of its own. Nothing waits for it, and nobody hears of what it fails at."""

    def __init__(
        self, spool: SpoolLog, tallies: Tallies, metrics: GatewayMetrics, *, environment: str
    ) -> None:
        self._spool, self._tallies, self._metrics = spool, tallies, metrics
        self._environment = environment
        self._changed = threading.Condition()
        self._jobs: deque[tuple[Serving, Sequence[Instance]]] = deque()
        self._waiting_rows = 0
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="shadower", daemon=True)
        self._thread.start()

    def submit(self, serving: Serving, instances: Sequence[Instance]) -> None:
        """Queue rows that were answered; rows for which there is no room are dropped. Never blocks, never raises."""
        with self._changed:
            if self._closing or self._waiting_rows + len(instances) > MAX_WAITING_ROWS:
                self._count(serving, "dropped", len(instances))
                return
            self._jobs.append((serving, instances))
            self._waiting_rows += len(instances)
            self._changed.notify()

    def close(self) -> None:
        """Stop after the pass that runs. What waits is dropped: nobody was promised it."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._jobs and not self._closing:
                    self._changed.wait()
                if self._closing:
                    return
                serving, instances = self._jobs.popleft()
                self._waiting_rows -= len(instances)
            for first in range(0, len(instances), ROWS_PER_PASS):
                self._score(serving, instances[first : first + ROWS_PER_PASS])

    def _score(self, serving: Serving, instances: Sequence[Instance]) -> None:
        started = time.perf_counter()
        try:
            scored = score_instances(serving, instances)
        except Exception as failure:  # noqa: BLE001 - whatever a model raises: it is counted against the shadow
            log.warning("the shadow of %s could not score: %s", serving.model, failure)
            self._tallies.count_failed(serving, instances)
            self._count(serving, "failed", len(instances))
            return
        self._tallies.count(serving, instances, scored, time.perf_counter() - started)
        self._metrics.count_scored(serving, instances, scored)
        try:
            now = clock.now()
            stored = [
                self._spool.submit(
                    "predictions", shadow_table(serving.model),
                    gateway_row(
                        prediction_row(
                            serving.features,
                            {"prediction_id": instance.prediction_id, "ts": now,
                             "version": serving.target.version, "environment": self._environment,
                             "role": "shadow", "injected": instance.injected, "score": found.score,
                             "prediction": found.prediction, "features": serving.stored(instance.features)},
                            now=now, task=serving.task,
                        ),
                        now=now,
                    ),
                )
                for instance, found in zip(instances, scored, strict=True)
            ]  # fmt: skip
        except Exception as failure:  # noqa: BLE001 - a full spool, a score that is no number: a shadow's rows are lost
            log.warning("rows of the shadow of %s are not stored: %s", serving.model, failure)
            self._count(serving, "unstored", len(instances))
            return
        wait(stored, STORED_WITHIN_S)  # one pass at a time in the spool: answers have it to themselves
        self._count(serving, "scored", len(instances))

    def _count(self, serving: Serving, outcome: str, rows: int) -> None:
        self._metrics.shadow_rows.labels(serving.model, serving.version, outcome).inc(rows)
