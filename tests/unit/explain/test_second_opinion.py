"""LIME beside SHAP on one prediction: the library's own weights, the same again, its fit and the agreement in words."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest

from backend.explain.second_opinion import agreement, words_of
from jobs.explaining.base import SEED
from jobs.explaining.local_linear import SAMPLES, LocalLinear


class Line:
    """Answers 3 x size - 2 x age, and 1 more for red; a missing size counts 10."""

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        size = frame["size"].fillna(10.0).to_numpy()
        return 3 * size - 2 * frame["age"].to_numpy() + (frame["colour"] == "red").to_numpy()


class Waves:
    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        return np.sin(40 * frame["size"].to_numpy()) * np.cos(30 * frame["age"].to_numpy())


def rows(count: int = 50) -> pd.DataFrame:
    draw = np.random.default_rng(2)
    frame = pd.DataFrame(
        {"size": draw.normal(size=count), "age": draw.normal(size=count),
         "colour": draw.choice(["red", "blue"], count).astype(object)}
    )  # fmt: skip
    frame.loc[3, "size"] = np.nan
    return frame


def opinion(model: Any, row: pd.DataFrame) -> dict[str, Any]:
    shap = {"size": 3.0, "age": -2.0, "colour": 0.5}
    return LocalLinear(model, rows()).opinion(row, shap, place=None)


def one(**values: Any) -> pd.DataFrame:
    return pd.DataFrame([{"size": 2.0, "age": 2.0, "colour": "red", **values}]).astype({"colour": object})


def test_it_weighs_what_the_model_weighs_and_is_the_same_again() -> None:
    found = opinion(Line(), one())
    assert found == opinion(Line(), one())
    weights = {each["column"]: each["weight"] for each in found["weights"]}
    assert weights["size"] > 0 > weights["age"]
    assert 0 < weights["colour"] < -weights["age"] < weights["size"]
    assert found["r2"] > 0.5
    assert (found["seed"], found["samples"], found["background_rows"]) == (SEED, SAMPLES, 50)
    assert found["background_digest"].startswith("sha256:")
    assert {each["condition"] for each in found["weights"]} >= {"colour = red"}
    assert found["agreement"]["rank_correlation"] == pytest.approx(1.0)
    assert (
        "both put the same input first; 3 of the 3 largest are the same, and point the same way"
        in words_of(found)
    )


def test_the_weights_are_those_of_the_library() -> None:
    from lime.lime_tabular import LimeTabularExplainer  # type: ignore[import-untyped]

    usual = rows()[["size", "age"]].fillna(0.5)
    numbers = usual.to_numpy()

    class Plain:
        def predict(self, frame: pd.DataFrame) -> np.ndarray:
            return 3 * frame["size"].to_numpy() - 2 * frame["age"].to_numpy()

    row = pd.DataFrame([{"size": 1.0, "age": -1.0}])
    found = LocalLinear(Plain(), usual).opinion(row, {"size": 1.0, "age": 1.0}, place=None)
    theirs = LimeTabularExplainer(
        numbers, mode="regression", feature_names=["size", "age"], feature_selection="none", random_state=SEED
    ).explain_instance(
        row.to_numpy()[0], lambda x: 3 * x[:, 0] - 2 * x[:, 1], num_features=2, num_samples=SAMPLES
    )
    weights = {each["column"]: each["weight"] for each in found["weights"]}
    assert [weights["size"], weights["age"]] == pytest.approx(
        [dict(theirs.local_exp[1])[at] for at in (0, 1)]
    )
    assert found["r2"] == pytest.approx(theirs.score)


def test_a_missing_number_stays_missing_and_a_poor_fit_is_said() -> None:
    found = opinion(Line(), one(size=np.nan))
    assert found["held_fixed"] == ["size"]
    assert "Missing, and so left as it is: size." in words_of(found)
    assert "which is little: do not lean on it." in words_of(opinion(Waves(), one()))
    assert words_of({"known": False, "why": "every input is missing"}).startswith(
        "There is no second opinion: every"
    )


def test_agreement_counts_the_largest_and_their_directions() -> None:
    found = agreement({"a": 3.0, "b": -2.0, "c": 1.0, "d": 0.1}, {"a": 0.2, "b": 2.0, "c": 1.0, "e": 9.0})
    assert (found["columns"], found["same_first"]) == (3, False)
    assert found["shared"] == ["a", "b", "c"]
    assert found["same_direction"] == ["a", "c"]
    assert "b points the other way" in words_of(
        {"known": True, "r2": 0.9, "agreement": found, "held_fixed": []}
    )
    assert agreement({"a": 1.0}, {}) == {
        "columns": 0, "rank_correlation": None, "top": 0, "shared": [], "same_direction": [], "same_first": False,
    }  # fmt: skip


def test_nothing_that_explains_loads_lime_before_it_is_asked() -> None:
    code = "import sys, jobs.explaining.versions, jobs.explain_prediction; assert 'lime' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
