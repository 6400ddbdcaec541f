"""From a job file to an exit code, inside the trainer's own process."""

from __future__ import annotations

import json
import resource
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Final

from backend.errors import BadInput, WarrantError
from jobs.trainers.base import OutOfMemory, trainer_named
from jobs.trainers.contract import FAILURE, BadJob, TrainingJob, write_text
from jobs.trainers.run import Run, peak_memory_mb

# What libraries say when memory ran out: PyTorch, XGBoost, CUDA, cuBLAS, and the C++ library.
DEVICE_SIGNS: Final = (
    "cuda out of memory", "cuda error: out of memory", "cudaerrormemoryallocation", "cublas_status_alloc_failed",
    "memory allocation error on worker", "hip out of memory",
)  # fmt: skip
HOST_SIGNS: Final = ("bad_alloc", "cannot allocate memory", "can't allocate memory", "unable to allocate")


def run_job(path: Path) -> int:
    """Run the job's trainer. Says on standard error, and in failure.json, why it could not."""
    _settle_process()
    try:
        job = TrainingJob.read(path)
    except BadJob as failure:
        print(failure.message, file=sys.stderr)  # noqa: T201 - a command line
        return 2
    (job.out / FAILURE).unlink(missing_ok=True)
    try:
        trainer = trainer_named(job.trainer)
        trainer.train(Run(job, trainer))
    except BaseException as failure:  # noqa: BLE001 - the process ends here, and its reason has to be told
        traceback.print_exc()
        if isinstance(failure, KeyboardInterrupt | SystemExit):
            return 1
        kind, message = in_words(failure, job)
        with suppress(OSError):
            write_text(job.out / FAILURE, json.dumps({"kind": kind, "message": message}) + "\n")
        return 1
    return 0


def in_words(failure: BaseException, job: TrainingJob) -> tuple[str, str]:
    """(reason of an outcome, what happened and what to do)."""
    text = str(failure)
    low = text.lower()
    if isinstance(failure, OutOfMemory):
        return failure.kind, failure.message
    if any(sign in low for sign in DEVICE_SIGNS):
        return "out_of_device_memory", f"the GPU ran out of memory: {_first(text)}. {device_advice(job)}"
    if isinstance(failure, MemoryError) or any(sign in low for sign in HOST_SIGNS):
        return (
            "out_of_memory",
            f"the host ran out of memory after {peak_memory_mb():,.0f} MB{': ' + _first(text) if text else ''}. "
            f"{host_advice(job)}",
        )
    if isinstance(failure, BadInput):
        return "refused", failure.message
    if isinstance(failure, WarrantError):
        return "error", failure.message
    if isinstance(failure, ModuleNotFoundError):
        return "refused", (
            f"{sys.executable} lacks {failure.name}, which {job.trainer} needs; name an interpreter that has it with "
            "WARRANT_TRAINER_PYTHON (`make setup-torch` makes one)"
        )
    return "error", f"{type(failure).__name__}: {_first(text)}"


def device_advice(job: TrainingJob) -> str:
    """What to do about too little memory of the device."""
    return (
        "Use a smaller batch_size with more accumulate, precision bf16, or a GPU with more memory"
        + ("" if job.device == "gpu-if-present" else "; device gpu-if-present would allow the CPU")
        + "."
    )


def host_advice(job: TrainingJob) -> str:
    """What to do about too little memory of the host."""
    return (
        f"Train on fewer rows or columns, or raise limits.memory_mb (now {job.limits.memory_mb:,}) on a host that "
        "has it."
    )


def _first(text: str) -> str:
    line = next(iter(text.strip().splitlines()), "")
    return (line[:300] or "no more is known").rstrip(".")


def _settle_process() -> None:
    """No core files, and the kernel picks this process, not the worker, when the host's memory ends."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")
