"""Outlier rows: a window with more of them than the reference alarms, and the rows are shown with what is odd."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest

from backend.monitoring.columns import Column
from backend.monitoring.joint.sample import Sample, read_sample
from backend.monitoring.outliers import FittedOutliers, find_outliers, fit_outliers

COLUMNS = [*(Column(name, "numeric") for name in "abc"), Column("kind", "categorical")]


def rows(count: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(random.normal(size=(count, 3)), columns=list("abc"))
    return frame.assign(kind=random.choice(list("xyz"), count, p=[0.6, 0.3, 0.1]))


def sample(frame: pd.DataFrame) -> Sample:
    return read_sample(frame, COLUMNS)


@cache
def forest() -> FittedOutliers:
    fitted = fit_outliers(sample(rows(3000, 0)))
    assert isinstance(fitted, FittedOutliers)
    return fitted


def test_a_window_like_the_reference_is_ok_and_gets_the_same_answer_again() -> None:
    window = sample(rows(1000, 1))
    found = find_outliers(forest(), window)
    assert found.point.verdict == "ok"
    assert found.point.value == pytest.approx(0.01, abs=0.01)
    again = fit_outliers(sample(rows(3000, 0)))
    assert find_outliers(again, window) == found


def test_odd_rows_alarm_and_are_shown_with_their_id_and_what_is_odd() -> None:
    frame = rows(1000, 2)
    frame.loc[:79, ["a", "b"]] = 6.0
    frame.loc[:79, "kind"] = "never seen"
    found = find_outliers(forest(), sample(frame), [f"p{i}" for i in range(1000)])
    assert (found.point.verdict, found.point.level) == ("alarm", "ticket")
    assert found.point.value == pytest.approx(0.09, abs=0.02)
    shown = found.rows[0]
    assert shown.row < 80 and shown.id == f"p{shown.row}"
    assert {value.column for value in shown.values} == {"a", "b", "kind"}
    assert "kind = never seen" in shown.text
    assert shown.text in found.point.text


def test_an_odd_combination_of_usual_values_is_said_to_be_one() -> None:
    """Every value is one that 6 % of the reference's rows exceed; no row of the reference has eight of them."""
    columns = [Column(name, "numeric") for name in "abcdefgh"]
    random = np.random.default_rng(1)
    fitted = fit_outliers(
        read_sample(pd.DataFrame(random.normal(size=(3000, 8)), columns=list("abcdefgh")), columns)
    )
    window = pd.DataFrame(random.normal(size=(500, 8)), columns=list("abcdefgh"))
    window.loc[:60] = 1.9
    found = find_outliers(fitted, read_sample(window, columns))
    assert found.point.verdict == "alarm"
    assert "an unusual combination of usual values" in [row.text for row in found.rows]


def test_quiet_windows_seldom_alarm() -> None:
    fired = [
        find_outliers(forest(), sample(rows(size, 100 + seed))).point.verdict
        for seed in range(40)
        for size in (100, 1000)
    ]
    assert fired.count("alarm") <= 2


@pytest.mark.parametrize("broken", ["vanished", "null", "infinite", "text"])
def test_a_broken_column_stops_nothing(broken: str) -> None:
    values = {"null": None, "infinite": np.inf, "text": "?"}
    frame = rows(500, 3)
    frame = frame.drop(columns="a") if broken == "vanished" else frame.assign(a=values[broken], b=1e300)
    found = find_outliers(forest(), sample(frame))
    assert found.point.verdict == "ok"


def test_small_windows_and_references_are_inconclusive_with_the_reason() -> None:
    few = find_outliers(forest(), sample(rows(20, 4)))
    assert (few.point.verdict, few.point.reason) == (
        "inconclusive",
        "the window has 20 rows and 50 are needed",
    )
    assert find_outliers(forest(), sample(rows(0, 4))).point.verdict == "no_data"
    small = find_outliers(fit_outliers(sample(rows(30, 5))), sample(rows(500, 6)))
    assert small.point.reason == "the reference has 30 rows and 250 are needed to tell outliers"
    hollow = fit_outliers(sample(rows(500, 5).assign(a=None, b=None, c=None, kind=None)))
    assert hollow == "the reference has no column with a value"


def test_days_of_the_reference_that_differ_widen_the_limit() -> None:
    frame = rows(3000, 7)
    frame.loc[1000:1028, "a"] = 9.0  # one of ten days had many
    blocks = [np.arange(300 * i, 300 * (i + 1)) for i in range(10)]
    window = rows(300, 8)
    window.loc[:15, "a"] = 9.0
    plain = find_outliers(fit_outliers(sample(frame)), sample(window)).point
    known = find_outliers(fit_outliers(sample(frame), blocks), sample(window)).point
    assert (plain.verdict, known.verdict) == ("alarm", "ok")


@pytest.mark.parametrize("size", [1e-310, 1e-200, 1e140, 1e149])
def test_tiny_and_huge_numbers_and_a_constant_column_have_an_answer(size: float) -> None:
    def scaled(seed: int) -> Sample:
        return sample(rows(1000, seed).assign(a=rows(1000, seed)["a"] * size, b=7.5))

    found = find_outliers(fit_outliers(scaled(0)), scaled(1))
    assert found.point.verdict == "ok"
    assert found.point.value == pytest.approx(0.01, abs=0.015)
