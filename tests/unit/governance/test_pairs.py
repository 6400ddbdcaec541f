"""The paired comparison and who flips, from arrays: no model, no database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.governance.flips import EXAMPLES, FOUR, count_flips
from backend.governance.paired_metrics import _OF_TASK, compare
from backend.governance.pairs import Answers, PairedRows
from backend.monitoring.columns import ModelSpec, parse_spec
from backend.monitoring.performance import measure

START = datetime(2026, 3, 1, tzinfo=UTC)
FEATURES = {"distance": "numeric", "carrier": "categorical"}
COSTS = {"tp": 10, "fp": -2, "fn": -20, "tn": 0}


def spec_of(task: str, **more: Any) -> ModelSpec:
    return parse_spec({"task": task, "features": FEATURES, "segments": ["carrier", "distance"], **more})


def texts(values: Any) -> Any:
    found = np.empty(len(values), dtype=object)
    found[:] = [None if value is None else str(value) for value in values]
    return found


def pairs_of(task: str, sides: list[tuple[Any, Any]], label: Any, *, cutoffs: tuple[float, float] = (0.5, 0.5),
             seed: int = 1) -> PairedRows:  # fmt: skip
    count = len(label)
    draw = np.random.default_rng(seed)
    features = pd.DataFrame(
        {"distance": draw.uniform(0, 9, count), "carrier": draw.choice(["AA", "UA", None], count)}
    )
    answers = [
        Answers(number, cutoff, np.asarray(score, dtype=float), texts(prediction))
        for number, (cutoff, (score, prediction)) in enumerate(zip(cutoffs, sides, strict=True), 1)
    ]
    return PairedRows(
        task, "live", tuple(f"p{n}" for n in range(count)), tuple(START + timedelta(hours=n) for n in range(count)),  # type: ignore[arg-type]
        features, features, texts(label), *answers,
    )  # fmt: skip


def binary(count: int = 2000, *, noise: tuple[float, float] = (0.3, 0.3), seed: int = 1, unknown: float = 0.0,
           cutoffs: tuple[float, float] = (0.5, 0.5)) -> PairedRows:  # fmt: skip
    draw = np.random.default_rng(seed)
    chance = draw.uniform(0, 1, count)
    label = (draw.uniform(0, 1, count) < chance).astype(int).astype(object)
    label[draw.uniform(0, 1, count) < unknown] = None
    sides = []
    for wrong, cutoff in zip(noise, cutoffs, strict=True):
        score = np.clip(chance + draw.normal(0, wrong, count), 0, 1).round(3)
        sides.append((score, (score >= cutoff).astype(int)))
    return pairs_of("binary", sides, label, cutoffs=cutoffs, seed=seed)


def regression(count: int = 1500, noise: tuple[float, float] = (1.0, 1.0)) -> PairedRows:
    draw = np.random.default_rng(2)
    label = draw.normal(100, 20, count)
    return pairs_of(
        "regression",
        [(np.full(count, np.nan), label + draw.normal(0, wrong, count)) for wrong in noise],
        label,
    )


def classes(count: int = 1500, right: tuple[float, float] = (0.8, 0.8)) -> PairedRows:
    draw = np.random.default_rng(3)
    label = draw.choice(["a", "b", "c"], count)
    sides = []
    for chance in right:
        guess = np.where(draw.uniform(0, 1, count) < chance, label, draw.choice(["a", "b", "c"], count))
        sides.append((draw.uniform(0.4, 1, count), guess))
    return pairs_of("multiclass", sides, label)


@pytest.mark.parametrize(
    ("task", "made", "more"),
    [
        ("binary", binary, {"costs": COSTS}),
        ("regression", regression, {"quantile": 0.8}),
        ("multiclass", classes, {}),
    ],
)
def test_each_metric_is_what_monitoring_measures_on_the_same_rows(task: str, made: Any, more: Any) -> None:
    pairs, spec = made(), spec_of(task, **more)
    for metric in _OF_TASK[task]:  # type: ignore[index]
        found = compare(spec, pairs, metric, resamples=20)
        if metric == "value_per_prediction" and not spec.costs:
            assert "cost matrix" in found.reason
            continue
        for side, value in ((pairs.before, found.before), (pairs.after, found.after)):
            rows = pd.DataFrame({"score": side.score, "prediction": side.prediction, "label": pairs.label})
            assert value == pytest.approx(measure(spec, rows).metrics[metric].value), metric


def test_the_interval_holds_the_difference_and_is_narrower_than_of_two_samples() -> None:
    spec = spec_of("binary")
    pairs = binary(3000, noise=(0.1, 0.5))
    found = compare(spec, pairs)
    assert found.low is not None and found.high is not None and found.value is not None
    assert found.low < found.value < found.high < 0
    apart = [
        measure(spec, pd.DataFrame({"score": side.score, "prediction": side.prediction, "label": pairs.label}))
        .metrics["roc_auc"].se for side in (pairs.before, pairs.after)
    ]  # fmt: skip
    assert found.high - found.low < 2 * 1.96 * np.hypot(*apart)  # type: ignore[arg-type]


def test_the_interval_covers_no_difference_as_often_as_it_says() -> None:
    """Two versions that are equally good: 95 % intervals miss zero in about one of twenty sets of rows."""
    spec = spec_of("binary")
    missed = 0
    for seed in range(60):
        found = compare(spec, binary(400, seed=seed), resamples=300)
        assert found.low is not None and found.high is not None
        missed += not found.low <= 0 <= found.high
    assert missed <= 9  # binomial(60, 0.05) exceeds 9 with a chance under 0.1 %


def test_the_same_version_does_not_differ() -> None:
    pairs = binary()
    same = PairedRows(**{**vars(pairs), "after": pairs.before})
    found = compare(spec_of("binary"), same)
    assert (found.value, found.low, found.high) == (0, 0, 0)


def test_one_class_or_no_label_has_no_difference() -> None:
    pairs = binary(100)
    one = PairedRows(**{**vars(pairs), "label": texts(["1"] * 100)})
    assert "undefined" in compare(spec_of("binary"), one).reason
    none = PairedRows(**{**vars(pairs), "label": texts([None] * 100)})
    assert compare(spec_of("binary"), none).reason == "no label is known"


@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 300), seed=st.integers(0, 99), old=st.floats(0, 1), new=st.floats(0, 1),
       unknown=st.sampled_from([0.0, 0.5, 1.0]))  # fmt: skip
def test_the_four_counts_sum_to_the_rows_overall_and_over_each_segment(
    count: int, seed: int, old: float, new: float, unknown: float
) -> None:
    pairs = binary(count, seed=seed, cutoffs=(old, new), unknown=unknown)
    found = count_flips(spec_of("binary"), pairs)
    assert tuple(found["counts"]) == FOUR
    assert sum(found["counts"].values()) == count == found["rows"]
    for column in ("carrier", "distance"):
        parts = [part for part in found["segments"] if part["column"] == column]
        assert sum(part["rows"] for part in parts) == count
        for name in FOUR:
            assert sum(part["counts"][name] for part in parts) == found["counts"][name]
    for part in (found, *found["segments"]):
        for name in FOUR:
            assert part["outcomes"][name]["labelled"] <= part["counts"][name]


def test_another_cutoff_alone_moves_decisions_one_way() -> None:
    pairs = binary(1000, cutoffs=(0.5, 0.6))
    higher = (pairs.before.score >= 0.6).astype(int)
    same = PairedRows(**{**vars(pairs), "after": Answers(1, 0.6, pairs.before.score, texts(higher))})
    found = count_flips(spec_of("binary"), same)
    assert found["counts"]["becomes_positive"] == 0
    assert found["counts"]["becomes_negative"] == int(
        ((pairs.before.score >= 0.5) & (pairs.before.score < 0.6)).sum()
    )
    assert found["before"]["version"] == found["after"]["version"] == 1


def test_examples_are_rows_that_flip_with_ids_and_no_features() -> None:
    pairs = binary(2000, noise=(0.1, 0.6))
    examples = count_flips(spec_of("binary"), pairs)["examples"]
    assert len(examples) == EXAMPLES
    assert len({one["id"] for one in examples}) == EXAMPLES
    assert all(one["before"]["decision"] != one["after"]["decision"] for one in examples)
    assert {one["after"]["decision"] for one in examples} == {"0", "1"}
    assert set(examples[0]) == {"id", "at", "before", "after", "label"}


def test_outcome_rates_are_of_the_labels_of_each_group() -> None:
    label = [1, 1, 0, None, 1, 0]
    sides = [([0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 1, 1]), ([1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 0, 0])]
    outcomes = count_flips(spec_of("binary"), pairs_of("binary", sides, label))["outcomes"]
    assert (outcomes["becomes_positive"]["labelled"], outcomes["becomes_positive"]["rate"]) == (
        3,
        pytest.approx(2 / 3),
    )
    assert outcomes["becomes_negative"]["rate"] == 0.5
    assert outcomes["stays_positive"] == {"labelled": 0, "rate": None, "low": None, "high": None}


def test_numbers_move_when_they_move_by_more_than_a_tenth() -> None:
    pairs = pairs_of(
        "regression", [([np.nan] * 4, [100, 100, 100, -10]), ([np.nan] * 4, [111, 110, 80, -8])], [1] * 4
    )
    assert count_flips(spec_of("regression"), pairs)["counts"] == {"stays": 1, "rises": 2, "falls": 1}


def test_classes_that_change_are_listed_by_how_often() -> None:
    pairs = pairs_of(
        "multiclass",
        [([0.5] * 4, ["a", "a", "b", "c"]), ([0.6] * 4, ["b", "b", "b", "a"])],
        ["a", "b", "b", None],
    )
    found = count_flips(spec_of("multiclass"), pairs)
    assert found["counts"] == {"stays": 1, "changes": 3}
    assert found["moves"][0] == {"before": "a", "after": "b", "rows": 2}
