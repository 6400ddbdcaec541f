"""Analysing rows: every task, and rows that are not as they should be."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from backend.errors import BadInput
from backend.monitoring import analysis
from backend.monitoring.analysis import Analysis, analyse_rows, nothing_told
from backend.monitoring.causes import KINDS
from backend.monitoring.columns import ModelSpec, parse_spec
from backend.monitoring.grids import freeze_grids
from backend.monitoring.importance import Importance, Importances

FEATURES = {"x": "numeric", "shop": "categorical"}


def spec_of(task: str, **more: Any) -> ModelSpec:
    return parse_spec({"task": task, "window": "1d", "features": FEATURES, **more})


def rows(task: str, count: int, *, seed: int, bad: str | None = None) -> pd.DataFrame:
    """Rows of a model that is good everywhere, but in one shop where it knows nothing."""
    random = np.random.default_rng(seed)
    x, shop = random.normal(size=count), random.choice(["north", "south", "west"], count)
    here = shop == bad
    if task == "regression":
        label = 3 * x + random.normal(size=count) * np.where(here, 6.0, 1.0)
        return pd.DataFrame({"x": x, "shop": shop, "prediction": 3 * x, "label": label})
    score = 1 / (1 + np.exp(-2 * x))
    truth = (random.random(count) < np.where(here, 0.5, score)).astype(int)
    if task == "multiclass":
        names = np.array(["red", "blue"])
        return pd.DataFrame(
            {"x": x, "shop": shop, "prediction": names[(score > 0.5).astype(int)], "label": names[truth]}
        )
    return pd.DataFrame(
        {"x": x, "shop": shop, "score": score, "prediction": (score > 0.5).astype(int).astype(str),
         "label": truth.astype(str)}
    )  # fmt: skip


def analyse(
    task: str, window: pd.DataFrame, *, importances: Importances | None = None, **more: Any
) -> Analysis:
    spec, reference = spec_of(task, **more), rows(task, 3000, seed=1)
    grids = freeze_grids(pa.Table.from_pandas(reference, preserve_index=False), spec.columns)
    return analyse_rows(spec, reference, window, grids, importances=importances)


@pytest.mark.parametrize(
    ("task", "metric"), [("binary", "roc_auc"), ("multiclass", "accuracy"), ("regression", "mae")]
)
def test_a_planted_shop_is_named_for_every_task(task: str, metric: str) -> None:
    found = analyse(task, rows(task, 2000, seed=2, bad="south"))
    split = found.document["split"]
    assert (found.metric, found.reason) == (metric, None)
    assert [part["kind"] for part in split["parts"]] == list(KINDS)
    assert sum(part["value"] for part in split["parts"]) == pytest.approx(split["worse"], abs=0.001)
    behaviour = next(part["value"] for part in split["parts"] if part["kind"] == "behaviour")
    assert behaviour >= 0.8 * split["worse"] > 0
    worst = found.document["became_worse"]["slices"][0]
    assert [one["text"] for one in worst["conditions"]] == ["shop = south"]
    assert worst["reference_rows"] > 500
    assert worst["reference_inside"] is not None
    assert found.document["segments"][0]["column"] == "shop"
    json.dumps(found.document, allow_nan=False)


def test_a_quiet_window_has_no_slice_and_a_sentence_about_chance() -> None:
    found = analyse("binary", rows("binary", 2000, seed=3))
    assert found.document["became_worse"]["slices"] == []
    assert found.document["became_worse"]["looked_at"] > 50
    assert "within what chance gives" in found.document["says"]


def test_a_column_that_vanished_is_a_matter_of_data_quality() -> None:
    window = rows("binary", 2000, seed=4)
    window["score"] = 0.5 + 0.01 * np.random.default_rng(0).normal(size=2000)
    found = analyse("binary", window.drop(columns="x"))
    quality = next(part for part in found.document["split"]["parts"] if part["kind"] == "quality")
    assert quality["value"] >= 0.8 * found.document["split"]["worse"]
    assert quality["contributors"][0]["name"].startswith("x: 100.0% of rows missing")
    assert "from data quality (x)" in found.document["says"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"label": None}, "the window has no rows with output and label"),
        ({"score": None}, "the window has no rows with output and label"),
        ({"label": "1"}, "roc_auc is undefined on the window's 2000 labelled rows, such as all of one class"),
    ],
)
def test_windows_about_which_nothing_can_be_told_say_why(change: dict[str, Any], reason: str) -> None:
    found = analyse("binary", rows("binary", 2000, seed=5).assign(**change))
    assert found.reason == reason
    assert found.document["says"] == f"What changed cannot be told: {reason}."
    assert found.document["became_worse"]["slices"] == found.document["always_hard"]["slices"] == []
    json.dumps(found.document, allow_nan=False)


def test_labels_that_cannot_be_read_are_bad_input() -> None:
    with pytest.raises(BadInput):
        analyse("binary", rows("binary", 200, seed=5).assign(label="perhaps"))


def test_many_rows_are_thinned_evenly_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analysis, "MOST_ROWS", 1500)
    found = analyse("binary", rows("binary", 2000, seed=6, bad="south"))
    assert found.document["rows_read"] == {"reference": 3000, "window": 2000}
    assert found.document["rows_used"] == {"reference": 1500, "window": 1500}


def test_importances_are_used_only_where_they_can_be_believed() -> None:
    shares = (Importance("x", 0.999), Importance("shop", 0.001))
    window = rows("binary", 1000, seed=7)
    for given, used in (
        (Importances(shares, "shap"), "shap"),
        (Importances(shares, "surrogate", 3000, 0.9), "surrogate"),
        (Importances(shares, "surrogate", 3000, 0.1), None),
        (Importances((Importance("x", 0.0),), "surrogate", reason="the output never changes"), None),
        (None, None),
    ):
        assert analyse("binary", window, importances=given).document["importance"] == used


def test_segments_of_the_spec_are_compared_first_and_name_the_behaviour() -> None:
    found = analyse("binary", rows("binary", 2000, seed=8, bad="west"), segments=["shop"])
    assert "from behaviour in shop = west" in found.document["says"]
    cells = {one["value"]: one for one in found.document["segments"][0]["cells"]}
    assert set(cells) == {"north", "south", "west"}
    assert cells["west"]["metric"] < cells["west"]["reference_metric"] - 0.1
    assert sum(one["rows"] for one in cells.values()) == 2000
    assert sum(one["share"] for one in cells.values()) == pytest.approx(1)


def test_a_document_without_findings_has_the_shape_of_one_with() -> None:
    full = analyse("binary", rows("binary", 1000, seed=9)).document
    empty = nothing_told("roc_auc", "the reference is away").document
    assert set(empty) == set(full)
    assert set(empty["split"]) == set(full["split"])
    assert set(empty["became_worse"]) == set(full["became_worse"])
