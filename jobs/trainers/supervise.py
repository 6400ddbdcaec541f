"""Runs a trainer as a subprocess and says in words how it ended.

    outcome = supervise(job, should_stop=run.cancelled, on_progress=show)

The trainer gets a process group of its own, an environment without our secrets, and limits. Nothing it does, not even
kill -9 of this process, leaves two trainers writing one folder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from jobs.trainers.contract import TrainingJob, TrainingResult

State = Literal["finished", "cancelled", "failed"]
Reason = Literal[
    "",
    "out_of_memory",  # of the host
    "out_of_device_memory",
    "hung",
    "time_limit",
    "killed",  # by a signal that was not ours
    "no_artefact",  # exit 0, and no model
    "garbage",  # metrics.jsonl or result.json does not read
    "refused",  # it was not started: the device, the data or the parameters do not fit
    "error",
]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the trainer is; told as soon as it wrote something, and every few seconds."""

    step: int = 0
    epoch: float = 0.0
    fraction: float | None = None  # 0..1, where the trainer says its last step
    metrics: dict[str, float] = field(default_factory=dict)  # of the newest line
    points: tuple[dict[str, Any], ...] = ()  # the lines of metrics.jsonl since the call before
    seconds: float = 0.0
    memory_mb: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended. `message` is one or two sentences for people: what happened and what to do."""

    state: State
    message: str
    reason: Reason = ""
    artefact: Path | None = None
    digest: str = ""  # of the artefact, `backend.registry.artefacts.artefact_digest`
    result: TrainingResult | None = None
    notes: tuple[str, ...] = ()  # a corrupt checkpoint, an earlier trainer that was ended
    seconds: float = 0.0
    peak_memory_mb: float = 0.0
    log_tail: str = ""


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
    """
    raise NotImplementedError
