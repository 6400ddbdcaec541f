"""The trials of a search as Optuna keeps them: a journal beside the run's files, so that kill -9 loses none of them."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from backend.canonical import canonical_json
from backend.governance.digests import digest_of
from backend.retraining.search import Search, goal_of

if TYPE_CHECKING:
    import optuna

JOURNAL: Final = "journal.log"
SECONDS: Final = "seconds"  # of a trial, over its attempts
NOTE: Final = "note"  # why it ended as it did, where that needs words
STATES: Final = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running"}


class Study:
    """The trials of one run. Each draws from a seed of its own, so that one that is begun again draws the same."""

    def __init__(self, folder: Path, search: Search, *, name: str, seed: int, metric: str) -> None:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / JOURNAL
        _cut_half_line(path)
        self.folder, self.metric, self._search, self._seed = folder, metric, search, seed
        self.planned = search.trials
        self._study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(path), lock_obj=_lock(path))), study_name=name,
            direction=goal_of(metric), pruner=_pruner(search), load_if_exists=True,
        )  # fmt: skip

    def next(self) -> optuna.trial.Trial | None:
        """The trial that was begun and has no end, else a new one with its parameters; None when all were run."""
        from optuna.samplers import TPESampler
        from optuna.trial import Trial, TrialState

        known = self._study.get_trials(deepcopy=False)
        begun = next((one for one in known if one.state == TrialState.RUNNING), None)
        if begun is None and len(known) >= self._search.trials:
            return None
        number = len(known) if begun is None else begun.number
        self._study.sampler = TPESampler(seed=(self._seed * 1_000_003 + number) % 2**32)
        trial = self._study.ask() if begun is None else Trial(self._study, begun._trial_id)
        for name, dimension in sorted(self._search.space.items()):
            if dimension.type == "categorical":
                trial.suggest_categorical(name, [_text(one) for one in dimension.choices or ()])
            elif dimension.type == "int":
                trial.suggest_int(name, int(dimension.low or 0), int(dimension.high or 0), log=dimension.log)
            else:
                trial.suggest_float(name, dimension.low or 0.0, dimension.high or 0.0, log=dimension.log)
        return trial

    def parameters(self, drawn: Mapping[str, Any]) -> dict[str, Any]:
        """What was drawn as the trainer takes it."""
        return {
            name: json.loads(value) if self._search.space[name].type == "categorical" else value
            for name, value in drawn.items()
        }

    def twin(self, trial: optuna.trial.Trial) -> optuna.trial.FrozenTrial | None:
        """An earlier trial of the same parameters that has a value: it would only be run again."""
        return next(
            (
                one
                for one in self._study.get_trials(deepcopy=False)
                if one.number < trial.number and one.params == trial.params and one.state.name == "COMPLETE"
            ),
            None,
        )

    def tell(
        self,
        trial: optuna.trial.Trial,
        state: str,
        *,
        value: float | None = None,
        seconds: float,
        note: str = "",
    ) -> None:
        """End a trial: `COMPLETE` with its value, `PRUNED` or `FAIL`."""
        from optuna.trial import TrialState

        self.spend(trial, seconds)
        if note:
            trial.set_user_attr(NOTE, note[:500])
        self._study.tell(trial, value, state=TrialState[state])

    def spend(self, trial: optuna.trial.Trial, seconds: float) -> None:
        """Note what a trial took so far, so that its time counts after kill -9, too."""
        trial.set_user_attr(SECONDS, round(seconds, 3))

    def last_step(self, trial: optuna.trial.Trial) -> int:
        """The last step of its curve that was reported; -1 before the first."""
        last = self._study.get_trials(deepcopy=False)[trial.number].last_step
        return -1 if last is None else last

    def spent(self) -> float:
        """Seconds of all trials."""
        return sum(float(one.user_attrs.get(SECONDS, 0.0)) for one in self._study.get_trials(deepcopy=False))

    def best(self) -> optuna.trial.FrozenTrial | None:
        """The best of those that ran to their end; of equal ones the first."""
        done = [one for one in self._study.get_trials(deepcopy=False) if one.state.name == "COMPLETE"]
        sign = -1.0 if goal_of(self.metric) == "maximize" else 1.0
        return min(done, key=lambda one: (sign * float(one.value or 0.0), one.number), default=None)

    def place(self, number: int) -> Path:
        """The folder of one trial: `out` of its trainer."""
        return self.folder / f"{number:04d}"

    def failures(self) -> int:
        """How many failed without any other that did not."""
        known = [one.state.name for one in self._study.get_trials(deepcopy=False)]
        return len(known) if known and set(known) == {"FAIL"} else 0

    def rows(self) -> list[dict[str, Any]]:
        """Each trial in its order, as it is shown and kept."""
        return [
            {
                "number": one.number, "state": STATES.get(one.state.name, "running"),
                "value": one.value if one.value is None or abs(one.value) < 1e300 else None,
                "parameters": self.parameters(one.params), "seconds": one.user_attrs.get(SECONDS, 0.0),
                "step": one.last_step, "note": one.user_attrs.get(NOTE, ""),
            }
            for one in self._study.get_trials(deepcopy=False)
        ]  # fmt: skip

    def view(self, *, ended: str = "") -> dict[str, Any]:
        """All there is to tell of the search; `digest` is of what was tried and came out, not of how long it took."""
        best, rows = self.best(), self.rows()
        tried = [{name: one[name] for name in ("number", "state", "value", "parameters")} for one in rows]
        return {
            "metric": self.metric, "goal": goal_of(self.metric), "pruner": self._search.pruner, "trials": rows,
            "planned": self._search.trials, "minutes": self._search.minutes, "seconds": self.spent(),
            "chosen": None if best is None else best.number, "ended": ended, "digest": digest_of(tried),
        }  # fmt: skip


def _pruner(search: Search) -> Any:
    from optuna.pruners import HyperbandPruner, MedianPruner, NopPruner

    if search.pruner == "median":
        return MedianPruner(n_startup_trials=min(5, max(1, search.trials // 4)))
    return HyperbandPruner() if search.pruner == "hyperband" else NopPruner()


def _text(choice: Any) -> str:
    """Optuna's choices are plain values; ours may be lists, too."""
    return canonical_json(choice).decode()


def _lock(path: Path) -> Any:
    from optuna.storages.journal._file import BaseJournalFileLock

    class Lock(BaseJournalFileLock):
        """The system gives it back when this process dies; Optuna's own would hold up the next one."""

        def __init__(self) -> None:
            self._handle = -1

        def acquire(self) -> bool:
            self._handle = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._handle, fcntl.LOCK_EX)
            return True

        def release(self) -> None:
            os.close(self._handle)

    return Lock()


def _cut_half_line(path: Path) -> None:
    """What a killed writer left of a line would make the journal unreadable as soon as another follows."""
    if path.is_file():
        content = path.read_bytes()
        if content and not content.endswith(b"\n"):
            os.truncate(path, content.rfind(b"\n") + 1)
