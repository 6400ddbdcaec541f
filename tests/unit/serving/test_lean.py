"""The short way through a pipeline answers to the bit what the pipeline answers, or is not taken."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler

from backend.serving import lean as module
from backend.serving.lean import Lean, lean
from backend.serving.predictor import Predictor
from backend.serving.trees import Trees, trees_of

FEATURES: dict[str, Any] = {
    "distance": "numeric", "carrier": "categorical", "hour": "numeric", "origin": "categorical"
}  # fmt: skip
TASKS = ("binary", "multiclass", "regression")


def rows(number: int, seed: int = 0) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "distance": draw.normal(800, 300, number),
            "carrier": draw.choice(np.array(["AA", "B6", "UA", np.nan], dtype="object"), number),
            "hour": draw.integers(0, 24, number).astype("float64"),
            "origin": draw.choice(np.array(["EWR", "JFK"], dtype="object"), number),
        }
    )
    frame.loc[draw.random(number) < 0.1, "distance"] = np.nan
    return frame


def pipeline(
    task: str, *, categorical: Any = None, unknown: str = "use_encoded_value", **others: Any
) -> Pipeline:
    encode = (
        OrdinalEncoder(handle_unknown=unknown, unknown_value=np.nan, encoded_missing_value=-1)
        if unknown == "use_encoded_value"
        else OrdinalEncoder()
    )
    of = HistGradientBoostingRegressor if task == "regression" else HistGradientBoostingClassifier
    found = Pipeline(
        [
            (
                "encode",
                ColumnTransformer(
                    [
                        ("numbers", "passthrough", ["hour", "distance"]),
                        ("texts", encode, ["carrier", "origin"]),
                    ],
                    **others,
                ),
            ),
            ("boost", of(max_iter=12, categorical_features=categorical, random_state=0)),
        ]
    )
    frame = rows(600)
    score = frame["distance"].fillna(500) / 300 + (frame["carrier"] == "UA") * 2 + frame["hour"] / 12
    target = {"binary": score > 4, "multiclass": np.digitize(score, [3, 4.5]), "regression": score}[task]
    return found.fit(frame, target)


def asked(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """As requests give them: a null is a feature that is not there."""
    return [
        {name: value for name, value in row.items() if not pd.isna(value)}  # type: ignore[misc]
        for row in frame.to_dict("records")
    ]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("categorical", [None, [2, 3], [3]])
def test_the_answers_are_those_of_the_pipeline_to_the_bit(task: str, categorical: Any) -> None:
    fitted = pipeline(task, categorical=categorical)
    short = lean(fitted)
    assert short is not None
    frame = rows(200, seed=1)
    frame.loc[:20, "carrier"] = "a carrier of tomorrow"
    frame.loc[10:30, "distance"] = np.inf
    answer = fitted.predict if task == "regression" else fitted.predict_proba
    assert np.array_equal(short.answer(asked(frame)), answer(frame))
    for row, one in zip(asked(frame)[:5], answer(frame)[:5], strict=True):
        assert np.array_equal(short.answer([row])[0], one)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("categorical", [None, [2, 3]])
def test_all_trees_at_once_add_up_to_the_bit(task: str, categorical: Any) -> None:
    boost = pipeline(task, categorical=categorical).named_steps["boost"]
    trees = trees_of(boost)
    draw = np.random.default_rng(3)
    matrix = np.column_stack(
        [
            *draw.choice([0.0, 1.0, 2.0, 3.0, 200.0, -1.0, np.nan], (2, 300)),
            draw.choice([*np.arange(24.0), np.nan], 300),
            np.where(draw.random(300) < 0.1, np.nan, draw.normal(800, 300, 300)),
        ]
    )
    right = np.tile(boost._baseline_prediction, (len(matrix), 1))
    boost._predict_iterations(matrix, boost._predictors, right, False, 1)
    assert np.array_equal(trees.sums(matrix), right)
    assert trees.most_rows >= 1


def test_few_rows_are_walked_at_once_and_many_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    asked_of: list[int] = []
    right = Trees.sums
    monkeypatch.setattr(Trees, "sums", lambda self, rows: asked_of.append(len(rows)) or right(self, rows))
    short = lean(pipeline("binary"))
    assert short is not None
    assert set(asked_of) == {1}  # each row of the comparison
    asked_of.clear()
    most = short.trees.most_rows
    short.answer(asked(rows(most)))
    short.answer(asked(rows(most + 1)))
    short.answer([])
    assert asked_of == [most]


def test_a_pipeline_of_another_kind_answers_itself() -> None:
    frame = rows(200)[["hour"]]
    assert lean(make_pipeline(StandardScaler(), LogisticRegression()).fit(frame, frame["hour"] > 12)) is None
    assert lean(HistGradientBoostingClassifier(max_iter=2).fit(frame, frame["hour"] > 12)) is None
    scaled = ColumnTransformer([("scale", StandardScaler(), ["hour"])])
    boosted = make_pipeline(scaled, HistGradientBoostingClassifier(max_iter=2)).fit(frame, frame["hour"] > 12)
    assert lean(boosted) is None


def test_a_pipeline_that_refuses_unknown_texts_still_refuses_them() -> None:
    fitted = pipeline("binary", unknown="error")
    assert lean(fitted) is None
    predictor = Predictor(fitted, digest="", load_s=0)
    with pytest.raises(ValueError, match="unknown categories"):
        predictor.score([{"carrier": "ZZ"}], features=FEATURES, task="binary", cutoff=0.5)


def test_a_short_way_that_differs_in_one_bit_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted, right = pipeline("binary"), Lean.answer

    def wrong(self: Lean, rows: Any) -> np.ndarray:
        found = right(self, rows)
        found[-1, 1] = np.nextafter(found[-1, 1], 1)
        return found

    monkeypatch.setattr(module.Lean, "answer", wrong)
    assert lean(fitted) is None


@pytest.mark.parametrize("task", TASKS)
def test_a_predictor_answers_the_same_with_and_without(task: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted, given = pipeline(task), asked(rows(50, seed=2))
    short = Predictor(fitted, digest="", load_s=0)
    found = short.score(given, features=FEATURES, task=task, cutoff=0.5)
    monkeypatch.setattr("backend.serving.predictor.lean", lambda _estimator: None)
    assert found == Predictor(fitted, digest="", load_s=0).score(
        given, features=FEATURES, task=task, cutoff=0.5
    )


def test_a_spec_that_takes_a_text_for_a_number_goes_the_long_way(monkeypatch: pytest.MonkeyPatch) -> None:
    short = lean(pipeline("binary"))
    assert short is not None
    assert short.fits(FEATURES)
    assert not short.fits({**FEATURES, "origin": "numeric"})
    assert not short.fits({"hour": "numeric"})
