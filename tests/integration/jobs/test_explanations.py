"""SHAP of real pipelines: exact where trees allow it, honest where they do not; stored and read by viewers."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from backend.audit.actions import Action
from backend.monitoring.columns import ModelSpec, parse_spec
from jobs.compute_shap import explain
from jobs.demo.training import build_pipeline, model_input
from jobs.explaining import prepare


@pytest.fixture(scope="module", autouse=True)
def shap() -> None:
    """Imported once, outside the rule that warnings are errors: its plots use what matplotlib deprecates."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import shap  # noqa: F401


NUMERIC = {"distance": "numeric", "temp": "numeric", "noise": "numeric"}
PARAMETERS = {"max_iter": 40, "max_leaf_nodes": 8, "random_state": 1}


def rows(count: int) -> tuple[pd.DataFrame, np.ndarray]:
    draw = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "carrier": draw.choice(list("ABCD"), count).astype(object),
            "distance": draw.normal(size=count),
            "temp": draw.normal(size=count),
            "noise": draw.normal(size=count),
        }
    )
    frame.loc[::17, "carrier"] = None
    frame.loc[::23, "temp"] = np.nan
    odds = 2 * frame.distance - 0.8 * frame.temp.fillna(0) + 3 * (frame.carrier == "B")
    return frame, (draw.uniform(size=count) < 1 / (1 + np.exp(-odds))).astype("int8").to_numpy()


def trained(features: dict[str, str]) -> tuple[object, pd.DataFrame, ModelSpec]:
    spec = parse_spec({"task": "binary", "features": features})
    frame, label = rows(1500)
    pipeline = build_pipeline(spec, PARAMETERS)
    pipeline.fit(model_input(frame, spec), label)
    return pipeline, frame, spec


def test_trees_on_thresholds_are_explained_exactly() -> None:
    pipeline, frame, spec = trained(NUMERIC)
    found = explain(prepare(pipeline, frame, spec), frame, spec, model="m", version=1)
    assert found.method == "shap TreeExplainer, exact"
    assert found.rows == 1500
    by_column = {one.column: one for one in found.contributions}
    assert [one.column for one in found.contributions] == ["distance", "temp", "noise"]
    assert by_column["distance"].direction > 0.9
    assert by_column["temp"].direction < -0.9


def test_trees_on_sets_of_categories_are_not_read_as_thresholds() -> None:
    """shap 0.51 reads the sets as thresholds and says nothing; its values then do not add up to the output."""
    pipeline, frame, spec = trained({"carrier": "categorical", **NUMERIC})
    found = explain(prepare(pipeline, frame, spec), frame, spec, model="m", version=1)
    assert found.method.startswith("shap PermutationExplainer, 50 background rows")
    assert found.rows == 200
    by_column = {one.column: one for one in found.contributions}
    assert by_column["carrier"].direction is None
    assert by_column["carrier"].mean_abs > by_column["temp"].mean_abs > by_column["noise"].mean_abs
    assert by_column["distance"].direction > 0.8
    assert explain(prepare(pipeline, frame, spec), frame, spec, model="m", version=1) == found


def test_a_stored_row_has_the_librarys_own_values_and_they_sum_to_the_answer() -> None:
    import shap
    import xgboost

    from backend.serving.portable import XGBoostModel, feature_types, fitted_encoder

    pipeline, frame, spec = trained(NUMERIC)
    found = prepare(pipeline, frame, spec).explain(frame.head(50))
    matrix = pipeline[:-1].transform(model_input(frame.head(50), spec))
    assert np.array_equal(found.values, shap.TreeExplainer(pipeline[-1]).shap_values(matrix))
    output = pipeline.decision_function(model_input(frame.head(50), spec))
    assert np.allclose(found.base[0] + found.values.sum(axis=1), output, atol=1e-6)

    spec = parse_spec({"task": "binary", "features": {"carrier": "categorical", **NUMERIC}})
    encoder = fitted_encoder(frame, [("carrier", "category"), *((name, "number") for name in NUMERIC)])
    rows_of = xgboost.DMatrix(
        encoder.matrix(frame),
        label=rows(1500)[1],
        feature_types=feature_types(encoder),
        enable_categorical=True,
    )
    booster = xgboost.train(
        {"objective": "binary:logistic", "max_cat_to_onehot": 1, "nthread": 1}, rows_of, 10
    )
    model = XGBoostModel(encoder, "binary", ["0", "1"], booster)
    prepared = prepare(model, frame, spec)
    assert (prepared.way.kind, prepared.unit) == ("tree", "log-odds")
    found = prepared.explain(frame)
    assert np.allclose(found.values, booster.predict(rows_of, pred_contribs=True)[:, :-1])
    assert found.adds_up
    assert np.abs(found.gap).max() < 1e-4


def test_values_that_do_not_add_up_are_not_taken_and_it_is_said() -> None:
    pipeline, frame, spec = trained({"carrier": "categorical", **NUMERIC})
    prepared = prepare(pipeline, frame, spec)
    assert prepared.way.kind == "permutation"
    assert "not TreeExplainer, whose values do not add up" in prepared.method
    assert prepared.background_digest == prepare(pipeline, frame, spec).background_digest
    assert prepared.background_digest.startswith("sha256:")
    assert prepared.explain(frame.head(20)).adds_up


def test_a_pipeline_that_makes_several_numbers_of_a_column_is_asked_through_its_columns() -> None:
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    spec = parse_spec(
        {"task": "binary", "features": {"carrier": "categorical", "distance": "numeric", "noise": "numeric"}}
    )
    frame, label = rows(800)
    pipeline = make_pipeline(
        make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore"), ["carrier"]), remainder="passthrough"
        ),
        LogisticRegression(),
    ).fit(model_input(frame, spec), label)
    found = explain(prepare(pipeline, frame, spec), frame, spec, model="m", version=1)
    by_column = {one.column: one for one in found.contributions}
    assert set(by_column) == {"carrier", "distance", "noise"}
    # a linear model's SHAP value is coefficient x (value - background mean), so the correlation is 1
    assert by_column["distance"].direction == pytest.approx(1.0, abs=1e-6)
    weight = pipeline[-1].coef_[0][-2]
    used = frame.sample(200, random_state=7).distance
    behind = frame.sample(50, random_state=8).distance
    assert by_column["distance"].mean_abs == pytest.approx(
        float(np.abs(weight * (used - behind.mean())).mean()), rel=1e-6
    )


@pytest.mark.slow
def test_the_job_explains_a_registered_version_and_viewers_read_it(
    database: str, tmp_path: Path, start_worker, registered_version
) -> None:
    from backend.database.session import reading, writing
    from backend.errors import NotAllowed
    from backend.explain.service import find_explanation, request_explanation
    from backend.identity.actor import Actor
    from backend.identity.roles import Role
    from tests.integration.jobs.conftest import run_of, wait_for
    from tests.integration.jobs.test_workers import entries

    pipeline, frame, _ = trained(NUMERIC)
    registered_version(pipeline, frame.assign(score=0.5, prediction="0", label="0"), NUMERIC)
    engineer = Actor("system:test", "system", frozenset({Role.ML_ENGINEER}))
    with writing() as session:
        run = request_explanation(session, engineer, model="flights", version=1)
        assert request_explanation(session, engineer, model="flights", version=1).id == run.id
    start_worker("a")
    wait_for(lambda: run_of(run.id).state in ("succeeded", "failed"), within_s=90)
    assert run_of(run.id).error == ""
    with reading() as session:
        viewer = Actor("per_v", "person", frozenset({Role.VIEWER}))
        summary = find_explanation(session, viewer, "flights", 1)
        assert summary is not None
        assert [one["column"] for one in summary.features] == ["distance", "temp", "noise"]
        with pytest.raises(NotAllowed):
            find_explanation(session, Actor("per_n", "person", frozenset()), "flights", 1)
    assert [entry["object_id"] for entry in entries(Action.EXPLANATION_STORED)] == ["flights/1"]
