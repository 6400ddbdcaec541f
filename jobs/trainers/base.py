"""What a trainer is, and the catalogue of them. One more is one more file in this folder that calls `register`."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from backend.errors import BadInput
from backend.governance.catalogue import Catalogue
from jobs.trainers.contract import BadJob, Task, TrainingJob

if TYPE_CHECKING:
    from jobs.trainers.run import Run

EVERY_TASK: Final[frozenset[Task]] = frozenset({"binary", "regression", "multiclass"})


class OutOfMemory(BadInput):
    """The trainer knows that it ran out of memory. `kind` is a reason of an outcome."""

    title = "Out of memory"

    def __init__(self, message: str, *, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Parameter:
    """A setting of a trainer: its default says its type. `low` and `high` are allowed values too."""

    default: Any
    words: str
    low: float | None = None
    high: float | None = None
    choices: tuple[Any, ...] = ()

    def check(self, name: str, value: Any) -> Any:
        """The value as the trainer uses it. Raises `BadJob` in words."""
        where = f"parameters.{name}"
        if self.choices:
            if value not in self.choices:
                raise BadJob(f"{where}: {value!r} is none of {', '.join(map(str, self.choices))}")
            return value
        wanted = type(self.default)
        fits = isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool))
        if wanted is float and isinstance(value, int) and not isinstance(value, bool):
            value, fits = float(value), True
        if not fits:
            raise BadJob(
                f"{where}: {json.dumps(value)[:60]} does not fit; the default is {json.dumps(self.default)}"
            )
        if isinstance(value, float) and not math.isfinite(value):
            raise BadJob(f"{where}: {value} is no finite number")
        if (self.low is not None and value < self.low) or (self.high is not None and value > self.high):
            upper = "" if self.high is None else f" and at most {self.high:g}"
            raise BadJob(f"{where}: {value} is outside what is possible: at least {self.low or 0:g}{upper}")
        return value


@dataclass(frozen=True, slots=True)
class Trainer:
    """A way to train. `train` leaves result and artefact through `Run.publish`.

    torch      needs PyTorch: runs by the interpreter that WARRANT_TRAINER_PYTHON names
    gpu        can use a GPU
    memory_mb  estimate of device memory for (rows, job), in MiB; None where it cannot be told
    command    (python, job file, parameters) -> what to start instead of `python -m jobs.trainers`, or None
    """

    name: str
    title: str
    train: Callable[[Run], None]
    parameters: Mapping[str, Parameter]
    tasks: frozenset[Task] = EVERY_TASK
    torch: bool = False
    gpu: bool = False
    memory_mb: Callable[[int, TrainingJob, Mapping[str, Any]], float] | None = None
    command: Callable[[Path, Path, Mapping[str, Any]], Sequence[str] | None] | None = None

    def parameters_of(self, job: TrainingJob) -> dict[str, Any]:
        """Every parameter with its value for this job. Raises `BadJob` for one that is unknown or does not fit."""
        if unknown := sorted(set(job.parameters) - set(self.parameters)):
            raise BadJob(
                f"parameters: {self.name} has no {', '.join(unknown)}; it has {', '.join(sorted(self.parameters))}"
            )
        if job.task not in self.tasks:
            raise BadJob(
                f"task: {self.name} does not train {job.task} models, but {', '.join(sorted(self.tasks))}"
            )
        return {
            name: one.check(name, job.parameters.get(name, one.default))
            for name, one in self.parameters.items()
        }


_TRAINERS: Final[Catalogue[Trainer]] = Catalogue("jobs.trainers", "trainers")


def register(trainer: Trainer) -> Trainer:
    """Make a trainer known; called by its file when it is imported."""
    return _TRAINERS.register(trainer)


def trainers() -> dict[str, Trainer]:
    """All there are, by name."""
    return _TRAINERS.every()


def trainer_named(name: str) -> Trainer:
    """Raises `BadJob` that lists those there are."""
    if name not in trainers():
        raise BadJob(f"trainer: there is no {name!r}; there are {', '.join(trainers())}")
    return trainers()[name]
