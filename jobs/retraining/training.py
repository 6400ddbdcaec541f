"""The step that trains: a job file for the trainer, its progress as it comes, and how it ended in words."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from backend.errors import WarrantError
from backend.registry.artefacts import artefact_digest, file_digest
from backend.retraining.plan import Plan
from backend.retraining.trainers import PROGRAM_TRAINER
from backend.settings import settings
from jobs.retraining.rows import TARGET, ensure_parts
from jobs.retraining.searching import check_search_job, curve_points, search
from jobs.retraining.work import RetrainingCancelled, Work
from jobs.trainers.base import trainer_named
from jobs.trainers.contract import (
    LOG,
    METRICS,
    RESULT,
    Column,
    Limits,
    TrainingJob,
    TrainingResult,
    plain_text,
)
from jobs.trainers.supervise import Outcome, Progress, supervise

HEARTBEAT_S: Final = 120.0
ASKED_EVERY_S: Final = (
    1.0  # whether somebody cancelled; the supervisor ends the trainer within seconds of that
)
LOG_LINES: Final = 40


class TrainingFailed(WarrantError):
    """The trainer did not finish; the message is the supervisor's."""

    title = "Training failed"


def check_job(work: Work) -> None:
    """Raises `BadJob` for parameters that the trainer does not take: before a row is read, not after all of them."""
    job = training_job(work)
    trainer_named(job.trainer).parameters_of(job)
    if work.plan.search is not None:
        check_search_job(work.plan.search, job)


def train(work: Work) -> dict[str, Any]:
    """Run the trainer to its end, or those of a search and take the best one's model. What an earlier attempt finished
    is taken as it is, what it began is continued."""
    ensure_parts(work)
    job = training_job(work)
    files = program_files(job.parameters["argv"]) if work.plan.trainer == PROGRAM_TRAINER else {}
    watch = _Watch(work)
    if work.plan.search is not None:
        searched = search(work, job, watch.should_stop)
        job, result = searched.job, TrainingResult.read(searched.job.out / RESULT)
        work.tell(points=curve_points(job))
        found = _found(work, result, artefact_digest(job.artefact), job)
        found.pop("gpu_seconds")  # each trial has told its own
        return found | {"program": files, "search": searched.view}
    if job.artefact.is_dir() and (job.out / RESULT).is_file():
        result = TrainingResult.read(job.out / RESULT)
        return _found(work, result, artefact_digest(job.artefact), job) | {"program": files}
    outcome = supervise(job, should_stop=watch.should_stop, on_progress=watch.show)
    work.tell(*log_lines(job.out / LOG, outcome.log_tail), *outcome.notes)
    if outcome.state == "cancelled":
        raise RetrainingCancelled(outcome.message or "it was cancelled", result=_cost(outcome))
    if outcome.state != "finished" or outcome.result is None:
        raise TrainingFailed(outcome.message, reason=outcome.reason, result=_cost(outcome))
    return _found(work, outcome.result, outcome.digest, job) | _cost(outcome) | {"program": files}


def training_job(work: Work) -> TrainingJob:
    """The plan as a trainer is told it."""
    plan = work.plan
    kinds = {"numeric": "number", "categorical": "category"}
    return TrainingJob(
        run_id=work.retraining.id, trainer=plan.trainer, task=work.spec.task, target=TARGET,
        columns=tuple(Column(column.name, kinds[column.kind]) for column in work.spec.features),  # type: ignore[arg-type]
        train=work.file("train.parquet"), valid=work.file("valid.parquet"), out=work.file("out"),
        parameters=parameters_of(plan), seed=plan.seed, deterministic=plan.deterministic,
        device="cpu" if plan.device == "cpu" else "gpu-if-present" if plan.cpu_allowed else "gpu",
        limits=Limits(wall_s=plan.wall_s, memory_mb=plan.memory_mb, heartbeat_s=HEARTBEAT_S), resume=True,
    )  # fmt: skip


def parameters_of(plan: Plan) -> dict[str, Any]:
    """As the trainer takes them. Of a program only its name is in a plan: what that runs is this host's to say, so
    that nobody who may ask for a retraining, or approve one, can run anything else here."""
    if plan.trainer != PROGRAM_TRAINER:
        return plan.parameters
    name, offered = plan.parameters.get("program"), settings().trainer_programs
    if name not in offered:
        raise TrainingFailed(
            f"this worker knows no program {name!r}; WARRANT_TRAINER_PROGRAMS names "
            + (", ".join(sorted(offered)) or "none")
        )
    return {"argv": offered[name], "settings": plan.parameters.get("settings", {})}


def program_files(argv: Sequence[str]) -> dict[str, str]:
    """Digest of each file that a command names, its program among them: which code trained, where it is not ours."""
    found = {word: Path(shutil.which(word) or word) for word in argv}
    return {word: file_digest(path) for word, path in found.items() if path.is_file()}


def log_lines(path: Path, tail: str) -> list[str]:
    """The last lines that the trainer printed."""
    text = tail
    if not text and path.is_file():
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - 20_000))
            text = log.read().decode(errors="replace")
    return plain_text(text, len(text)).splitlines()[-LOG_LINES:]


class _Watch:
    """What the supervisor asks and tells, with no more questions to the database than one a second."""

    def __init__(self, work: Work) -> None:
        self._work, self._asked_at, self._stop = work, 0.0, False

    def should_stop(self) -> bool:
        if not self._stop and time.monotonic() - self._asked_at >= ASKED_EVERY_S:
            self._work.run.require_owned()
            self._stop = self._work.is_cancelled()
            self._asked_at = time.monotonic()
        return self._stop

    def show(self, progress: Progress) -> None:
        self._work.tell(
            progress=progress.fraction, points=progress.points,
            peak_memory_bytes=int(progress.memory_mb * 2**20) or None,
        )  # fmt: skip


def _found(work: Work, result: TrainingResult, digest: str, job: TrainingJob) -> dict[str, Any]:
    work.tell(*result.notes)
    return {
        "artefact": str(job.artefact), "digest": digest, "metrics": result.metrics, "rows": result.rows,
        "parameters": result.parameters or dict(job.parameters), "versions": result.versions, "device": result.device,
        "gpu_seconds": result.device_seconds if result.device != "cpu" else 0.0, "notes": result.notes,
        "peak_memory_bytes": int(result.peak_memory_mb * 2**20), "resumed_from_step": result.resumed_from_step,
        "curve": str(job.out / METRICS),
    }  # fmt: skip


def _cost(outcome: Outcome) -> dict[str, Any]:
    """Of this attempt, however it ended."""
    return {"peak_memory_bytes": int(outcome.peak_memory_mb * 2**20), "gpu_seconds": outcome.gpu_seconds}
