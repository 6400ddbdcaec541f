"""A search of hyper-parameters: the same trials again, also after kill -9; pruned by the curve; bounded in time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from backend.errors import BadInput
from backend.retraining.plan import Wish, check_plan, plan_lines, read_plan
from backend.retraining.search import read_search
from jobs.retraining.searching import Searched, SearchFailed, check_search_job, search
from jobs.retraining.study import Study
from jobs.trainers.contract import BadJob, TrainingJob
from tests.unit.trainers.jobs import job_in, program_job

SPACE: dict[str, Any] = {
    "learning_rate": {"type": "float", "low": 0.02, "high": 0.5, "log": True},
    "max_leaf_nodes": {"type": "int", "low": 2, "high": 12},
    "min_samples_leaf": {"type": "categorical", "choices": [5, 40]},
}


@dataclass
class Told:
    """What a search asks of its step: the plan, a folder, and somebody to tell."""

    folder: Path
    plan: Any
    told: list[dict[str, Any]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    retraining: Any = field(default_factory=lambda: SimpleNamespace(id="retrain-1"))
    spec: Any = field(default_factory=lambda: SimpleNamespace(task="binary"))
    on_tell: Callable[[dict[str, Any]], None] = lambda _: None

    def file(self, name: str) -> Path:
        return self.folder / name

    def tell(self, *lines: str, **more: Any) -> None:
        self.lines += lines
        self.told.append(more)
        self.on_tell(more)


def wish(**wanted: Any) -> Any:
    return Wish("sklearn_boosting", {"max_iter": 16}, search={"space": SPACE, **wanted}).plan()


def program_wish(space: dict[str, Any] = SPACE, **wanted: Any) -> Any:
    return Wish("command", {"program": "x"}, search={"space": space, **wanted}).plan()


TRAINED = """
held = out / "checkpoints" / "step-1"
held.parent.mkdir(exist_ok=True)
resumed = held.exists()
drawn = job["parameters"]["settings"]
value = abs(drawn["learning_rate"] - 0.1) + drawn["max_leaf_nodes"] / 100
for step in range(1, 4):
    line(step, valid_log_loss=value)
    held.write_text("so far")
    while (out.parents[1] / "hold").exists() and out.name == "0002" and not resumed:
        time.sleep(0.1)
finish(json.dumps({"metrics": {"log_loss": value}, "notes": ["resumed"] if resumed else []}))
"""


def run(folder: Path, wanted: Any, job: TrainingJob, **more: Any) -> tuple[Searched, Told]:
    work = Told(folder, wanted, **more)
    return search(work, job, lambda: False), work  # type: ignore[arg-type]


def tried(found: Searched) -> list[Any]:
    return [(one["number"], one["state"], one["value"], one["parameters"]) for one in found.view["trials"]]


FOUR: dict[str, Any] = {"trials": 4, "pruner": "none"}


def killed_in_trial(number: int, folder: Path) -> None:
    """Run the search here and kill -9 this process while that trial trains."""

    def look(_more: dict[str, Any]) -> None:
        if (folder / "trials" / f"{number:04d}" / "checkpoints" / "step-1").exists():
            os.kill(os.getpid(), signal.SIGKILL)

    (folder / "hold").touch()
    run(folder, program_wish(**FOUR), program_job(folder, TRAINED), on_tell=look)


def test_the_same_trials_come_again_also_where_kill_9_ended_the_worker_in_the_middle_of_one(
    tmp_path: Path,
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for folder in (whole, cut):
        folder.mkdir()
    undisturbed, work = run(whole, program_wish(**FOUR), program_job(whole, TRAINED))
    call = f"from pathlib import Path; from {__name__} import killed_in_trial; killed_in_trial(2, Path({str(cut)!r}))"
    ended = subprocess.run([sys.executable, "-c", call], check=False, capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    with (cut / "trials" / "journal.log").open("ab") as journal:
        journal.write(b'{"op_code": 4, "wor')  # half a line, as a killed writer leaves it
    found, _ = run(cut, program_wish(**FOUR), program_job(cut, TRAINED))

    assert tried(found) == tried(undisturbed)
    assert [one["number"] for one in found.view["trials"]] == [0, 1, 2, 3], (
        "none is lost, none is there twice"
    )
    assert {one["state"] for one in found.view["trials"]} == {"complete"}
    same = ("chosen", "digest", "ended")
    assert [found.view[name] for name in same] == [undisturbed.view[name] for name in same]
    told = [json.loads((cut / "trials" / f"{one:04d}" / "result.json").read_text()) for one in range(4)]
    assert [one["notes"] for one in told] == [[], [], ["resumed"], []], "it went on from its checkpoint"
    best = min(found.view["trials"], key=lambda one: one["value"])
    assert best["number"] == found.view["chosen"]
    assert best["parameters"] == found.job.parameters["settings"]
    assert found.job.artefact.is_dir()
    assert len(list((cut / "trials").glob("*/artefact"))) == 1, "one model is kept"
    for place in (cut / "trials").glob("0*"):
        job = json.loads((place / "job.json").read_text())
        assert (Path(job["train"]).name, Path(job["valid"]).name) == ("train.parquet", "valid.parquet")
    assert any("is taken" in line for line in work.lines)
    again, _ = run(cut, program_wish(**FOUR), program_job(cut, TRAINED))
    assert again.view["trials"] == found.view["trials"], "what is over is not run again"


PRUNED = """
value = job["parameters"]["settings"]["loss"]
for step in range(1, 6):
    line(step, valid_log_loss=value)
finish('{"metrics": {"log_loss": %s}}' % value)
"""


def test_a_trial_whose_curve_falls_behind_is_pruned_however_soon_its_lines_are_seen(tmp_path: Path) -> None:
    job = program_job(tmp_path, PRUNED)
    space = {"loss": {"type": "float", "low": 0.1, "high": 0.9}}
    wanted = program_wish(space, trials=8)
    found, _ = run(tmp_path, wanted, job)
    states = {one["state"] for one in found.view["trials"]}
    assert states == {"complete", "pruned"}
    first = found.view["trials"][:2]
    assert [one["state"] for one in first] == ["complete"] * 2, "there is nothing yet to fall behind"
    worst = max(one["value"] for one in first)
    assert all(one["state"] == "pruned" for one in found.view["trials"][2:] if one["value"] > worst)
    assert found.job.parameters["settings"] == {"loss": min(one["value"] for one in found.view["trials"])}


def test_the_same_parameters_are_not_trained_twice(tmp_path: Path) -> None:
    job = program_job(tmp_path, 'finish(\'{"metrics": {"log_loss": 0.5}}\')\n')
    space = {"loss": {"type": "categorical", "choices": [[1, 2]]}}
    wanted = program_wish(space, trials=3)
    found, _ = run(tmp_path, wanted, job)
    assert found.view["trials"][0]["parameters"] == {"loss": [1, 2]}
    assert [one["note"] for one in found.view["trials"][1:]] == ["the same parameters as trial 0"] * 2
    assert len(list((tmp_path / "trials").glob("0*"))) == 1


def test_a_search_ends_by_its_minutes_and_says_so_and_failures_end_it_in_words(tmp_path: Path) -> None:
    space = {"a": {"type": "float", "low": 0, "high": 1}}
    slow, bad = tmp_path / "slow", tmp_path / "bad"
    slow.mkdir()
    bad.mkdir()
    wanted = program_wish(space, trials=5, minutes=0.01)
    with pytest.raises(SearchFailed, match=r"its 0\.01 minutes were over.*the time of the search was over"):
        run(slow, wanted, program_job(slow, "time.sleep(60)\n"))
    wanted = program_wish(space, trials=9)
    with pytest.raises(
        SearchFailed, match=r"they failed\. The last one: the trainer ended with exit code 3"
    ) as failed:
        run(bad, wanted, program_job(bad, "sys.exit(3)\n"))
    assert len(failed.value.details["result"]["search"]["trials"]) == 3, "no other would do better"


def test_a_trial_that_cannot_be_started_ends_the_search_and_spends_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run took the GPU between two trials: the best of two is no best of twenty."""
    monkeypatch.setattr("jobs.trainers.devices.asked_gpus", lambda: ([], "there is no GPU on this host"))
    body = 'finish(\'{"metrics": {"log_loss": 0.5}}\')\n'
    wanted = program_wish({"a": {"type": "float", "low": 0, "high": 1}}, trials=2)
    with pytest.raises(SearchFailed, match="there is no GPU on this host") as failed:
        run(tmp_path, wanted, program_job(tmp_path, body, device="gpu"))
    assert [one["state"] for one in failed.value.details["result"]["search"]["trials"]] == ["running"]
    found, _ = run(tmp_path, wanted, program_job(tmp_path, body))
    assert [one["state"] for one in found.view["trials"]] == ["complete", "complete"]


def test_a_space_that_does_not_fit_is_refused_before_anything_is_spent(tmp_path: Path) -> None:
    job = job_in(tmp_path, "sklearn_boosting")
    with pytest.raises(BadJob, match=r"parameters\.learning_rate: 50\.0 is outside"):
        check_search_job(
            read_search({"space": {"learning_rate": {"type": "float", "low": 0.1, "high": 50}}}), job
        )
    with pytest.raises(BadJob, match="has no depth"):
        check_search_job(read_search({"space": {"depth": {"type": "int", "low": 1, "high": 5}}}), job)
    for wrong, said in (
        ({"space": {}}, r"search\.space"),
        ({"space": {"a": {"type": "int", "low": 1.5, "high": 3}}}, r"search\.space\.a: .*whole numbers"),
        ({"space": {"a": {"type": "float", "low": 0, "high": 3, "log": True}}}, "low has to be above 0"),
        ({"space": {"a": {"type": "float", "low": 3, "high": 3}}}, "low has to be below high"),
        ({"space": {"a": {"type": "categorical", "choices": [1, 1]}}}, "a choice is there twice"),
        ({"space": SPACE, "trials": 0}, r"search\.trials"),
        ({"space": SPACE, "pruner": "best"}, r"search\.pruner"),
    ):
        with pytest.raises(BadInput, match=said):
            read_search(wrong)
    with pytest.raises(BadInput, match="a binary model has no rmse"):
        check_plan(wish(metric="rmse"), "binary")
    both = Wish("sklearn_boosting", {"learning_rate": 0.1}, search={"space": SPACE}).plan()
    with pytest.raises(BadInput, match="learning_rate is also set in parameters"):
        check_plan(both, "binary")


def test_a_plan_binds_its_search_and_costs_at_most_its_minutes() -> None:
    with_search = wish(trials=7, minutes=90)
    assert with_search.hours == 1.5
    assert with_search.as_dict()["search"]["trials"] == 7
    assert read_plan(with_search.as_dict()) == with_search
    assert any(
        line.startswith("search: up to 7 trials within 90 min by the loss")
        for line in plan_lines(with_search)
    )
    assert "search" not in Wish("sklearn_boosting").plan().as_dict()


def test_a_search_upwards_takes_the_largest_value(tmp_path: Path) -> None:
    study = Study(
        tmp_path, read_search({"space": SPACE, "metric": "roc_auc"}), name="s", seed=1, metric="roc_auc"
    )
    for value in (0.7, 0.9, 0.8):
        trial = study.next()
        assert trial is not None
        study.tell(trial, "COMPLETE", value=value, seconds=1.0)
    best = study.best()
    assert best is not None
    assert (best.number, study.spent()) == (1, 3.0)
