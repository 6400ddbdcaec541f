"""How a training ended, in words."""

from __future__ import annotations

import json
import signal
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, get_args

from backend.errors import WarrantError
from jobs.trainers.contract import (
    CHECKPOINTS,
    FAILURE,
    LARGEST_RESULT,
    LOG,
    METRICS,
    RESULT,
    BadResult,
    TrainingJob,
    TrainingResult,
    open_plain,
    plain_text,
)
from jobs.trainers.running import HOST_SIGNS, host_advice

TAIL_BYTES: Final = 4000
LONGEST_MESSAGE: Final = 2000
_CGROUP_EVENTS: Final = Path("/sys/fs/cgroup/memory.events")

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
    gpu_seconds: float = 0.0  # for which GPUs were held for it, each counted
    log_tail: str = ""


def judged(job: TrainingJob, code: int, *, killed_by_kernel: bool) -> Outcome:
    """The outcome of a process that ended by itself with this exit code (negative: a signal)."""
    if code == 0:
        return checked(job)
    if code < 0:
        return _killed(job, -code, by_kernel=killed_by_kernel)
    with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        with open_plain(job.out / FAILURE) as file:
            told = json.loads(file.read(LARGEST_RESULT))
        reason: Reason = told["kind"] if told["kind"] in get_args(Reason) else "error"
        return Outcome("failed", plain_text(str(told["message"]), LONGEST_MESSAGE), reason)
    last = next(iter(reversed(log_tail(job.out).strip().splitlines())), "")
    if last.startswith("MemoryError") or any(sign in last.lower() for sign in HOST_SIGNS):
        return Outcome(
            "failed",
            f"the training ran out of memory: {plain_text(last, 300)}. {host_advice(job)}",
            "out_of_memory",
        )
    said = f"; its last line says: {plain_text(last, 300)}" if last else " and printed nothing"
    return Outcome("failed", f"the trainer ended with exit code {code}{said}", "error")


def checked(job: TrainingJob) -> Outcome:
    """What exit 0 left: an artefact and a result that reads, or why it does not count."""
    from backend.registry.artefacts import artefact_digest

    if not job.artefact.is_dir() or not any(job.artefact.iterdir()):
        return Outcome(
            "failed",
            f"the trainer ended without an error and left no model in {job.artefact}; it has to rename the finished "
            "folder to that name before it exits",
            "no_artefact",
        )
    try:
        result = TrainingResult.read(job.out / RESULT)
        digest = artefact_digest(job.artefact)
    except OSError:
        return Outcome("failed", f"the trainer left a model and no {RESULT} beside it", "no_artefact")
    except BadResult as failure:
        return Outcome("failed", f"the trainer wrote what does not read: {failure.message}", "garbage")
    except WarrantError as failure:
        return Outcome("failed", failure.message, "no_artefact")
    return Outcome(
        "finished",
        f"trained by {job.trainer}",
        artefact=job.artefact,
        digest=digest,
        result=result,
        notes=tuple(map(str, result.notes)),
    )


def too_much_memory(job: TrainingJob, used_mb: float) -> str:
    return (
        f"the training used {used_mb:,.0f} MB of memory, more than its limit of {job.limits.memory_mb:,} MB, and was "
        f"ended. {host_advice(job)}"
    )


def too_long(job: TrainingJob) -> str:
    return (
        f"the training took longer than its limit of {job.limits.wall_s:,.0f} s and was ended. {_continue(job)}"
        "Raise limits.wall_s, or train on less"
    )


def too_talkative(most: int) -> str:
    return (
        f"the trainer wrote more than {most >> 20:,} MB into {LOG} and {METRICS} and was ended before it filled the "
        f"disk. Look at the end of {LOG}, and let it print less"
    )


def silent(job: TrainingJob, silent_s: float) -> str:
    return (
        f"the trainer gave no sign of life for {silent_s:,.0f} s (limit {job.limits.heartbeat_s:,.0f} s) and was ended "
        f"as hung. {_continue(job)}Look at the end of {LOG}; raise limits.heartbeat_s if a step takes that long"
    )


def kernel_kills() -> int:
    """How often the kernel killed for memory in our control group; 0 where it does not say."""
    with suppress(OSError, ValueError):
        for line in _CGROUP_EVENTS.read_text().splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return 0


def log_tail(folder: Path) -> str:
    with suppress(OSError), open_plain(folder / LOG) as file:
        file.seek(max(0, file.seek(0, 2) - TAIL_BYTES))
        return file.read().decode(errors="replace")
    return ""


def _killed(job: TrainingJob, number: int, *, by_kernel: bool) -> Outcome:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    if by_kernel and number == signal.SIGKILL:
        return Outcome(
            "failed",
            f"the host ran out of memory and the kernel ended the training. {host_advice(job)}",
            "out_of_memory",
        )
    why: dict[int, str] = {
        signal.SIGKILL: "Somebody ended it, or the kernel did because the host's memory was full",
        signal.SIGSEGV: "A library crashed; look at the end of the log",
        signal.SIGABRT: "A library gave up; look at the end of the log",
        signal.SIGTERM: "Somebody asked it to end",
    }
    look = why.get(number, "Look at the end of the log")
    return Outcome("failed", f"the trainer was killed by {name}. {look}. {_continue(job)}".rstrip(), "killed")


def _continue(job: TrainingJob) -> str:
    kept = sorted((job.out / CHECKPOINTS).glob("step-*"))
    return "The next attempt continues from the last checkpoint. " if kept else ""
