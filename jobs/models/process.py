"""One model in a process of its own: started with less than its worker may, asked by files, ended with the job.

What it may do, on Linux: read its own model, the rows that it is asked about and the libraries; write its answers. It
has no network, no environment of ours, no other file, starts no program, and has limits of memory, of the size of files
and of time. `confined.py` and `refused_calls.py` see to it; what the system refuses of that is said in the log.
"""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from backend.errors import BadInput, WarrantError
from backend.monitoring.columns import ModelSpec
from backend.serving.errors import NotLoadable
from backend.serving.predictor import Scored
from backend.settings import settings
from jobs.confinement import CONFINEMENT, confined, environment, unconfined
from jobs.models.child import MODEL, OUT, REFUSED, ROWS
from jobs.processor_time import add
from jobs.trainers import processes
from jobs.trainers.contract import LOG, open_plain, plain_text
from jobs.trainers.ending import kernel_kills, log_tail

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")

log = logging.getLogger("warrant.jobs")

CHILD: Final = Path("jobs", "models", "child.py")
CODE: Final = "code"
ROOT: Final = Path(__file__).resolve().parents[2]
LARGEST_ANSWER: Final = 512 << 20  # bytes
MOST_WRITTEN: Final = 2 << 30
FILE_MB: Final = 1024
STARTED_S: Final = 600.0  # on a machine with nothing else to do it is a few
ENDS_S: Final = 5.0
POLL_S: Final = 1.0
OUT_OF_MEMORY: Final = ("MemoryError", "bad_alloc", "Cannot allocate memory", "Unable to allocate")
LONGEST_MESSAGE: Final = 1000
# Beside the folder of its own and the libraries: what Python and they read of the machine.
MACHINE: Final = (
    "/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime", "/etc/passwd", "/etc/nsswitch.conf", "/proc/self",
    "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/sys/devices/system/cpu", "/dev/urandom", "/dev/zero",
)  # fmt: skip
ONE_THREAD: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LOKY_MAX_CPU_COUNT")


class ModelEnded(WarrantError):
    """The process of a model ended, or had to be ended, before it answered; the message says why."""

    title = "Model did not answer"


class ModelRaised(Exception):
    """The model or a library raised something. `message`: its class and its words."""

    def __init__(self, kind: str, words: str) -> None:
        self.message = f"{kind}: {words}"
        super().__init__(self.message)


class ModelProcess:
    """`folder` holds the model's files and belongs to this process alone. Used by one thread.

    Everything that asks raises `ModelEnded` where there is no answer, `NotLoadable` and `BadInput` as the loader and
    the predictor do, and `ModelRaised` for whatever else was raised.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._asked = 0
        self._sent = 0
        self.classes: tuple[str, ...] = ()
        self.held_bytes = 0

    def __enter__(self) -> Self:
        for name in (ROWS, OUT, CODE):
            (self._folder / name).mkdir(mode=0o700)
        for package in ("backend", "jobs"):
            (self._folder / CODE / package).symlink_to(ROOT / package)
        self._kills_before = kernel_kills()
        self._done, told = os.pipe()
        try:
            with (self._folder / LOG).open("wb") as printed:
                self._process = subprocess.Popen(
                    self._command(told), cwd=self._folder / OUT, env=self._environment(), stdin=subprocess.PIPE,
                    stdout=printed, stderr=subprocess.STDOUT, start_new_session=True, pass_fds=(told,),
                )  # fmt: skip
        except OSError:
            os.close(self._done)
            raise
        finally:
            os.close(told)
        return self

    def __exit__(self, *_: object) -> None:
        add(processes.processor_s(self._process.pid))
        processes.end(self._process.pid, str(self._folder), grace_s=0)
        with suppress(OSError), self._process:  # closes its input
            pass
        os.close(self._done)

    def load(self) -> None:
        self._await(STARTED_S)
        self._tell_what_was_refused()
        self.classes, self.held_bytes = self.ask(
            "load", lambda found: (tuple(map(str, found["classes"])), int(found["held_bytes"]))
        )

    def send(self, frame: pd.DataFrame) -> str:
        """Rows to ask about; gives their name."""
        import pyarrow.feather

        self._sent += 1
        name = f"{self._sent}.feather"
        try:
            pyarrow.feather.write_feather(
                frame.reset_index(drop=True), str(self._folder / ROWS / name), compression="uncompressed"
            )
        except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError) as error:
            raise BadInput(f"the rows cannot be handed to the model: {error}") from error
        return name

    def check_fits(self, spec: ModelSpec) -> None:
        """Raises `NotLoadable` where the model cannot answer requests that follow the spec."""
        self.ask("check_fits", lambda _: None, features=kinds_of(spec), task=spec.task)

    def score(self, rows: str, spec: ModelSpec, cutoff: float) -> list[Scored]:
        """One a row, as the gateway would answer."""

        def read(answer: Any) -> list[Scored]:
            return [
                Scored(None if score is None else float(score), str(said))
                for score, said in zip(answer["score"], answer["prediction"], strict=True)
            ]

        return self.ask("score", read, **_scoring(rows, spec, cutoff))

    def time_row(self, rows: str, spec: ModelSpec, cutoff: float, row: int) -> float:
        """Milliseconds that one of the rows took."""
        return self.ask("time_row", float, **_scoring(rows, spec, cutoff), row=row)

    def measure_memory(self, rows: str, spec: ModelSpec, cutoff: float) -> int:
        """Bytes that scoring all of them at once allocated at most."""
        return self.ask("measure_memory", int, **_scoring(rows, spec, cutoff))

    def ask(self, do: str, read: Callable[[Any], T], **given: Any) -> T:
        """What `child.Asked` answers, read by `read`: whatever that cannot read is no answer."""
        number, self._asked = self._asked, self._asked + 1
        pipe = self._process.stdin
        assert pipe is not None  # noqa: S101 - as it was started
        # Only a line goes through the pipe: one that nobody reads must not hold us up.
        (self._folder / ROWS / f"{number}.json").write_text(json.dumps({"do": do, "with": given}))
        try:
            pipe.write(b"\n")
            pipe.flush()
        except BrokenPipeError:
            raise self._ended() from None
        self._await(settings().model_time_s)
        try:
            told = self._answer(number)
            if "error" in told:
                raised = _raised(str(told["error"]), str(told["message"]))
            else:
                return read(told["answer"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ModelEnded(
                f"the model's process answered what does not read: {plain_text(str(error), 200)}"
            ) from error
        raise raised

    def _await(self, most_s: float) -> None:
        """Until it says that it is done."""
        began = time.monotonic()
        while not select.select([self._done], [], [], POLL_S)[0]:
            if time.monotonic() - began > most_s:
                raise ModelEnded(
                    f"the model's process did not answer within {most_s:,.0f} s and was ended. Raise "
                    "WARRANT_MODEL_TIME_S if it needs that long"
                )
            if (written := _bytes_beneath(self._folder / OUT)) > MOST_WRITTEN:
                raise ModelEnded(
                    f"the model's process wrote {written >> 20:,} MB and was ended before it filled the disk"
                )
        if not os.read(self._done, 1):
            raise self._ended()

    def _answer(self, number: int) -> dict[str, Any]:
        with open_plain(self._folder / OUT / f"{number}.json") as file:
            content = file.read(LARGEST_ANSWER + 1)
        if len(content) > LARGEST_ANSWER:
            raise ValueError(f"more than {LARGEST_ANSWER >> 20:,} MB")
        told: dict[str, Any] = json.loads(content)
        return told

    def _ended(self) -> ModelEnded:
        """Why it is gone, in words."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(ENDS_S)
        code = self._process.poll()
        last = next(iter(reversed(log_tail(self._folder).strip().splitlines())), "")
        out_of_memory = any(sign in last for sign in OUT_OF_MEMORY)
        if out_of_memory or (code == -signal.SIGKILL and kernel_kills() > self._kills_before):
            return ModelEnded(f"the model's process {_more_memory()}")
        if code is not None and code < 0:
            with suppress(ValueError):
                return ModelEnded(f"the model's process was killed by {signal.Signals(-code).name}")
        said = f"; its last line says: {plain_text(last, 300)}" if last else " and printed nothing"
        return ModelEnded(f"the model's process ended with exit code {code}{said}")

    def _tell_what_was_refused(self) -> None:
        """Before the model is loaded, which could write anything there."""
        refused = unconfined(self._folder / OUT / CONFINEMENT, "the process of a model")
        with suppress(OSError, ValueError):
            if why := json.loads((self._folder / OUT / REFUSED).read_text()):
                refused.append(f"the process of a model may call what it likes: {why}")
        for one in refused:
            log.warning("%s", one)

    def _command(self, pipe: int) -> list[str]:
        folder = self._folder
        libraries = {sys.prefix, sys.base_prefix, str(ROOT / "backend"), str(ROOT / "jobs")}
        read = [*MACHINE, *sorted(libraries), *(str(folder / name) for name in (MODEL, ROWS, CODE))]
        return confined(
            [sys.executable, "-P", str(folder / CODE / CHILD), str(folder), str(pipe)],
            folder / OUT / CONFINEMENT, memory_mb=settings().model_memory_mb, leave_network=True, file_mb=FILE_MB,
            read=read, write=[str(folder / OUT), "/dev/null"],
        )  # fmt: skip

    def _environment(self) -> dict[str, str]:
        out = str(self._folder / OUT)
        return {
            **environment(frozenset({"MLFLOW_ALLOW_PICKLE_DESERIALIZATION"})),
            **dict.fromkeys(ONE_THREAD, "1"),
            "HOME": out,
            "TMPDIR": out,
            "PYTHONPATH": str(self._folder / CODE),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONHASHSEED": "0",
            "NUMBA_DISABLE_JIT": "1",  # what shap would compile takes longer to compile than to run once
            processes.MARK: str(self._folder),
        }


def kinds_of(spec: ModelSpec) -> dict[str, Any]:
    """Of each feature."""
    return {column.name: column.kind for column in spec.features}


def _scoring(rows: str, spec: ModelSpec, cutoff: float) -> dict[str, Any]:
    return {"rows": rows, "features": kinds_of(spec), "task": spec.task, "cutoff": cutoff}


def _raised(kind: str, message: str) -> Exception:
    kind, message = plain_text(kind, 100), plain_text(message, LONGEST_MESSAGE)
    if kind == "MemoryError":
        return ModelEnded(f"the model's process {_more_memory()}")
    known = {one.__name__: one for one in (BadInput, NotLoadable)}
    return known[kind](message) if kind in known else ModelRaised(kind, message)


def _more_memory() -> str:
    return (
        f"ran out of memory: it may use {settings().model_memory_mb:,} MB (WARRANT_MODEL_MEMORY_MB), and not more than "
        "this machine has"
    )


def _bytes_beneath(folder: Path) -> int:
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(path, name)).st_size  # noqa: PTH118 - many, and often
    return total
