"""Versions are trained on what was known, recorded in MLflow, and load only unaltered."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from backend.errors import BadInput
from backend.monitoring.columns import ModelSpec
from backend.registry.artefacts import ArtefactAltered, artefact_digest, file_digest
from backend.serving.loader import load_estimator
from jobs.demo import training
from jobs.demo.flights import ServingPeriod

FROM, TO = datetime(2015, 1, 1, tzinfo=UTC), datetime(2015, 2, 10, tzinfo=UTC)
END = datetime(2015, 2, 25, tzinfo=UTC)
SMALL = {"max_iter": 20}


@pytest.fixture(scope="module")
def answers(people: pd.DataFrame) -> pd.DataFrame:
    return people[people["ts"] < pd.Timestamp(2015, 3, 1, tz="UTC")]


@pytest.fixture(scope="module")
def trained(
    answers: pd.DataFrame, census_spec: ModelSpec, tmp_path_factory: pytest.TempPathFactory
) -> training.Trained:
    folder = tmp_path_factory.mktemp("trained")
    return training.train(answers, census_spec, folder, trained_from=FROM, trained_to=TO, params=SMALL)


def test_reference_is_the_held_out_days_with_their_scores(
    trained: training.Trained, answers: pd.DataFrame, census_spec: ModelSpec
) -> None:
    reference = pd.read_parquet(trained.reference_path)
    assert file_digest(trained.reference_path) == trained.reference_digest
    assert len(reference) == trained.training["held_out_rows"]
    days = training.day_number(reference["ts"], census_spec.timezone)
    assert set(days % training.HELD_OUT_EVERY) == {0}
    in_period = answers[answers["ts"] < TO]
    assert trained.training["rows"] + len(reference) == len(in_period)
    assert ((reference["score"] >= census_spec.cutoff) == (reference["prediction"] == "1")).all()
    assert set(reference["ts"].dt.weekday) == set(range(7))


def test_held_out_metrics_have_an_interval_around_them(trained: training.Trained) -> None:
    auc = trained.metrics["roc_auc"]
    assert 0.8 < auc["low"] < auc["value"] < auc["high"] < 1.0
    assert auc["rows"] == trained.training["held_out_rows"]


def test_metrics_equal_scikit_learns(trained: training.Trained, census_spec: ModelSpec) -> None:
    from sklearn.metrics import brier_score_loss, f1_score, roc_auc_score

    reference = pd.read_parquet(trained.reference_path)
    label, score = (reference["label"] == "1").astype(int), reference["score"]
    assert trained.metrics["roc_auc"]["value"] == pytest.approx(roc_auc_score(label, score))
    assert trained.metrics["brier"]["value"] == pytest.approx(brier_score_loss(label, score))
    assert trained.metrics["f1"]["value"] == pytest.approx(f1_score(label, score >= census_spec.cutoff))


def test_intervals_of_rows_that_go_together_are_wider(trained: training.Trained) -> None:
    """Twenty copies of each row, as one group, are no more evidence than the row; as rows they would be."""
    reference = pd.read_parquet(trained.reference_path).head(500)
    label = np.repeat((reference["label"] == "1").to_numpy(dtype=int), 20)
    score = np.repeat(reference["score"].to_numpy(), 20)
    together = training.held_out_metrics(label, score, np.repeat(np.arange(500), 20), 0.5)["roc_auc"]
    alone = training.held_out_metrics(label, score, np.arange(10_000), 0.5)["roc_auc"]
    assert together["high"] - together["low"] > 3 * (alone["high"] - alone["low"])


def test_a_label_that_was_not_known_yet_is_not_learned_from(
    answers: pd.DataFrame, census_spec: ModelSpec, trained: training.Trained, tmp_path: Path
) -> None:
    late = answers.copy()
    held_back = late["ts"] >= datetime(2015, 1, 20, tzinfo=UTC)
    late.loc[held_back, "label_ts"] = pd.Timestamp(TO)
    fewer = training.train(late, census_spec, tmp_path, trained_from=FROM, trained_to=TO, params=SMALL)
    known = fewer.training["rows"] + fewer.training["held_out_rows"]
    assert known == (answers["ts"] < datetime(2015, 1, 20, tzinfo=UTC)).sum()
    assert fewer.training["digest"] != trained.training["digest"]


def test_training_twice_gives_the_same_scores_and_digests(
    answers: pd.DataFrame, census_spec: ModelSpec, trained: training.Trained, tmp_path: Path
) -> None:
    again = training.train(answers, census_spec, tmp_path, trained_from=FROM, trained_to=TO, params=SMALL)
    assert again.training == trained.training
    assert again.metrics == trained.metrics
    pd.testing.assert_frame_equal(
        pd.read_parquet(again.reference_path), pd.read_parquet(trained.reference_path)
    )


def test_a_period_with_one_class_is_refused(
    answers: pd.DataFrame, census_spec: ModelSpec, tmp_path: Path
) -> None:
    employed = answers[answers["label"] == "1"]
    with pytest.raises(BadInput, match="lacks a class"):
        training.train(employed, census_spec, tmp_path, trained_from=FROM, trained_to=TO)


def _scored(trained: training.Trained, frame: pd.DataFrame, spec: ModelSpec) -> np.ndarray:
    return training.score(trained.folder, frame, spec, digest=artefact_digest(trained.folder))


def test_unseen_categories_and_missing_values_are_scored(
    trained: training.Trained, answers: pd.DataFrame, census_spec: ModelSpec
) -> None:
    names = [column.name for column in census_spec.features]
    one = answers.iloc[0][names].to_dict()
    rows = pd.DataFrame([one, one | {"SCHL": "never seen"}, dict.fromkeys(names), one | {"AGEP": None}])
    scores = _scored(trained, rows, census_spec)
    assert scores.shape == (4,)
    assert ((scores > 0) & (scores < 1)).all()


def test_a_missing_or_unreadable_feature_is_named(
    trained: training.Trained, answers: pd.DataFrame, census_spec: ModelSpec
) -> None:
    with pytest.raises(BadInput, match="AGEP"):
        _scored(trained, answers.head(2).drop(columns="AGEP"), census_spec)
    with pytest.raises(BadInput, match="AGEP"):
        _scored(trained, answers.head(2).assign(AGEP="old"), census_spec)


# Importing MLflow warns of its own type hints and its own deprecated SQLAlchemy mapping.
@pytest.mark.filterwarnings("ignore")
def test_versions_are_registered_in_mlflow_and_load_only_unaltered(
    trained: training.Trained, answers: pd.DataFrame, census_spec: ModelSpec, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://operator.example")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    artefacts = tmp_path / "artefacts"
    first, again = (
        training.log_version(
            trained, census_spec, model="employment-ma", tracking_uri=uri, artefacts=artefacts
        )
        for _ in range(2)
    )
    assert first == again
    assert first.version == 1
    assert os.environ["MLFLOW_TRACKING_URI"] == "http://operator.example", "what an operator set stays"
    second = replace(first, version=2)
    assert Path(first.uri).is_relative_to(artefacts)

    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    registered = client.get_model_version("employment-ma", "1")
    assert registered.run_id == first.run_id
    assert registered.tags["artefact_digest"] == first.artefact_digest
    run = client.get_run(first.run_id)
    assert run.data.params["max_iter"] == "20"
    assert run.data.metrics["roc_auc"] == pytest.approx(trained.metrics["roc_auc"]["value"])
    assert run.data.tags["training_digest"] == trained.training["digest"]
    requirements = (Path(first.uri) / "requirements.txt").read_text()
    assert "scikit-learn==" in requirements
    assert "skops==" in requirements

    some = answers.head(200)
    scores = training.score(Path(first.uri), some, census_spec, digest=first.artefact_digest)
    reference = pd.read_parquet(first.reference_path).head(200)
    np.testing.assert_allclose(
        training.score(Path(first.uri), reference, census_spec, digest=first.artefact_digest),
        reference["score"],
    )
    assert len(scores) == 200
    by_gateway = load_estimator(Path(first.uri)).predict_proba(training.model_input(some, census_spec))[:, 1]
    np.testing.assert_array_equal(by_gateway, scores)

    middle = datetime(2015, 2, 20, tzinfo=UTC)
    periods = [ServingPeriod(1, FROM, TO, TO, middle), ServingPeriod(2, FROM, TO, middle, END)]
    history = training.score_history(answers, census_spec, periods, {1: first, 2: second})
    assert len(history) == ((answers["ts"] >= TO) & (answers["ts"] < END)).sum()
    assert (history["version"] == np.where(history["ts"] < middle, 1, 2)).all()
    assert ((history["score"] >= first.cutoff) == (history["prediction"] == "1")).all()

    model = Path(first.uri) / training.MODEL_FILE
    altered = bytearray(model.read_bytes())
    altered[len(altered) // 2] ^= 1
    model.write_bytes(altered)
    with pytest.raises(ArtefactAltered):
        training.score(Path(first.uri), some, census_spec, digest=first.artefact_digest)
