"""Scores in one thread and makes every prediction durable before it is answered.

Requests that arrive while a pass runs share the next one: a pass over one row costs about as much as one over
fifty, so waiting for company on purpose would only add latency.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from backend import clock
from backend.errors import WarrantError
from backend.observations.schema import Task
from backend.observations.spool_log import SpoolLog
from backend.observations.store import gateway_row
from backend.observations.validation import prediction_row
from backend.serving.answers import Outcome
from backend.serving.board import Serving
from backend.serving.errors import NotServing, Overloaded, ScoringFailed, TimedOut
from backend.serving.metrics import GatewayMetrics
from backend.serving.predictor import Scored
from backend.serving.requests import Instance
from backend.serving.tallies import Tallies

log = logging.getLogger(__name__)

ROWS_PER_PASS: Final = 1000
STUCK_AFTER_S: Final = 120.0
_ANSWERS: Final[dict[Task, str]] = {
    "binary": "probability", "multiclass": "probability", "regression": "number",
}  # fmt: skip


@dataclass(slots=True)
class Job:
    """Instances admitted together. `done` resolves to one outcome an instance, in order, and never fails."""

    serving: Serving
    instances: Sequence[Instance]
    instead: Serving | None = None
    """the champion, which scores the rows that a canary cannot"""
    expires_at: float = math.inf
    """by `time.monotonic`: nobody waits for it any more, so it is not scored"""
    rows: Sequence[int] = ()
    """where the instances stand in their batch; none of a single row"""
    done: Future[list[Outcome]] = field(default_factory=Future)


class Scorer:
    """One thread with a bounded queue."""

    def __init__(
        self,
        spool: SpoolLog,
        tallies: Tallies,
        metrics: GatewayMetrics,
        *,
        environment: str,
        max_waiting_rows: int,
    ) -> None:
        self._spool, self._tallies, self._metrics = spool, tallies, metrics
        self._environment = environment
        self._max_waiting_rows = max_waiting_rows
        self._changed = threading.Condition()
        self._jobs: deque[Job] = deque()
        self._waiting_rows = 0
        self._closing = False
        self._pass_began: float | None = None
        metrics.waiting_rows.set_function(lambda: self._waiting_rows)
        self._thread = threading.Thread(target=self._run, name="scorer", daemon=True)
        self._thread.start()

    def check_room(self, rows: int = 0) -> None:
        """Raise `Overloaded` where so many more rows have to wait too long. A batch that alone exceeds the bound is
        taken when nothing waits."""
        if self._waiting_rows and self._waiting_rows + rows >= self._max_waiting_rows:
            raise Overloaded(f"{self._waiting_rows:,} rows wait to be scored; send again more slowly")

    def trouble(self) -> str | None:
        """Why nothing is scored any more and only a restart helps; None while it goes on."""
        began = self._pass_began
        if not self._thread.is_alive():
            return "the thread that scores has ended"
        if began is not None and time.monotonic() - began > STUCK_AFTER_S:
            return f"the model has not answered for {time.monotonic() - began:.0f} s"
        return None

    def submit(self, *jobs: Job) -> None:
        """Queue the jobs of one request. Raises `Overloaded` when there is no room, and then nothing was taken."""
        rows = sum(len(job.instances) for job in jobs)
        for job in jobs:
            job.done.set_running_or_notify_cancel()  # a client that leaves cannot cancel what is being stored
        with self._changed:
            if self._closing:
                raise NotServing("the gateway is stopping; send to another")
            self.check_room(rows - 1)
            self._jobs += jobs
            self._waiting_rows += rows
            self._changed.notify()

    def close(self) -> None:
        """Finish what is queued, then stop."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._jobs and not self._closing:
                    self._changed.wait()
                if not self._jobs:
                    return
                jobs = self._take()
            for group in _by_serving(_settle_expired(jobs)):
                self._pass_began = time.monotonic()
                try:
                    self._score_group(group)
                except Exception as failure:  # one thread scores every model, and outlives any
                    log.exception("a pass of %s failed", group[0].serving.model)
                    _fail(group, failure)
            self._pass_began = None

    def _take(self) -> list[Job]:
        taken: list[Job] = []
        rows = 0
        while self._jobs and (not taken or rows + len(self._jobs[0].instances) <= ROWS_PER_PASS):
            job = self._jobs.popleft()
            rows += len(job.instances)
            taken.append(job)
        self._waiting_rows -= rows
        return taken

    def _score_group(self, jobs: Sequence[Job]) -> None:
        instances = [instance for job in jobs for instance in job.instances]
        started = time.perf_counter()
        try:
            scored = score_instances(jobs[0].serving, instances)
        except Exception as failure:  # whatever a model raises is its client's answer, not the thread's end
            if len(jobs) > 1:  # one bad row must not fail its neighbours
                for job in jobs:
                    self._score_group([job])
                return
            failed = jobs[0].serving
            log.exception("%s version %s could not score", failed.model, failed.version)
            self._tallies.count_failed(failed, instances)
            self._metrics.scoring_failures.labels(failed.model, failed.version, failed.role).inc(
                len(instances)
            )
            if jobs[0].instead is not None:
                jobs[0].serving, jobs[0].instead = jobs[0].instead, None
                self._score_group(jobs)
                return
            refusal = failure_of(jobs[0].serving, instances, failure, rows=jobs[0].rows)
            jobs[0].done.set_result([refusal] * len(jobs[0].instances))
            return
        self._tallies.count(jobs[0].serving, instances, scored, time.perf_counter() - started)
        self._metrics.count_scored(jobs[0].serving, instances, scored)
        position = 0
        for job in jobs:
            count = len(job.instances)
            self._store(job, scored[position : position + count])
            position += count

    def _store(self, job: Job, scored: Sequence[Scored]) -> None:
        pending = _Pending(job.done, len(scored))
        target = job.serving.target
        for index, (instance, found) in enumerate(zip(job.instances, scored, strict=True)):
            now = clock.now()
            try:
                row = prediction_row(
                    job.serving.features,
                    {"prediction_id": instance.prediction_id, "ts": now, "version": target.version,
                     "environment": self._environment, "role": target.role, "injected": instance.injected,
                     "score": found.score, "prediction": found.prediction,
                     "features": job.serving.stored(instance.features)},
                    now=now, task=job.serving.task,
                )  # fmt: skip
                stored = self._spool.submit("predictions", target.model, gateway_row(row, now=now))
            except WarrantError as refusal:
                pending.settle(index, refusal)
            except Exception as failure:
                log.exception("a prediction of %s could not be written", target.model)
                pending.settle(index, ScoringFailed(f"the prediction could not be stored: {failure}"))
            else:
                pending.wait_for(index, stored, answer_of(target.model, row, target.deployment_id))


def answer_of(model: str, row: Mapping[str, Any], deployment_id: int | None) -> dict[str, Any]:
    """What the client gets, from the row that is stored."""
    return {
        "prediction_id": row["prediction_id"],
        "model": model,
        "version": row["version"],
        "deployment_id": deployment_id,
        "role": row["role"],
        "score": row["score"],
        "prediction": row["prediction"],
    }


def score_instances(serving: Serving, instances: Sequence[Instance]) -> list[Scored]:
    """Score rows with what serves; nothing is stored. `ScoringFailed` where a model answers other than row by row,
    `ValueError` for an answer that is none: NaN would be stored as a row without a score, and decided negatively."""
    scored = serving.predictor.score(
        [instance.features for instance in instances],
        features=serving.features,
        task=serving.task,
        cutoff=serving.target.cutoff,
    )
    if len(scored) != len(instances):
        raise ScoringFailed(f"it gave {len(scored):,} answers to {len(instances):,} rows")
    for one in scored:
        value = float(one.prediction) if serving.task == "regression" else one.score
        if value is None or not math.isfinite(value) or (serving.task == "binary" and not 0 <= value <= 1):
            raise ValueError(f"it gave {value}, which is no {_ANSWERS[serving.task]}")
    return scored


def failure_of(
    serving: Serving, instances: Sequence[Instance], failure: Exception, *, rows: Sequence[int]
) -> ScoringFailed:
    """What a client is told of rows that the model failed at: which one it fails at by itself, where there is one."""
    if not rows:
        return ScoringFailed(f"the model failed on this input: {type(failure).__name__}: {failure}")
    found = _first_failing(serving, instances)
    if found is None:
        return ScoringFailed(
            f"the model failed on these rows together, and on none alone: {type(failure).__name__}: {failure}"
        )
    index, why = found
    return ScoringFailed(
        f"instances[{rows[index]}]: the model failed on this row: {type(why).__name__}: {why}; nothing of the batch "
        "was stored",
        row=rows[index],
    )


def _first_failing(serving: Serving, instances: Sequence[Instance]) -> tuple[int, Exception] | None:
    """The first row at which the model fails by itself, found by halves."""
    first, last = 0, len(instances)
    why = _failure(serving, instances)
    while why is not None and last - first > 1:
        middle = (first + last) // 2
        why = _failure(serving, instances[first:middle])
        if why is not None:
            last = middle
        else:
            why, first = _failure(serving, instances[middle:last]), middle
    return None if why is None else (first, why)


def _failure(serving: Serving, instances: Sequence[Instance]) -> Exception | None:
    try:
        score_instances(serving, instances)
    except Exception as failure:  # noqa: BLE001 - whatever a model raises
        return failure
    return None


def _settle_expired(jobs: Sequence[Job]) -> list[Job]:
    """The jobs that somebody waits for; the others end here, and nothing of them is stored."""
    now, left = time.monotonic(), []
    for job in jobs:
        if job.expires_at > now:
            left.append(job)
        else:
            late = TimedOut(
                "the rows waited too long to be scored; nothing was stored, send again more slowly"
            )
            job.done.set_result([late] * len(job.instances))
    return left


def _fail(jobs: Sequence[Job], failure: Exception) -> None:
    """End those that nothing has ended yet."""
    refusal = ScoringFailed(f"the gateway failed on this input: {type(failure).__name__}")
    for job in jobs:
        with suppress(InvalidStateError):
            job.done.set_result([refusal] * len(job.instances))


def _by_serving(jobs: Sequence[Job]) -> list[list[Job]]:
    groups: dict[int, list[Job]] = {}
    for job in jobs:
        groups.setdefault(id(job.serving), []).append(job)
    return list(groups.values())


class _Pending:
    """Counts down to the last row of a job that the spool has made durable or refused."""

    def __init__(self, done: Future[list[Outcome]], count: int) -> None:
        self._done = done
        self._outcomes: list[Outcome] = [{}] * count
        self._left = count
        self._lock = threading.Lock()

    def wait_for(self, index: int, stored: Future[None], answer: Mapping[str, Any]) -> None:
        def finish(future: Future[None]) -> None:
            failure = future.exception()
            self.settle(index, answer if failure is None else _as_exception(failure))

        stored.add_done_callback(finish)

    def settle(self, index: int, outcome: Outcome) -> None:
        self._outcomes[index] = outcome
        with self._lock:
            self._left -= 1
            last = self._left == 0
        if last:
            self._done.set_result(self._outcomes)


def _as_exception(failure: BaseException) -> Exception:
    return (
        failure if isinstance(failure, Exception) else ScoringFailed(f"storing was interrupted: {failure!r}")
    )
