"""The job file: what is written reads back, and what is wrong is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jobs.trainers.base import trainer_named, trainers
from jobs.trainers.contract import BadJob, BadResult, TrainingJob, TrainingResult
from tests.unit.trainers.jobs import job_in


def test_a_job_reads_back_as_it_was_written(tmp_path: Path) -> None:
    job = job_in(
        tmp_path, "xgboost_boosting", weight="weight", parameters={"rounds": 3}, device="gpu-if-present"
    )
    assert TrainingJob.read(job.write(tmp_path / "job.json")) == job


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"task": "ranking"}, "task: 'ranking' is none of binary, regression, multiclass"),
        ({"columns": []}, "columns: a model needs at least one feature"),
        (
            {"columns": [{"name": "a", "type": "text"}]},
            "columns[0].type: 'text' is none of number, category, boolean",
        ),
        ({"columns": [{"name": "label", "type": "number"}]}, "target: label is also a feature"),
        ({"seed": "7"}, "seed: has to be a whole number, got text"),
        ({"resume": 1}, "resume: has to be true or false, got a whole number"),
        ({"limits": {"wall_s": 0}}, "limits.wall_s: has to be a number above 0, got 0"),
        ({"limits": {"cpu": 1}}, "limits: there is no cpu; there are wall_s, memory_mb, heartbeat_s"),
        ({"schema": 9}, "schema: the job is of version 9"),
        ({"colour": 1}, "there is no field colour"),
        ({"device": "tpu"}, "device: 'tpu' is none of cpu, gpu, gpu-if-present"),
        ({"target": None}, "target: has to be text, got null"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = tmp_path / "job.json"
    path.write_text(json.dumps(job_in(tmp_path, "command").as_document() | change))
    with pytest.raises(BadJob) as refused:
        TrainingJob.read(path)
    assert said in refused.value.message


def test_parameters_are_checked_before_anything_starts(tmp_path: Path) -> None:
    trainer = trainer_named("xgboost_boosting")
    for parameters, said in (
        ({"round": 3}, "parameters: xgboost_boosting has no round; it has checkpoint_every"),
        ({"rounds": "3"}, 'parameters.rounds: "3" does not fit; the default is 600'),
        (
            {"subsample": 2},
            "parameters.subsample: 2.0 is outside what is possible: at least 0.01 and at most 1",
        ),
        ({"subsample": float("nan")}, "parameters.subsample: nan is no finite number"),
    ):
        with pytest.raises(BadJob) as refused:
            trainer.parameters_of(job_in(tmp_path, "xgboost_boosting", parameters=parameters))
        assert said in refused.value.message
    with pytest.raises(BadJob, match="there is no 'lightgbm'; there are command"):
        trainer_named("lightgbm")


def test_every_trainer_is_one_file_of_its_name() -> None:
    assert {"command", "sklearn_boosting", "tabular_network", "xgboost_boosting"} <= set(trainers())
    for name in trainers():
        assert (Path("jobs/trainers") / f"{name}.py").is_file()


def test_the_page_lists_every_parameter_with_its_default() -> None:
    text = Path("docs/retraining.md").read_text()
    for trainer in trainers().values():
        table = text.split(f"### `{trainer.name}`")[1].split("\n##")[0]
        for name, parameter in trainer.parameters.items():
            assert f"| `{name}` | `{json.dumps(parameter.default)}` | {parameter.words} |" in table


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", '"metrics" has to be an object of numbers, got null'),
        ('{"metrics": {"auc": "high"}}', '"metrics" has to be an object of numbers'),
        ('{\n"metrics": {\n', "result.json line 2 is not JSON"),
        ('{"metrics": {}, "seconds": "long"}', "'seconds' does not read"),
        ("[]", "holds a list; it has to be one JSON object"),
        ('{"metrics": {}, "parameters": {"rate": NaN}}', "'parameters' does not read"),
        ('{"metrics": {}, "versions": {"x": "\\ud800"}}', "'versions' does not read"),
        ('{"metrics": {}, "rows": {"train": "many"}}', "'rows' does not read"),
        ('{"metrics": {}, "device_seconds": 1e999}', "'device_seconds' does not read"),
        ("[" * 100_000, "is not JSON"),
        ('{"metrics": {}}' + " " * (1 << 20), "has more than 1,048,576 bytes"),
    ],
)
def test_a_result_that_does_not_read_says_where(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "result.json"
    path.write_text(text)
    with pytest.raises(BadResult) as refused:
        TrainingResult.read(path)
    assert said in refused.value.message


def test_a_metric_that_is_no_number_is_left_out_and_notes_are_text(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text(
        '{"metrics": {"auc": 0.7, "r2": NaN, "loss": 1e999}, "notes": [1, "a\\u0000b", {"c": 2}]}'
    )
    found = TrainingResult.read(path)
    assert found.metrics == {"auc": 0.7}
    assert found.notes == ["1", "a\N{REPLACEMENT CHARACTER}b", "{'c': 2}"]
