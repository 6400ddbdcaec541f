from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from backend.monitoring.columns import Column
from backend.monitoring.profiles import freeze_grids, profile_table
from backend.monitoring.reach import BAD_ALREADY, FEW_USUALLY, UNUSUAL_ALREADY, largest_among_known
from backend.monitoring.statistics import REGISTRY, statistics_for
from backend.monitoring.thresholds import Noise, reference_noise
from backend.monitoring.verdicts import Finding, judge_columns

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
BOUNDED = sorted(name for name, one in REGISTRY.items() if one.largest is not None and one.family == "drift")


def judged(windows: list[Any], now: Any, kind: Any) -> dict[str, Finding]:
    """What is said of the window `now` of a column whose reference are `windows`."""
    names = [Column("x", kind)]
    whole = pa.table({"x": np.concatenate(windows)})
    grids = freeze_grids(whole, names)
    parts = [profile_table(pa.table({"x": one}), grids) for one in windows]
    noise: Noise = reference_noise(parts)
    pairs = [("x", statistic) for statistic in statistics_for(kind)]
    sides = profile_table(whole, grids), profile_table(pa.table({"x": now}), grids)
    return {one.statistic.name: one for one in judge_columns(pairs, *sides, noise=noise)}


def test_a_column_whose_windows_have_nothing_in_common_cannot_be_judged() -> None:
    random = np.random.default_rng(0)
    months = [random.normal(40 * month, 1, 300) for month in range(12)]
    found = judged(months, random.normal(240, 1, 300), "numeric")
    drift = [one for one in found.values() if one.statistic.family == "drift"]
    assert {one.decision.verdict for one in drift} == {"inconclusive"}
    for one in drift:
        assert "seasonal or rolling reference" in str(one.decision.reason)
        assert ("no largest value" in str(one.decision.reason)) == (one.statistic.largest is None)
        assert one.decision.limit is None
    assert found["missing_rate"].decision.verdict == "ok"


def test_values_never_seen_still_alarm_there() -> None:
    random = np.random.default_rng(0)
    months = [random.normal(40 * month, 1, 300) for month in range(12)]
    found = judged(months, random.normal(50_000, 1, 300), "numeric")
    assert found["out_of_range_rate"].decision.verdict == "alarm"


def test_the_day_of_the_week_is_not_held_against_a_whole_week() -> None:
    found = judged([np.array([day] * 200) for day in DAYS * 6], np.array(["Sat"] * 200), "categorical")
    drift = [one for one in found.values() if one.statistic.family == "drift"]
    assert {one.decision.verdict for one in drift} == {"inconclusive"}
    assert found["l_infinity"].decision.reason == UNUSUAL_ALREADY


def test_windows_that_only_their_few_rows_set_apart_are_told_to_be_too_small() -> None:
    random = np.random.default_rng(4)
    windows = [random.choice(["no", "yes"], 20) for _ in range(6)]
    found = judged(windows, random.choice(["no", "yes"], 20), "categorical")
    drift = [one for one in found.values() if one.statistic.family == "drift"]
    assert {one.decision.verdict for one in drift} == {"inconclusive"}
    for one in drift:
        assert str(one.decision.reason).startswith(FEW_USUALLY)
        assert "larger windows" in str(one.decision.reason)
        assert "seasonal" not in str(one.decision.reason)


def test_a_new_category_is_told_where_known_ones_come_and_go() -> None:
    found = judged([np.array([day] * 200) for day in DAYS * 6], np.array(["Someday"] * 200), "categorical")
    assert found["unseen_rate"].decision.verdict == "alarm"


def test_windows_that_resemble_one_another_are_judged() -> None:
    random = np.random.default_rng(0)
    found = judged([random.normal(0, 1, 300) for _ in range(12)], random.normal(0, 1, 300), "numeric")
    assert {one.decision.verdict for one in found.values()} == {"ok"}


@pytest.mark.slow
@pytest.mark.parametrize("name", BOUNDED)
def test_no_window_exceeds_the_largest_value(name: str) -> None:
    statistic, random = REGISTRY[name], np.random.default_rng(0)
    kind = statistic.applies_to[-1]
    then = random.choice(4, 2000, p=[0.4, 0.3, 0.2, 0.1])
    grids = freeze_grids(
        pa.table({"x": then.astype(str if kind == "categorical" else float)}), [Column("x", kind)]
    )
    reference = profile_table(pa.table({"x": then.astype(str if kind == "categorical" else float)}), grids)[
        "x"
    ]
    values = []
    for _ in range(200):
        now = random.choice(4, 50, p=random.dirichlet([0.1] * 4)).astype(
            str if kind == "categorical" else float
        )
        values.append(
            statistic.compute(reference, profile_table(pa.table({"x": now}), grids)["x"]).value or 0
        )
    assert max(values) <= largest_among_known(statistic, reference) + 1e-12
    assert max(values) > 0.9 * largest_among_known(statistic, reference)


def test_a_rate_that_is_high_already_cannot_rise() -> None:
    names = [Column("x", "numeric")]
    grids = freeze_grids(pa.table({"x": np.arange(1000.0)}), names)
    far = np.concatenate([np.arange(5.0), np.full(995, 1e6)])
    sides = (profile_table(pa.table({"x": one}), grids) for one in (far, far))
    (found,) = judge_columns([("x", REGISTRY["out_of_range_rate"])], *sides)
    assert (found.decision.verdict, found.decision.reason) == ("inconclusive", BAD_ALREADY)
