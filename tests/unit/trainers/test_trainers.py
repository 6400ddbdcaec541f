"""Each built-in trainer: kill -9, a damaged checkpoint and cancel change nothing in the model that comes out, and the
artefact answers as the trainer did. One uninterrupted and one disturbed run a trainer, shared by the tests."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from backend.errors import BadInput
from backend.governance.artefact_files import scan_folder
from backend.serving.loader import load_estimator
from backend.serving.predictor import Predictor
from jobs.trainers.checkpoints import Checkpoints
from jobs.trainers.contract import TrainingJob
from jobs.trainers.scores import scores
from jobs.trainers.supervise import Outcome, Progress, supervise
from tests.requirements import require
from tests.unit.trainers.jobs import job_in

# Enough steps that a run can be caught in the middle; a checkpoint at nearly each.
PARAMETERS: dict[str, dict[str, Any]] = {
    "sklearn_boosting": {
        "max_iter": 40, "checkpoint_every": 2, "threads": 1, "min_samples_leaf": 10, "early_stopping_rounds": 0,
    },
    "xgboost_boosting": {"rounds": 400, "checkpoint_every": 3, "early_stopping_rounds": 0, "max_depth": 3},
    "tabular_network": {
        "max_epochs": 12, "batch_size": 16, "accumulate": 2, "hidden": [16], "embedding": 4, "bins": 7, "threads": 1,
        "log_every": 1, "checkpoint_every_s": 0.0, "rows_on": "streamed",
    },
}  # fmt: skip


@dataclass(frozen=True)
class Runs:
    job: TrainingJob
    undisturbed: Outcome
    killed: Outcome
    cancelled: Outcome
    cancel_s: float
    resumed: Outcome


@pytest.fixture(scope="module", params=sorted(PARAMETERS))
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    python = require("torch") if request.param == "tabular_network" else None
    folder = tmp_path_factory.mktemp(request.param)
    job = job_in(
        folder, request.param, deterministic=True, weight="weight", parameters=PARAMETERS[request.param]
    )
    disturbed = replace(job, out=folder / "disturbed")

    hit: list[Progress] = []

    def kill(progress: Progress) -> None:
        if len(list((disturbed.out / "checkpoints").glob("step-*"))) >= 2 and not hit:
            hit.append(progress)
            os.kill(json.loads((disturbed.out / "trainer.pid").read_text())["pid"], signal.SIGKILL)

    undisturbed = supervise(job, should_stop=lambda: False, on_progress=lambda _: None, python=python)
    killed = supervise(disturbed, should_stop=lambda: False, on_progress=kill, python=python)
    newest = max((disturbed.out / "checkpoints").glob("step-*"))
    newest.write_bytes(newest.read_bytes()[:-20])
    asked: list[float] = []

    def ask(_progress: Progress) -> None:
        asked.append(time.monotonic())

    if request.param == "tabular_network":  # in the middle of an epoch
        cancelled = supervise(disturbed, should_stop=lambda: bool(asked), on_progress=ask, python=python)
    else:
        cancelled = supervise(disturbed, should_stop=lambda: True, on_progress=ask, python=python)
        asked = [time.monotonic() - cancelled.seconds]
    cancel_s = time.monotonic() - asked[0]
    resumed = supervise(disturbed, should_stop=lambda: False, on_progress=lambda _: None, python=python)
    return Runs(job, undisturbed, killed, cancelled, cancel_s, resumed)


def test_kill_and_a_damaged_checkpoint_lose_nothing(runs: Runs) -> None:
    assert runs.undisturbed.state == "finished", f"{runs.undisturbed.message}\n{runs.undisturbed.log_tail}"
    assert (runs.killed.state, runs.killed.reason) == ("failed", "killed"), runs.killed.message
    assert "continues from the last checkpoint" in runs.killed.message
    assert runs.cancelled.state == "cancelled"
    assert runs.cancel_s < 5
    assert runs.resumed.state == "finished", f"{runs.resumed.message}\n{runs.resumed.log_tail}"
    assert runs.resumed.result is not None
    assert (runs.resumed.result.resumed_from_step or 0) > 0
    said = (runs.resumed.notes, runs.cancelled.log_tail, runs.resumed.log_tail)
    assert "does not read (its bytes are not those that were written): continued from the one of step" in str(
        said
    )
    lines = (runs.job.out.parent / "disturbed" / "metrics.jsonl").read_text().splitlines()
    steps = [json.loads(line)["step"] for line in lines]
    assert steps == sorted(steps)


def test_the_same_job_gives_the_same_bytes(runs: Runs) -> None:
    """Twice, and the second time with interruptions."""
    assert runs.resumed.digest == runs.undisturbed.digest


def test_the_artefact_answers_as_the_trainer_did(runs: Runs) -> None:
    assert runs.undisturbed.artefact is not None
    assert runs.undisturbed.result is not None
    valid = pd.read_parquet(runs.job.valid)
    model = load_estimator(runs.undisturbed.artefact)
    chances = model.predict_proba(valid[[column.name for column in runs.job.columns]])
    found = scores("binary", (valid["label"] == "1").to_numpy("int64"), chances, valid["weight"].to_numpy())
    for name, value in found.items():
        assert value == pytest.approx(runs.undisturbed.result.metrics[name], abs=1e-6), name
    assert found["roc_auc"] > 0.8
    assert scan_folder(runs.undisturbed.artefact, ()) == []


def test_the_gateway_answers_from_it(runs: Runs) -> None:
    assert runs.undisturbed.artefact is not None
    predictor = Predictor(load_estimator(runs.undisturbed.artefact), digest="", load_s=0)
    kinds: Any = {"amount": "numeric", "region": "categorical", "age": "numeric", "member": "numeric"}
    predictor.check_fits(kinds, "binary")
    rows = [{"amount": 0.5, "region": "north", "age": 40.0, "member": 1.0}, {"region": "never seen"}, {}]
    scored = predictor.score(rows, features=kinds, task="binary", cutoff=0.5)
    assert [one.prediction for one in scored] == ["1" if (one.score or 0) >= 0.5 else "0" for one in scored]
    assert scored[0].score != scored[1].score


@pytest.mark.filterwarnings("ignore")  # MLflow's own, about its type hints
def test_mlflow_loads_it_without_the_trainer(runs: Runs) -> None:
    import mlflow.pyfunc

    assert runs.undisturbed.artefact is not None
    valid = pd.read_parquet(runs.job.valid).head(20)[[column.name for column in runs.job.columns]]
    frame = valid.assign(member=valid["member"].astype("float64"))
    found = mlflow.pyfunc.load_model(str(runs.undisturbed.artefact)).predict(frame)
    assert np.allclose(found, load_estimator(runs.undisturbed.artefact).predict_proba(valid))


@pytest.mark.slow
def test_two_processes_train_one_network(tmp_path: Path) -> None:
    """By torchrun and DDP, as on several GPUs; on the CPU here. Its curve is in the unit of the target."""
    parameters = {**PARAMETERS["tabular_network"], "devices": 2, "max_epochs": 2, "precision": "bf16"}
    job = job_in(tmp_path, "tabular_network", task="regression", parameters=parameters)
    for path in (job.train, job.valid):
        pd.read_parquet(path).assign(label=lambda frame: frame["label"] * 100).to_parquet(path)
    found = supervise(job, should_stop=lambda: False, on_progress=lambda _: None, python=require("torch"))
    assert found.state == "finished", f"{found.message}\n{found.log_tail}"
    points = [json.loads(line) for line in (job.out / "metrics.jsonl").read_text().splitlines()]
    assert points[-1]["epoch"] == 2
    assert points[-1]["step"] == 2 * 9  # 600 rows by 2 processes of 16 rows, two batches a step
    assert found.result is not None
    curve = [one["metrics"]["valid_rmse"] for one in points if "valid_rmse" in one["metrics"]]
    assert min(curve) == pytest.approx(found.result.metrics["rmse"], rel=0.05)


def test_the_program_of_the_page_trains_a_model_that_the_gateway_loads(tmp_path: Path) -> None:
    text = Path("docs/retraining.md").read_text()
    (tmp_path / "train.py").write_text(text.split("```python\n")[1].split("```")[0])
    parameters = {"argv": [sys.executable, str(tmp_path / "train.py")], "settings": {"trees": 40}}
    job = job_in(tmp_path, "command", parameters=parameters)
    numbers = tuple(column for column in job.columns if column.type == "number")
    found = supervise(replace(job, columns=numbers), should_stop=lambda: False, on_progress=lambda _: None)
    assert found.state == "finished", f"{found.message}\n{found.log_tail}"
    assert found.artefact is not None
    assert load_estimator(found.artefact).n_estimators == 40


@pytest.mark.parametrize("trainer", ["sklearn_boosting", "xgboost_boosting"])
@pytest.mark.parametrize("task", ["regression", "multiclass"])
def test_other_tasks(trainer: str, task: Any, tmp_path: Path) -> None:
    """In this process: the libraries are loaded already."""
    from jobs.trainers.base import trainer_named
    from jobs.trainers.run import Run

    few = {"max_iter": 40, "min_samples_leaf": 10} if trainer == "sklearn_boosting" else {"rounds": 40}
    parameters = {**few, "threads": 1, "learning_rate": 0.2}
    job = job_in(tmp_path, trainer, task=task, parameters=parameters)
    trainer_named(trainer).train(Run(job, trainer_named(trainer)))
    valid = pd.read_parquet(job.valid)
    model = load_estimator(job.artefact)
    if task == "regression":
        assert np.corrcoef(model.predict(valid), valid["label"])[0, 1] > 0.8
    else:
        assert set(model.predict(valid)) <= {"low", "middle", "high"}
        assert (model.predict(valid) == valid["label"]).mean() > 0.6


@pytest.mark.filterwarnings("ignore")
def test_a_library_that_cannot_use_the_gpu_trains_on_the_cpu_only_where_the_job_allows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """XGBoost takes the processor by itself then, and warns where nobody looks."""
    from jobs.trainers.base import trainer_named
    from jobs.trainers.contract import TrainingResult
    from jobs.trainers.run import Run

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-that-is-not-there")
    trainer, parameters = trainer_named("xgboost_boosting"), {"rounds": 2, "threads": 1}
    job = job_in(tmp_path, "xgboost_boosting", parameters=parameters, device="gpu")
    with pytest.raises(
        BadInput, match=r"XGBoost of .* finds no GPU that it can use, and the job does not allow the CPU"
    ):
        trainer.train(Run(job, trainer))
    assert not job.artefact.exists()
    job = replace(job, device="gpu-if-present")
    trainer.train(Run(job, trainer))
    result = TrainingResult.read(job.out / "result.json")
    assert (result.device, result.device_seconds) == ("cpu", 0.0)
    assert result.notes[0].endswith("finds no GPU that it can use: trained on the CPU")


def test_every_damaged_checkpoint_is_passed_over_and_said(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path)
    for step in (1, 2, 3):
        kept.save(step, f"weights {step}".encode())
    assert len(list(tmp_path.iterdir())) == 2
    for path in tmp_path.iterdir():
        path.write_bytes(b"")
    assert kept.latest(bytes.decode) is None
    assert kept.notes == [
        "the checkpoint of step 3 does not read (its bytes are not those that were written); the checkpoint of step 2 "
        "does not read (its bytes are not those that were written): started from the beginning"
    ]


def test_what_another_rank_removed_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All ranks look for the newest sound checkpoint at once, and each removes what is damaged."""
    kept = Checkpoints(tmp_path)
    kept.save(1, b"weights")
    listed = [*kept._found(), tmp_path / f"step-0000000002-{'0' * 32}.checkpoint"]
    monkeypatch.setattr(kept, "_found", lambda: listed)
    assert kept.latest(bytes.decode) == (1, "weights")
