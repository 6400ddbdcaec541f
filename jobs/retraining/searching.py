"""A search of hyper-parameters: one supervised trainer after the other, each on training and validation rows alone."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from backend.errors import WarrantError
from backend.retraining.search import Search
from backend.retraining.trainers import PROGRAM_TRAINER
from jobs.retraining.study import SECONDS, Study
from jobs.retraining.work import TRIALS, RetrainingCancelled, Work
from jobs.trainers.base import trainer_named
from jobs.trainers.contract import CHECKPOINTS, TrainingJob
from jobs.trainers.following import MetricsFile
from jobs.trainers.supervise import Outcome, Progress, supervise

if TYPE_CHECKING:
    import optuna

NOTED_EVERY_S: Final = 5.0
MOST_FAILURES: Final = 3  # in a row from the first trial on: no other would do better
LOSSES: Final = ("log_loss", "rmse")  # what trainers call `valid_loss`


class SearchFailed(WarrantError):
    """No trial came to its end, or one could not be started."""

    title = "Search failed"


@dataclass(frozen=True)
class Searched:
    """The job whose artefact is the best trial's, and what to tell of all of them."""

    job: TrainingJob
    view: dict[str, Any]


def check_search_job(search: Search, job: TrainingJob) -> None:
    """Raises `BadJob` where the trainer does not take some value of the space: before a row is read."""
    if job.trainer == PROGRAM_TRAINER:
        return  # a program reads its settings itself
    for name, dimension in search.space.items():
        for value in dimension.ends():
            trainer_named(job.trainer).parameters_of(_with(job, {name: value}))


def search(work: Work, job: TrainingJob, should_stop: Callable[[], bool]) -> Searched:
    """Run the trials that are left and give the best one's job. What ended before kill -9 is not run again, and the
    trial that was under way goes on from its checkpoint."""
    wanted = work.plan.search
    assert wanted is not None  # noqa: S101 - asked for
    study = Study(
        work.file(TRIALS),
        wanted,
        name=work.retraining.id,
        seed=work.plan.seed,
        metric=wanted.metric_for(work.spec.task),
    )
    work.tell(found={"search": study.view()})
    ended = "all trials were run"
    while (left := wanted.minutes * 60 - study.spent()) > 0 and (trial := study.next()) is not None:
        _Attempt(work, study, trial, job, should_stop, left).run()
        _tidy(study)
        work.tell(_line(study.rows()[trial.number], study.metric), found={"search": study.view()})
        if study.failures() >= MOST_FAILURES:
            break
    if left <= 0:
        ended = f"its {wanted.minutes:g} minutes were over"
    best = study.best()
    if best is None:
        notes = [one["note"] for one in study.rows() if one["note"]]
        raise SearchFailed(
            f"no trial of the search came to its end; {ended if left <= 0 else 'they failed'}"
            + (f". The last one: {notes[-1]}" if notes else ""),
            result={"search": study.view(ended=ended)},
        )
    work.tell(f"trial {best.number} is taken: {study.metric} {best.value:.5g}; {ended}")
    return Searched(_job_of(study, job, best.number, study.parameters(best.params)), study.view(ended=ended))


class _Attempt:
    """One trial from its start to its end."""

    def __init__(
        self, work: Work, study: Study, trial: optuna.trial.Trial, job: TrainingJob, should_stop: Callable[[], bool],
        left: float,
    ) -> None:  # fmt: skip
        self._work, self._study, self._trial, self._asked, self._left = work, study, trial, should_stop, left
        self._job = _job_of(study, job, trial.number, study.parameters(trial.params))
        self._before = float(trial.user_attrs.get(SECONDS, 0.0))
        self._begun = self._noted = time.monotonic()
        self._curve = _Curve(trial, study.metric, study.last_step(trial))

    def run(self) -> None:
        """Train, and tell the study how it ended. Raises `RetrainingCancelled` where somebody asked for that."""
        twin = self._study.twin(self._trial)
        if twin is not None:
            self._study.tell(
                self._trial,
                "COMPLETE",
                value=twin.value,
                seconds=0.0,
                note=f"the same parameters as trial {twin.number}",
            )
            return
        self._curve.follow(curve_points(self._job))
        outcome = supervise(self._job, should_stop=self._should_stop, on_progress=self._show)
        self._work.tell(
            peak_memory_bytes=int(outcome.peak_memory_mb * 2**20) or None, gpu_seconds=outcome.gpu_seconds
        )
        if outcome.state == "cancelled" and not self._over() and not self._curve.pruned:
            self._study.spend(self._trial, self._seconds())
            raise RetrainingCancelled(outcome.message, result={"search": self._study.view()})
        if outcome.reason == "refused" and not outcome.seconds:
            # It was not started, as where another run has the GPU: the others would be spent in a moment, untried.
            raise SearchFailed(outcome.message, result={"search": self._study.view()})
        # In their order and all of them: what is pruned does not depend on how soon a line was seen.
        self._curve.follow(curve_points(self._job))
        self._tell(outcome)

    def _tell(self, outcome: Outcome) -> None:
        value = outcome.result.metrics.get(self._study.metric) if outcome.result is not None else None
        if self._curve.pruned:
            self._study.tell(self._trial, "PRUNED", seconds=self._seconds())
        elif outcome.state == "finished" and value is not None:
            self._study.tell(self._trial, "COMPLETE", value=value, seconds=self._seconds())
        else:
            why = (
                "the time of the search was over" if outcome.state == "cancelled"
                else f"its result gives no {self._study.metric}" if outcome.state == "finished" else outcome.message
            )  # fmt: skip
            self._study.tell(self._trial, "FAIL", seconds=self._seconds(), note=why)

    def _seconds(self) -> float:
        return self._before + time.monotonic() - self._begun

    def _over(self) -> bool:
        return time.monotonic() - self._begun > self._left

    def _should_stop(self) -> bool:
        if time.monotonic() - self._noted > NOTED_EVERY_S:
            self._noted = time.monotonic()
            self._study.spend(self._trial, self._seconds())
        return self._asked() or self._curve.pruned or self._over()

    def _show(self, progress: Progress) -> None:
        self._curve.follow(progress.points)
        done = (self._trial.number + (progress.fraction or 0.0)) / self._study.planned
        self._work.tell(progress=done, peak_memory_bytes=int(progress.memory_mb * 2**20) or None)


class _Curve:
    """Reports the lines of metrics.jsonl of a trial, each step once, and says whether it fell behind."""

    def __init__(self, trial: optuna.trial.Trial, metric: str, last: int) -> None:
        """`last`: the step that an attempt before this one reported, -1 for none."""
        self._trial, self._last = trial, last
        self._names = (f"valid_{metric}", metric, *(("valid_loss",) if metric in LOSSES else ()))
        self.pruned = last >= 0 and trial.should_prune()

    def follow(self, points: Sequence[dict[str, Any]]) -> None:
        for point in points:
            found = next((point["metrics"][name] for name in self._names if name in point["metrics"]), None)
            if found is None or point["step"] <= self._last or self.pruned:
                continue
            self._last = point["step"]
            self._trial.report(found, point["step"])
            self.pruned = self._trial.should_prune()


def curve_points(job: TrainingJob) -> list[dict[str, Any]]:
    """The whole curve of a trial, as far as it reads."""
    following, found = MetricsFile(job.out), []
    try:
        while more := following.read():
            found += more
    except WarrantError:  # the supervisor has said that they do not read
        return found
    return found


def _job_of(study: Study, job: TrainingJob, number: int, drawn: dict[str, Any]) -> TrainingJob:
    return replace(_with(job, drawn), run_id=f"{job.run_id}-trial-{number}", out=study.place(number))


def _with(job: TrainingJob, drawn: dict[str, Any]) -> TrainingJob:
    """The job with what was drawn: as parameters, or as settings of a program."""
    if job.trainer != PROGRAM_TRAINER:
        return replace(job, parameters={**job.parameters, **drawn})
    return replace(
        job, parameters={**job.parameters, "settings": {**job.parameters.get("settings", {}), **drawn}}
    )


def _tidy(study: Study) -> None:
    """Keep the model of the best trial alone, and no checkpoints of those that are over."""
    best = study.best()
    for one in study.rows():
        place = study.place(one["number"])
        if one["state"] == "running":
            continue
        shutil.rmtree(place / CHECKPOINTS, ignore_errors=True)
        if best is None or one["number"] != best.number:
            shutil.rmtree(place / "artefact", ignore_errors=True)


def _line(row: dict[str, Any], metric: str) -> str:
    value = "" if row["value"] is None else f", {metric} {row['value']:.5g}"
    drawn = ", ".join(f"{name}={_short(one)}" for name, one in sorted(row["parameters"].items()))
    return f"trial {row['number']}: {row['state']}{value}; {drawn}" + (
        f" ({row['note']})" if row["note"] else ""
    )


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
