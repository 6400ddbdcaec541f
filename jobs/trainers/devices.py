"""The GPUs of this host, what a job needs of one, and a refusal in words where it cannot have it."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from backend.errors import Unavailable
from jobs.trainers.base import Trainer
from jobs.trainers.contract import TrainingJob, plain_text

TIMEOUT_S: Final = 20.0  # where no process keeps a driver loaded, each question loads it for all devices
NONE_LISTED: Final = "there is no GPU on this host (nvidia-smi lists none)"
_ASKED: Final = "index,uuid,name,memory.total,memory.used,utilization.gpu"


class NoDevice(Unavailable):
    """The job needs a GPU and there is none it fits on; the message says why, device by device."""

    title = "No device for this job"


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU, as nvidia-smi tells of it. None: it does not say."""

    index: int
    uuid: str
    model: str
    memory_mb: float
    used_mb: float
    utilisation: float | None  # 0..1

    @property
    def free_mb(self) -> float:
        return self.memory_mb - self.used_mb

    def __str__(self) -> str:
        busy = "" if self.utilisation is None else f", {self.utilisation:.0%} busy"
        return f"GPU {self.index} ({self.model}): {self.free_mb:,.0f} of {self.memory_mb:,.0f} MB free{busy}"


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a job runs: on these GPUs, or on the CPU when there are none. `why` says so in words."""

    gpus: tuple[Gpu, ...]
    why: str
    needs_mb: float | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Shows the trainer these devices and no other."""
        return {"CUDA_VISIBLE_DEVICES": ",".join(gpu.uuid for gpu in self.gpus)}


def gpus(command: str = "nvidia-smi") -> list[Gpu]:
    """Those that this process may use; none where there is no driver or it does not answer."""
    return asked_gpus(command)[0]


def asked_gpus(command: str = "nvidia-smi") -> tuple[list[Gpu], str]:
    """Those that this process may use, and why there are none where there are none."""
    program = shutil.which(command)
    if program is None:
        return [], "there is no GPU on this host (it has no nvidia-smi)"
    try:
        said = subprocess.run(
            [program, f"--query-gpu={_ASKED}", "--format=csv,noheader,nounits"],
            capture_output=True, text=True, timeout=TIMEOUT_S, check=True,
        ).stdout  # fmt: skip
    except subprocess.TimeoutExpired:
        return (
            [],
            f"it is not known which GPUs this host has: nvidia-smi did not answer within {TIMEOUT_S:g} s",
        )
    except subprocess.CalledProcessError as failure:
        first = next(iter((failure.stdout or failure.stderr or "").strip().splitlines()), "and said nothing")
        return [], (
            "it is not known which GPUs this host has: nvidia-smi ended with exit code "
            f"{failure.returncode}, {plain_text(first, 200)}"
        )
    except OSError as failure:
        return [], f"it is not known which GPUs this host has: nvidia-smi does not run: {failure.strerror}"
    found = [_gpu([cell.strip() for cell in line.split(",")]) for line in said.splitlines() if line.strip()]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    left = [gpu for gpu in found if gpu is not None and _allowed(gpu, visible)]
    if any(found) and not left:
        return (
            [],
            f"CUDA_VISIBLE_DEVICES={visible} leaves this worker none of the {len(found)} GPUs of this host",
        )
    return left, "" if left else NONE_LISTED


def visible_gpus() -> bool:
    """Whether this process was given a GPU: inside a trainer, what the supervisor decided."""
    return os.environ.get("CUDA_VISIBLE_DEVICES", "") != "" or (
        "CUDA_VISIBLE_DEVICES" not in os.environ and bool(gpus())
    )


def place(
    job: TrainingJob, trainer: Trainer, *, rows: int, found: Sequence[Gpu], busy: Sequence[Gpu] = (),
    none: str = NONE_LISTED,
) -> Placement:  # fmt: skip
    """GPUs with room for the job, the CPU where the job allows it. Raises `NoDevice` in words otherwise.

    busy  those that another run has: not among `found`
    none  why there are none, where there are none
    """
    chosen = trainer.parameters_of(job)
    if job.device == "cpu":
        return Placement((), "the job asks for the CPU")
    if not trainer.gpu:
        if job.device == "gpu":
            raise NoDevice(
                f"{trainer.title} runs on the CPU only, and the job asks for a GPU; set device to cpu"
            )
        return Placement((), f"{trainer.title} runs on the CPU only")
    needs = None if trainer.memory_mb is None else trainer.memory_mb(rows, job, chosen)
    wanted = int(chosen.get("devices", 1))
    roomy = sorted(
        (gpu for gpu in found if needs is None or gpu.free_mb >= needs), key=lambda gpu: -gpu.free_mb
    )
    if len(roomy) >= wanted:
        taken = tuple(roomy[:wanted])
        return Placement(taken, f"on {'; '.join(map(str, taken))}", needs)
    reason = _refusal(found, busy, needs, wanted, rows) if found or busy else none
    if job.device == "gpu":
        raise NoDevice(
            f"{reason}. Use a smaller batch_size or fewer rows, wait for a device, or allow the CPU with device "
            "gpu-if-present"
        )
    return Placement((), f"on the CPU: {reason}", needs)


@contextmanager
def placed(
    job: TrainingJob,
    trainer: Trainer,
    *,
    rows: int,
    found: Sequence[Gpu] | None = None,
    folder: Path | None = None,
) -> Iterator[Placement]:
    """One run a device: `place` among those that no other run of this host has, and hold their locks meanwhile.

    The system gives a lock back when its holder dies, however that happens.
    """
    asked, none = asked_gpus() if found is None and job.device != "cpu" else (found or (), NONE_LISTED)
    left = list(asked)
    busy: list[Gpu] = []
    while True:
        placement = place(job, trainer, rows=rows, found=left, busy=busy, none=none)
        with ExitStack() as stack:
            other = next(
                (gpu for gpu in placement.gpus if not stack.enter_context(_locked(gpu, folder))), None
            )
            if other is None:
                yield placement
                return
        left.remove(other)
        busy.append(other)


@contextmanager
def _locked(gpu: Gpu, folder: Path | None) -> Iterator[bool]:
    """Whether the lock of the GPU is ours; False: another run has it."""
    name = re.sub(r"[^\w.-]", "_", gpu.uuid)
    with ((folder or Path(tempfile.gettempdir())) / f"warrant-gpu-{name}.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _refusal(found: Sequence[Gpu], busy: Sequence[Gpu], needs: float | None, wanted: int, rows: int) -> str:
    used = f"another training run of this host uses {'; '.join(map(str, busy))}" if busy else ""
    if not found:
        return used
    room = "" if needs is None else f" with about {needs:,.0f} MB free for {rows:,} rows"
    many = "a GPU" if wanted == 1 else f"{wanted} GPUs"
    said = f"the job needs {many}{room}, and there is {'; '.join(map(str, found))}"
    return f"{said}; {used}" if used else said


def _gpu(cells: Sequence[str]) -> Gpu | None:
    try:
        busy = float(cells[5]) / 100 if re.fullmatch(r"[\d.]+", cells[5]) else None
        return Gpu(int(cells[0]), cells[1], cells[2], float(cells[3]), float(cells[4]), busy)
    except (IndexError, ValueError):  # "[N/A]", a message instead of a row
        return None


def _allowed(gpu: Gpu, visible: str | None) -> bool:
    """Whether the operator left this GPU to us; CUDA_VISIBLE_DEVICES names indices or the beginnings of ids."""
    if visible is None:
        return True
    names = [name.strip() for name in visible.split(",")]
    return any(name == str(gpu.index) or (name and gpu.uuid.startswith(name)) for name in names)
