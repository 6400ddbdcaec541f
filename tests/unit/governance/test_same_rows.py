"""Both versions on the same rows, which segments are worse beyond chance, and what a day is worth, from arrays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from backend.governance.flips import count_flips
from backend.governance.paired_metrics import compare
from backend.governance.pairs import PairedRows, rows_where
from backend.governance.same_rows import compare_rows, risk_a_day, unknown_comparison
from tests.unit.governance.test_pairs import COSTS, binary, regression, spec_of, texts


def test_the_metrics_are_those_of_the_paired_comparison() -> None:
    spec, pairs = spec_of("binary", costs=COSTS, costs_unit="EUR"), binary(noise=(0.5, 0.1))
    found = compare_rows(spec, pairs)
    first = found["metrics"][0]
    alone = compare(spec, pairs, "roc_auc")
    assert (first["metric"], first["value"], first["low"]) == ("roc_auc", alone.value, alone.low)
    assert first["says"] == "better"
    assert {one["metric"] for one in found["metrics"]} >= {"roc_auc", "brier", "value_per_prediction"}
    brier = next(one for one in found["metrics"] if one["metric"] == "brier")
    assert brier["value"] < 0 and brier["says"] == "better", "less loss is better"


def test_without_a_cost_matrix_no_value_is_measured() -> None:
    found = compare_rows(spec_of("binary"), binary())
    assert "value_per_prediction" not in {one["metric"] for one in found["metrics"]}


def test_rows_are_chosen_whole() -> None:
    pairs = binary(200)
    mask = np.arange(200) % 2 == 0
    part = rows_where(pairs, mask)
    assert part.rows == 100
    assert list(part.label) == list(pairs.label[::2])
    assert list(part.after.score) == list(pairs.after.score[::2])
    assert part.ids == pairs.ids[::2]


def worse_for(pairs: PairedRows, carrier: str) -> PairedRows:
    """The candidate guesses the rows of one carrier, and answers the others as the champion does."""
    theirs = (pairs.segments["carrier"] == carrier).to_numpy()
    score = np.where(theirs, np.random.default_rng(4).uniform(0, 1, pairs.rows), pairs.before.score)
    return replace(
        pairs, after=replace(pairs.after, score=score, prediction=texts((score >= 0.5).astype(int)))
    )


def test_a_segment_that_is_worse_is_named_and_the_others_are_not() -> None:
    pairs = worse_for(binary(3000, noise=(0.1, 0.1)), "AA")
    found = compare_rows(spec_of("binary"), pairs)["segments"]
    named = {(one["column"], one["name"]) for one in found["worse"]}
    assert ("carrier", "AA") in named
    assert not {("carrier", "UA"), ("carrier", "missing")} & named
    assert found["looked_at"] >= 3
    assert all(one["high"] < 0 for one in found["worse"])


@pytest.mark.slow
def test_versions_that_are_alike_have_no_worse_segment_however_many_are_looked_at() -> None:
    for seed in range(6):
        pairs = binary(1500, seed=seed)
        assert compare_rows(spec_of("binary"), pairs)["segments"]["worse"] == []


def test_a_segment_with_few_labels_is_not_judged() -> None:
    pairs = worse_for(binary(60, noise=(0.1, 0.1)), "AA")
    found = compare_rows(spec_of("binary"), pairs)["segments"]
    assert found["unknown"] > 0
    assert all(one["rows"] >= 30 for one in found["worse"])


def test_rows_without_labels_are_not_known_and_never_alike() -> None:
    found = compare_rows(spec_of("binary"), replace(binary(100), label=texts([None] * 100)))
    assert found == unknown_comparison("no label is known")


def test_few_labels_are_judged_on_other_rows() -> None:
    pairs = replace(binary(100, unknown=1.0), judged=binary(800, seed=2))
    assert compare_rows(spec_of("binary"), pairs)["metrics"][0]["rows"] == 800


def test_a_regression_is_worse_when_its_error_grows() -> None:
    found = compare_rows(spec_of("regression"), regression(noise=(1.0, 3.0)))
    assert [one["says"] for one in found["metrics"]] == ["worse", "worse"]


def test_a_day_is_the_difference_of_the_value_times_its_decisions() -> None:
    spec, pairs = spec_of("binary", costs=COSTS, costs_unit="EUR"), binary(noise=(0.1, 0.6))
    compared, flips = compare_rows(spec, pairs), count_flips(spec, pairs)
    worth = next(one for one in compared["metrics"] if one["metric"] == "value_per_prediction")
    risk = risk_a_day(spec, compared, flips, a_day=41_000)
    assert risk["unit"] == "EUR"
    assert risk["value"] == pytest.approx(worth["value"] * 41_000)
    assert risk["low"] < risk["value"] < risk["high"] < 0
    moved = flips["counts"]["becomes_positive"] + flips["counts"]["becomes_negative"]
    assert risk["flipped_share"] == pytest.approx(moved / pairs.rows)


def test_what_is_missing_for_an_amount_is_said() -> None:
    spec, pairs = spec_of("binary", costs=COSTS), binary()
    compared, flips = compare_rows(spec, pairs), count_flips(spec, pairs)
    plain = compare_rows(spec_of("binary"), pairs)
    assert "declares no costs" in risk_a_day(spec_of("binary"), plain, flips, a_day=10)["why"]
    assert "how many decisions" in risk_a_day(spec, compared, flips, a_day=None)["why"]
    nothing = risk_a_day(spec, unknown_comparison("no label is known"), {"known": False}, a_day=10)
    assert (nothing["value"], nothing["flipped_share"]) == (None, None)
    assert "no label is known" in nothing["why"]
    assert "regression" in risk_a_day(spec_of("regression"), {}, {}, a_day=10)["why"]
