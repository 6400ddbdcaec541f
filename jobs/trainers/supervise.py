"""Runs a trainer as a subprocess and says in words how it ended.

    outcome = supervise(job, should_stop=run.cancelled, on_progress=show)

The trainer gets a process group of its own, an environment without our secrets, and limits. Nothing it does, not even
kill -9 of this process, leaves two trainers writing one folder.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from backend.errors import BadInput, WarrantError
from jobs.confinement import CONFINEMENT, confined, unconfined
from jobs.confinement import environment as plain_environment
from jobs.trainers import ending, processes
from jobs.trainers.base import Trainer, trainer_named
from jobs.trainers.contract import (
    FAILURE,
    HEARTBEAT,
    JOB,
    LOG,
    METRICS,
    RESULT,
    BadResult,
    TrainingJob,
    write_text,
)
from jobs.trainers.data import rows_in
from jobs.trainers.devices import Placement, placed
from jobs.trainers.ending import Outcome, Progress
from jobs.trainers.following import MetricsFile

__all__ = ["Outcome", "Progress", "supervise"]

POLL_S: Final = 0.1
MEMORY_EVERY_S: Final = 0.2
MOST_PRINTED: Final = 256 << 20  # bytes of the log and of metrics.jsonl in one attempt
LOCK: Final = ".supervisor.lock"
PID: Final = "trainer.pid"
PROGRAM: Final = Path(__file__).with_name("__main__.py").resolve()
# Beside what every confined program sees.
ALLOWED: Final = frozenset({"HOME", "TMPDIR", "MASTER_ADDR", "MASTER_PORT", "XDG_CACHE_HOME"})
ALLOWED_PREFIXES: Final = ("CUDA_", "NVIDIA_", "NCCL_", "GLOO_", "OMP_", "MKL_", "OPENBLAS_", "NUMBA_")
SPARE_MB: Final = 2048  # of the hard limit: libraries, and what is reserved and never used
STACKS_MB: Final = 32  # a processor: threads have stacks


def supervise(
    job: TrainingJob,
    *,
    should_stop: Callable[[], bool],
    on_progress: Callable[[Progress], None],
    python: Path | None = None,
) -> Outcome:
    """Run `job` and wait for its end. Never raises for what the trainer does.

    should_stop  asked several times a second; True ends the whole group within 5 s
    on_progress  told of new lines of metrics.jsonl
    python       the interpreter; default: WARRANT_TRAINER_PYTHON for trainers that need PyTorch, else our own

    A job whose artefact is there already is finished: asking twice trains once. Checkpoints of an earlier attempt
    are continued from.
    """
    job = replace(job, out=job.out.resolve(), train=job.train.resolve(), valid=job.valid.resolve())
    with ExitStack() as stack:
        try:
            trainer = trainer_named(job.trainer)
            trainer.parameters_of(job)
            job.out.mkdir(parents=True, exist_ok=True)
            stack.enter_context(_only_supervisor(job.out))
            notes = _end_left_behind(job.out)
            if finished := _finished_before(job, notes):
                return finished
            placement = stack.enter_context(placed(job, trainer, rows=rows_in(job.train)))
            attempt = _Attempt(job, trainer, placement, notes)
            process = attempt.start(python or interpreter(trainer))
        except (WarrantError, OSError) as refused:
            return Outcome("failed", getattr(refused, "message", str(refused)), "refused")
        return attempt.run(process, should_stop, on_progress)


@contextmanager
def _only_supervisor(folder: Path) -> Iterator[None]:
    """The system gives the lock back when this process dies; its trainer does not inherit it."""
    with (folder / LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadInput(f"another process of this host supervises the training in {folder}") from None
        yield


def _end_left_behind(folder: Path) -> list[str]:
    """End the trainer of a supervisor that was killed: two must never write one folder."""
    notes = []
    leader = -1
    with suppress(OSError, ValueError, KeyError, TypeError):
        held_by = json.loads((folder / PID).read_text())
        if held_by["started"] is not None and processes.started(held_by["pid"]) == held_by["started"]:
            leader = held_by["pid"]
    left = processes.members(leader, str(folder))
    if left:
        if not processes.end(leader, str(folder)):
            raise BadInput(
                f"process {left[0].pid} of an earlier attempt still writes to {folder} and cannot be ended"
            )
        notes.append(f"a trainer that an earlier attempt left running (process {left[0].pid}) was ended")
    (folder / PID).unlink(missing_ok=True)
    return notes


def _finished_before(job: TrainingJob, notes: list[str]) -> Outcome | None:
    """The outcome of an attempt that had finished, when it was of this very job."""
    if not job.artefact.is_dir():
        return None
    try:
        same = json.loads((job.out / JOB).read_text()) == json.loads(json.dumps(job.as_document()))
    except (OSError, ValueError):
        same = False
    if same and job.resume:
        found = ending.checked(job)
        if found.state == "finished":
            return replace(found, notes=(*notes, *found.notes))
    shutil.rmtree(job.artefact)
    (job.out / RESULT).unlink(missing_ok=True)
    return None


class _Attempt:
    """One trainer process from its start to its end."""

    def __init__(self, job: TrainingJob, trainer: Trainer, placement: Placement, notes: list[str]) -> None:
        self._job, self._trainer, self._placement, self._notes = job, trainer, placement, notes
        self._metrics = MetricsFile(job.out)
        self._begun = time.monotonic()
        self._peak_mb = 0.0
        self._looked = -math.inf
        self._memory_mb = 0.0
        self._alive = time.time()
        self._kills_before = ending.kernel_kills()
        self._bytes_before = 0

    def start(self, python: Path) -> subprocess.Popen[bytes]:
        """Clear what says how an attempt ended, and start the next. Raises what the system says against it."""
        for name in (RESULT, FAILURE, HEARTBEAT):
            (self._job.out / name).unlink(missing_ok=True)
        for path in (self._job.out / METRICS, self._job.out / LOG):
            if path.is_fifo():  # of an earlier attempt: to open it would wait for ever
                path.unlink()
        if self._job.resume:
            self._metrics.skip()
        else:
            (self._job.out / METRICS).unlink(missing_ok=True)
        return self._started(python)

    def run(
        self,
        process: subprocess.Popen[bytes],
        should_stop: Callable[[], bool],
        on_progress: Callable[[Progress], None],
    ) -> Outcome:
        with process:
            try:
                ended = self._watch(process, should_stop, on_progress)
            finally:
                gone = processes.end(process.pid, str(self._job.out))
                (self._job.out / PID).unlink(missing_ok=True)
        if ended is None:
            killed_by_kernel = ending.kernel_kills() > self._kills_before
            ended = ending.judged(self._job, process.returncode, killed_by_kernel=killed_by_kernel)
            ended = self._tell_last(ended, on_progress)
        if not gone:
            self._notes.append("a process of the trainer outlived KILL; it waits for the kernel or a device")
        seconds = time.monotonic() - self._begun
        return replace(
            ended,
            notes=(
                *self._notes,
                *unconfined(self._job.out / CONFINEMENT, "the trainer"),
                *ended.notes,
                *([self._placement.why] if self._job.device != "cpu" else []),
            ),
            seconds=round(seconds, 3),
            gpu_seconds=round(seconds * len(self._placement.gpus), 3),
            peak_memory_mb=round(self._peak_mb, 1),
            log_tail=ending.log_tail(self._job.out),
        )

    def _started(self, python: Path) -> subprocess.Popen[bytes]:
        job, out = self._job, self._job.out
        path = job.write(out / JOB)
        (out / HEARTBEAT).touch()
        self._bytes_before = _bytes_in(out)
        argv = None
        if self._trainer.command is not None:
            argv = self._trainer.command(python, path, self._trainer.parameters_of(job))
        from backend.settings import settings  # not above: trainers import this file where pydantic is not

        argv = confined(
            argv or (str(python), "-P", str(PROGRAM), str(path)), out / CONFINEMENT,
            memory_mb=_hard_limit_mb(job, self._placement), leave_network=not settings().trainer_network,
            ends_by=signal.SIGTERM,
        )  # fmt: skip
        with (out / LOG).open("ab") as log:
            process = subprocess.Popen(
                list(argv), cwd=out, env=environment(job, self._placement), stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        write_text(out / PID, json.dumps({"pid": process.pid, "started": processes.started(process.pid)}))
        return process

    def _watch(
        self,
        process: subprocess.Popen[bytes],
        should_stop: Callable[[], bool],
        on_progress: Callable[[Progress], None],
    ) -> Outcome | None:
        """None when the trainer ended by itself, else why it has to be ended now."""
        limits = self._job.limits
        while True:
            if should_stop():
                return Outcome("cancelled", "the training was cancelled; its checkpoints stay")
            try:
                self._tell(process, on_progress)
            except BadResult as failure:
                return Outcome(
                    "failed", f"the trainer wrote what does not read: {failure.message}", "garbage"
                )
            if process.poll() is not None:
                return None
            if self._peak_mb > limits.memory_mb:
                return Outcome("failed", ending.too_much_memory(self._job, self._peak_mb), "out_of_memory")
            if self._printed() > MOST_PRINTED:
                return Outcome("failed", ending.too_talkative(MOST_PRINTED), "garbage")
            if time.monotonic() - self._begun > limits.wall_s:
                return Outcome("failed", ending.too_long(self._job), "time_limit")
            if (silent := time.time() - self._last_sign()) > limits.heartbeat_s:
                return Outcome("failed", ending.silent(self._job, silent), "hung")
            with suppress(subprocess.TimeoutExpired):
                process.wait(POLL_S)

    def _printed(self) -> int:
        """Bytes of this attempt in the log and in the metrics: what says much for ever would fill the disk."""
        return _bytes_in(self._job.out) - self._bytes_before

    def _tell(self, process: subprocess.Popen[bytes], on_progress: Callable[[Progress], None]) -> None:
        now = time.monotonic()
        points = self._metrics.read()
        due = now - self._looked > MEMORY_EVERY_S
        if due:
            self._looked = now
            self._memory_mb = processes.resident_mb(processes.members(process.pid, str(self._job.out)))
            self._peak_mb = max(self._peak_mb, self._memory_mb)
        if points:
            on_progress(self._progress(points))

    def _tell_last(self, ended: Outcome, on_progress: Callable[[Progress], None]) -> Outcome:
        """What was written between the last look and the end."""
        try:
            points: list[dict[str, Any]] = []
            while more := self._metrics.read(last=ended.state == "finished"):
                points += more
        except BadResult as failure:
            if ended.state != "finished":
                return ended
            return Outcome("failed", f"the trainer wrote what does not read: {failure.message}", "garbage")
        if points:
            on_progress(self._progress(points))
        return ended

    def _progress(self, points: list[dict[str, Any]]) -> Progress:
        newest = points[-1]
        steps = newest.get("steps")
        known = isinstance(steps, int) and steps > 0
        return Progress(
            step=newest["step"],
            epoch=float(newest.get("epoch", 0.0)),
            fraction=min(1.0, newest["step"] / steps) if known else None,
            metrics=newest["metrics"],
            points=tuple(points),
            seconds=time.monotonic() - self._begun,
            memory_mb=self._memory_mb,
        )

    def _last_sign(self) -> float:
        """The heartbeat, a line of metrics or of the log: whatever came last."""
        for name in (HEARTBEAT, METRICS, LOG):
            with suppress(OSError):
                self._alive = max(self._alive, (self._job.out / name).stat().st_mtime)
        return self._alive


def _bytes_in(out: Path) -> int:
    total = 0
    for name in (LOG, METRICS):
        with suppress(OSError):
            total += (out / name).stat().st_size
    return total


def _hard_limit_mb(job: TrainingJob, placement: Placement) -> int | None:
    """A driver of a GPU reserves more addresses than there is memory: None, no limit."""
    if placement.gpus:
        return None
    return 2 * job.limits.memory_mb + SPARE_MB + STACKS_MB * (os.cpu_count() or 1)


def interpreter(trainer: Trainer) -> Path:
    """Which Python runs a trainer."""
    from backend.settings import settings

    named = settings().trainer_python if trainer.torch else None
    return Path(sys.executable) if named is None else Path(named).absolute()


def environment(job: TrainingJob, placement: Placement) -> dict[str, str]:
    """What a trainer may see of the worker's, and what it is told."""
    return {
        **plain_environment(ALLOWED, ALLOWED_PREFIXES),
        "PYTHONHASHSEED": str(job.seed % 2**32),
        "OMP_WAIT_POLICY": "passive",  # threads that spin while they wait would take the cores of others
        "WARRANT_TRAINING_JOB": str(job.out / JOB),
        processes.MARK: str(job.out),
        **placement.environment,
    }
