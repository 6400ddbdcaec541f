"""One attempt at a job, as a trainer sees it: beat, log, save, publish."""

from __future__ import annotations

import json
import math
import os
import platform
import resource
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from backend.errors import BadInput
from jobs.trainers.base import Trainer
from jobs.trainers.checkpoints import Checkpoints
from jobs.trainers.contract import (
    ARTEFACT,
    CHECKPOINTS,
    HEARTBEAT,
    METRICS,
    RESULT,
    TrainingJob,
    TrainingResult,
    write_text,
)

BEAT_EVERY_S: Final = 0.5
_DRAFT: Final = ".artefact"


class Run:
    """Files of one attempt. Only the process of rank 0 writes them; the others of a distributed run compute."""

    def __init__(self, job: TrainingJob, trainer: Trainer) -> None:
        self.job, self.trainer = job, trainer
        self.parameters = trainer.parameters_of(job)
        self.leads = os.environ.get("RANK", "0") == "0"
        self.device = "cpu"
        self.device_seconds = 0.0
        self.device_peak_memory_mb = 0.0
        self.resumed_from_step: int | None = None
        self.checkpoints = Checkpoints(job.out / CHECKPOINTS)
        self._begun = time.monotonic()
        self._beaten = -math.inf
        job.out.mkdir(parents=True, exist_ok=True)
        if self.leads and not job.resume:
            self.checkpoints.clear()
            (job.out / METRICS).unlink(missing_ok=True)
        self.beat()

    def beat(self) -> None:
        """A sign of life. Call it at least every few seconds; most calls cost nothing."""
        now = time.monotonic()
        if self.leads and now - self._beaten > BEAT_EVERY_S:
            (self.job.out / HEARTBEAT).touch()
            self._beaten = now

    def go_without_gpu(self, library: str) -> None:
        """Its library cannot use the GPU that there is. Raises `BadInput` where the job does not allow the CPU."""
        told = f"{library} of {sys.executable} finds no GPU that it can use"
        if self.job.device == "gpu":
            raise BadInput(
                f"{told}, and the job does not allow the CPU. Install one for the driver of this host, or allow the "
                "CPU with device gpu-if-present"
            )
        self.checkpoints.notes.append(f"{told}: trained on the CPU")

    def log(
        self, step: int, metrics: Mapping[str, float], *, epoch: float = 0.0, steps: int | None = None
    ) -> None:
        """One line of metrics.jsonl. `steps`: the last step, where it is known."""
        self.beat()
        if not self.leads:
            return
        line: dict[str, Any] = {
            "step": step, "epoch": round(epoch, 4), "time": round(time.time(), 3),
            "metrics": {name: value for name, value in metrics.items() if math.isfinite(value)},
        }  # fmt: skip
        if steps is not None:
            line["steps"] = steps
        with (self.job.out / METRICS).open("a") as file:
            file.write(json.dumps(line) + "\n")

    def save(self, step: int, content: bytes) -> None:
        if self.leads:
            self.checkpoints.save(step, content)
        self.beat()

    def restore(self, read: Callable[[bytes], Any]) -> Any:
        """What `read` makes of the newest sound checkpoint; None to begin anew. Forgets the metrics logged after it."""
        if not self.job.resume:
            return None
        found = self.checkpoints.latest(read)
        for note in self.checkpoints.notes:
            print(note, flush=True)  # noqa: T201 - the trainer's log
        self.resumed_from_step = None if found is None else found[0]
        if self.leads:
            _forget_after(self.job.out / METRICS, -1 if found is None else found[0])
        return None if found is None else found[1]

    def publish(
        self,
        write: Callable[[Path], None],
        metrics: Mapping[str, float],
        rows: Mapping[str, int],
        *,
        libraries: tuple[str, ...],
        check: Callable[[Path], None] | None = None,
    ) -> None:
        """Write the artefact beside its place, have `check` look at it, write result.json, and rename it into place."""
        if not self.leads:
            return
        self.beat()
        draft = self.job.out / _DRAFT
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        write(draft)
        self.beat()
        if check is not None:
            check(draft)
        TrainingResult(
            metrics={name: float(value) for name, value in metrics.items() if math.isfinite(value)},
            rows=dict(rows),
            seconds=round(time.monotonic() - self._begun, 3),
            peak_memory_mb=round(peak_memory_mb(), 1),
            device=self.device,
            device_seconds=round(self.device_seconds, 3),
            device_peak_memory_mb=round(self.device_peak_memory_mb, 1),
            parameters=self.parameters,
            versions=versions(libraries),
            notes=self.checkpoints.notes,
            resumed_from_step=self.resumed_from_step,
        ).write(self.job.out / RESULT)
        draft.rename(self.job.out / ARTEFACT)


def peak_memory_mb() -> float:
    """Of this process, in MiB: `ru_maxrss` is in KiB on Linux and in bytes on macOS."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20) if sys.platform == "darwin" else peak / 1024


def versions(libraries: tuple[str, ...]) -> dict[str, str]:
    """Of Python and of those libraries that are installed."""
    found = {"python": platform.python_version()}
    for name in ("numpy", "pandas", "pyarrow", *libraries):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _forget_after(path: Path, step: int) -> None:
    """Leave out the lines behind the step, and what a killed writer left of a line. The shorter file is a new one, so
    that who reads along sees that it is, however soon it is longer than the old one was."""
    if not path.is_file():
        return
    kept = []
    with path.open("rb") as file:
        for line in file:
            try:
                if not line.endswith(b"\n") or json.loads(line)["step"] > step:
                    break
            except (ValueError, KeyError, TypeError):
                break
            kept.append(line)
    write_text(path, b"".join(kept).decode())
