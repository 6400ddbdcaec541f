"""Examining a window's rows without a database: which points there are, whatever the reference and the spec are."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from backend.errors import BadInput
from backend.monitoring.columns import ModelSpec, parse_spec
from backend.monitoring.examination import STATISTICS, columns_examined, examine, prepare


def spec(**more: object) -> ModelSpec:
    features = {"a": "numeric", "b": "numeric", "kind": "categorical"}
    return parse_spec({"task": "binary", "window": "1d", "features": features, **more})


def rows(count: int, seed: int = 0) -> pa.Table:
    random = np.random.default_rng(seed)
    a = random.normal(size=count)
    frame = pd.DataFrame(
        {
            "prediction_id": [f"p{i}" for i in range(count)],
            "ts": pd.date_range(datetime(2026, 1, 1, tzinfo=UTC), periods=count, freq="15min"),
            "a": a, "b": a + random.normal(size=count), "kind": random.choice(list("xyz"), count),
            "score": random.random(count), "prediction": random.choice(["0", "1"], count),
        }
    )  # fmt: skip
    return pa.Table.from_pandas(frame, preserve_index=False)


def test_every_statistic_answers_and_each_rule_has_a_point() -> None:
    points = examine(prepare(spec(rules=["a < 9", "score >= 0"]), rows(960), "1d"), rows(200, 1))
    assert [p.statistic for p in points] == [*STATISTICS, "rule_violations"]
    assert {p.verdict for p in points} == {"ok"}
    assert all(p.text for p in points)


@pytest.mark.parametrize("size", ["1d", "96"])
def test_the_reference_is_cut_into_windows_of_the_size(size: str) -> None:
    examiner = prepare(spec(), rows(960), size)
    assert [len(block) for block in examiner.detectors[0]._blocks] == [96] * 10


def test_a_reference_without_times_is_cut_into_equal_stretches() -> None:
    examiner = prepare(spec(rules=["a < 9"]), rows(960).drop_columns(["ts"]), "1d")
    assert len(examiner.detectors[0]._blocks) == 10
    assert examiner.rules is not None
    assert examiner.rules.noise == {}


def test_a_tiny_reference_makes_everything_inconclusive_and_nothing_fails() -> None:
    points = examine(prepare(spec(rules=["a < 9"]), rows(30), "1d"), rows(200, 1))
    assert {p.verdict for p in points} == {"inconclusive"}
    assert all("30 rows" in str(p.reason) for p in points)


def test_an_empty_window_has_no_data() -> None:
    points = examine(prepare(spec(rules=["a < 9"]), rows(960), "1d"), rows(0))
    assert {p.verdict for p in points} == {"no_data"}


def test_a_rule_that_cannot_be_read_is_bad_input_that_says_where() -> None:
    with pytest.raises(BadInput, match=r"rules\[2\], character 1: no column is named 'c'"):
        prepare(spec(rules=["a < 9", "c > 0"]), rows(960), "1d")


def test_the_columns_examined_are_those_of_the_spec() -> None:
    assert columns_examined(spec()) == ["prediction_id", "a", "b", "kind", "score", "prediction"]


def test_looks_are_as_sure_as_the_budget_of_false_alarms_asks() -> None:
    daily, hourly = (prepare(spec(), rows(960), size).alpha for size in ("1d", "1h"))
    assert hourly == pytest.approx(daily / 24)
    assert prepare(spec(), rows(960), "96").alpha == pytest.approx(daily, rel=0.01)
    strict = prepare(spec(budget=0.1), rows(960), "1d")
    assert strict.alpha == pytest.approx(daily / 10)
    assert {detector.alpha for detector in strict.detectors} == {strict.alpha}


@pytest.mark.slow
def test_unchanged_windows_alarm_no_more_often_than_the_budget_says() -> None:
    examiner = prepare(spec(), rows(2880), "1d")
    looks = [point for seed in range(1, 26) for point in examine(examiner, rows(96, seed))]
    fired = [point.statistic for point in looks if point.verdict == "alarm"]
    assert len(looks) == 100 and len(fired) <= 4, fired  # 0.55 expected
