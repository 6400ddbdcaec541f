"""One step at work: what it knows, where its files lie, what it tells, and what it costs."""

from __future__ import annotations

import resource
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from backend.database.session import reading, writing
from backend.errors import BadInput, WarrantError
from backend.monitoring.columns import ModelSpec, parse_spec
from backend.registry.tables import Model, Version
from backend.retraining.plan import Plan, read_plan
from backend.retraining.running import is_cancelled, steps_of
from backend.retraining.steps import begin_step, end_step, note_step
from backend.retraining.tables import RetrainingRun
from backend.settings import settings
from jobs.ownership import forgive_recoveries
from jobs.runtime import Run

ROWS: Final = "rows.parquet"
PARTS: Final = ("train", "valid", "test")
REFERENCE: Final = "reference.parquet"  # held-out rows with the candidate's answers
TRIALS: Final = "trials"  # of a search: a journal, and a folder for each trainer
COPIES: Final = (ROWS, "rows.draft", *(f"{part}.parquet" for part in PARTS))


class RetrainingCancelled(WarrantError):
    """Somebody cancelled the run."""

    title = "Retraining cancelled"


class ValidationFailed(BadInput):
    """The rows are not fit to train on; nothing was spent on training."""

    title = "Validation failed"


@dataclass(frozen=True)
class Work:
    """What a step is given. `found`: the results of the steps before it, by name."""

    run: Run
    name: str
    retraining: RetrainingRun
    plan: Plan
    model: Model
    spec: ModelSpec
    parent: Version | None
    found: dict[str, dict[str, Any]]

    @property
    def folder(self) -> Path:
        """Of this run alone; it stays, since a version's reference data and card lie in it."""
        return folder_of(self.retraining.id)

    def file(self, name: str) -> Path:
        return self.folder / name

    def tell(
        self, *lines: str, progress: float | None = None, points: Sequence[dict[str, Any]] = (),
        peak_memory_bytes: int | None = None, found: dict[str, Any] | None = None, gpu_seconds: float = 0.0,
    ) -> None:  # fmt: skip
        """Show lines, progress, points of the curve or part of the result, now."""
        with writing() as session:
            self.run.require_owned(session)
            note_step(
                session, self.retraining.id, self.name, lines=lines, progress=progress, points=points,
                peak_memory_bytes=peak_memory_bytes, found=found, gpu_seconds=gpu_seconds,
            )  # fmt: skip

    def require_wanted(self) -> None:
        """`RetrainingCancelled` once somebody asked for its end."""
        if self.is_cancelled():
            raise RetrainingCancelled("it was cancelled")

    def is_cancelled(self) -> bool:
        with reading() as session:
            return is_cancelled(session, self.retraining.id)


Step = Callable[[Work], dict[str, Any]]


def folder_of(retraining_id: str) -> Path:
    return settings().resolved_home() / "retraining" / retraining_id


def forget_rows(retraining_id: str) -> None:
    """Remove the copies of rows that a run worked on, and its checkpoints. What the version is bound to stays."""
    remove_copies(retraining_id)
    forget_checkpoints(retraining_id)


def forget_checkpoints(retraining_id: str) -> None:
    """Of its trainer, and of each trial's."""
    folder = folder_of(retraining_id)
    for place in (folder / "out", *(folder / TRIALS).glob("*")):
        shutil.rmtree(place / "checkpoints", ignore_errors=True)


def remove_copies(retraining_id: str) -> int:
    """Remove the copies of rows alone: a run that goes on takes them out again, where they are still the same. Gives
    how many files there were."""
    folder = folder_of(retraining_id)
    there = [one for name in COPIES if (one := folder / name).is_file()]
    for one in there:
        one.unlink(missing_ok=True)
    return len(there)


def take_step(run: Run, retraining_id: str, name: str, step: Step) -> dict[str, Any]:
    """Do a step, once: what has finished is answered from what was stored. Raises what the step raises, noted."""
    with writing() as session:
        run.require_owned(session)
        done = begin_step(session, retraining_id, name)
    if done is not None:
        return done
    work = _work(run, retraining_id, name)
    started = time.monotonic()
    _forget_peak()
    try:
        work.require_wanted()
        work.folder.mkdir(parents=True, exist_ok=True)
        result = step(work)
    except Exception as error:
        state = "cancelled" if isinstance(error, RetrainingCancelled) else "failed"
        details = error.details.get("result") if isinstance(error, WarrantError) else None
        _close(work, state, started, result=details, line=str(error))
        raise
    _close(work, "finished", started, result=result)
    return result


def _close(work: Work, state: str, started: float, *, result: dict[str, Any] | None, line: str = "") -> None:
    peak = (result or {}).get("peak_memory_bytes")
    with writing() as session:
        work.run.require_owned(session)
        note_step(
            session,
            work.retraining.id,
            work.name,
            peak_memory_bytes=int(peak) if peak else _peak_memory_bytes(),
        )
        end_step(
            session, work.retraining.id, work.name, state, seconds=time.monotonic() - started, result=result,
            line=line,
        )  # fmt: skip
        if state == "finished":
            forgive_recoveries(session, work.run.run_id)


def _work(run: Run, retraining_id: str, name: str) -> Work:
    with reading() as session:
        retraining = session.get_one(RetrainingRun, retraining_id)
        model = session.get_one(Model, retraining.model)
        parent = (
            session.get_one(Version, (retraining.model, retraining.parent)) if retraining.parent else None
        )
        found = {key: step.result for key, step in steps_of(session, retraining_id).items()}
        session.expunge_all()
    return Work(
        run, name, retraining, read_plan(retraining.plan), model, parse_spec(model.spec), parent, found
    )


def _forget_peak() -> None:
    """Begin to measure the peak of this process anew (Linux); elsewhere it is the peak since it began."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _peak_memory_bytes() -> int:
    """The most memory that this worker held since the step began, whatever else it did meanwhile."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
