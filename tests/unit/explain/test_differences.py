"""On what two versions lean, compared by shares of the mean |SHAP|."""

from __future__ import annotations

import pytest
from scipy.stats import spearmanr

from backend.explain.differences import compare_shares, shares_of


def test_shares_are_parts_of_the_whole_whatever_the_unit() -> None:
    small = [{"column": "a", "mean_abs": 0.3}, {"column": "b", "mean_abs": 0.1}]
    large = [{"column": one["column"], "mean_abs": one["mean_abs"] * 1000} for one in small]
    assert shares_of(small) == pytest.approx({"a": 0.75, "b": 0.25}) == shares_of(large)
    assert shares_of([{"column": "a", "mean_abs": 0.0}]) == {}


def test_the_largest_difference_comes_first_and_half_of_all_is_what_moved() -> None:
    found = compare_shares({"a": 0.5, "b": 0.3, "c": 0.2}, {"a": 0.2, "b": 0.35, "c": 0.45})
    assert [one["column"] for one in found["columns"]] == ["a", "c", "b"]
    assert [one["difference"] for one in found["columns"]] == pytest.approx([-0.3, 0.25, 0.05])
    assert found["moved"] == pytest.approx(0.3)


def test_the_rank_correlation_is_spearmans_also_with_ties() -> None:
    before = {"a": 0.4, "b": 0.2, "c": 0.2, "d": 0.15, "e": 0.05}
    after = {"a": 0.1, "b": 0.3, "c": 0.25, "d": 0.25, "e": 0.1}
    found = compare_shares(before, after)["rank_correlation"]
    assert found == pytest.approx(spearmanr(list(before.values()), list(after.values())).statistic)


def test_equal_versions_move_nothing() -> None:
    found = compare_shares({"a": 0.5, "b": 0.3, "c": 0.2}, {"a": 0.5, "b": 0.3, "c": 0.2})
    assert (found["moved"], found["rank_correlation"]) == (0, pytest.approx(1))


def test_no_order_is_made_up() -> None:
    assert compare_shares({"a": 0.5, "b": 0.5}, {"a": 0.6, "b": 0.4})["rank_correlation"] is None
    level = {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}
    assert compare_shares(level, {"a": 0.5, "b": 0.3, "c": 0.2})["rank_correlation"] is None


def test_a_column_that_one_version_lacks_is_told_as_missing_not_as_zero() -> None:
    found = compare_shares({"a": 0.7, "b": 0.3}, {"a": 0.6, "c": 0.4})
    by_name = {one["column"]: (one["before"], one["after"]) for one in found["columns"]}
    assert by_name == {"a": (0.7, 0.6), "b": (0.3, None), "c": (None, 0.4)}
    assert found["moved"] == pytest.approx(0.4)
