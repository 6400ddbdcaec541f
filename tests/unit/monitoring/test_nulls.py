"""The laws under "no change", against simulation; verdicts over many columns."""

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import gamma, norm

from backend.monitoring.columns import Column, Kind
from backend.monitoring.grids import Grid, place_categories, place_numbers
from backend.monitoring.laws import (
    PearsonLaw,
    RateLaw,
    bridge_moments,
    chi_squared_moments,
    upper_quantile,
    upper_tail,
)
from backend.monitoring.nulls import Exchange
from backend.monitoring.profiles import Profile, freeze_grids, profile_table
from backend.monitoring.statistics import REGISTRY, TABLE_REGISTRY, TableFacts, statistics_for
from backend.monitoring.verdicts import judge_columns


def profiles(reference: Any, current: Any, kind: Kind = "numeric") -> tuple[Profile, Profile]:
    """Counted here, without a scan: thousands of small tables are looked at below."""
    if kind == "categorical":
        grid = place_categories(Counter(reference.tolist()))
        return count_words(grid, reference), count_words(grid, current)
    grid = place_numbers(reference)
    return count_numbers(grid, reference), count_numbers(grid, current)


def count_numbers(grid: Grid, x: Any) -> Profile:
    ends = (grid.edges or grid.values)[0], (grid.edges or grid.values)[-1]
    return Profile(
        grid, x.size, np.bincount(grid.locate(x), minlength=grid.cells), total=float(x.sum()),
        squares=float((x * x).sum()), under_sum=float(x[x < ends[0]].sum()), over_sum=float(x[x > ends[1]].sum()),
        low=float(x.min()), high=float(x.max()),
    )  # fmt: skip


def count_words(grid: Grid, words: Any) -> Profile:
    counts, unseen = np.zeros(grid.cells, dtype=np.int64), {}
    for word, rows in Counter(words.tolist()).items():
        if word in grid.values:
            counts[grid.values.index(word)] = rows
        else:
            counts[-1] += rows
            unseen[word] = rows
    return Profile(grid, words.size, counts, low=min(words), high=max(words), unseen=unseen)


@pytest.mark.parametrize("skew", [-1.4, -0.3, 0.0, 0.3, 2.0])
def test_the_tail_of_pearsons_third_type_is_a_shifted_gamma(skew: float) -> None:
    for z in (-0.5, 1.0, 3.0):
        if skew == 0:
            expected = norm.sf(z)
        else:
            k = 4 / skew**2
            law = gamma(k, loc=-np.sqrt(k), scale=1 / np.sqrt(k))
            expected = law.sf(z) if skew > 0 else law.cdf(-z)
        assert upper_tail(z, skew) == pytest.approx(expected, abs=1e-12)
    for alpha in (0.2, 1e-4):
        assert upper_tail(upper_quantile(alpha, skew), skew) == pytest.approx(alpha, rel=1e-6)


def test_chi_squared_moments_are_those_of_all_splits() -> None:
    pooled, rows = np.array([60, 30, 8, 1, 1]), 20
    drawn = np.random.default_rng(0).multivariate_hypergeometric(pooled, rows, size=200_000)
    expected = pooled * rows / 100
    values = ((drawn - expected) ** 2 / expected).sum(axis=1) * 100 / 80
    mean, variance = chi_squared_moments(pooled, 80, rows)
    assert values.mean() == pytest.approx(mean, rel=0.01)
    assert values.var() == pytest.approx(variance, rel=0.03)


def test_bridge_moments_are_those_of_drawn_bridges() -> None:
    share = np.linspace(0.01, 0.99, 40)
    weight = np.linspace(1, 2, 40)
    drawn = np.random.default_rng(0).uniform(size=(4000, 500))
    gaps = ((drawn[:, :, None] <= share).mean(axis=1) - share) * np.sqrt(500)
    values = np.abs(gaps) @ weight
    mean, variance = bridge_moments(share, weight)
    assert values.mean() == pytest.approx(mean, rel=0.02)
    assert values.var() == pytest.approx(variance, rel=0.08)


def test_a_rate_after_none_in_the_reference_is_still_uncertain() -> None:
    assert RateLaw(0, 100, 100).quantile(0.001) > RateLaw(0, 10_000, 100).quantile(0.001)
    assert RateLaw(0, 10_000, 10_000).p(0.001) < 0.01


def test_p_and_quantile_of_every_law_agree() -> None:
    random = np.random.default_rng(1)
    numbers = profiles(random.lognormal(size=900), random.lognormal(size=300))
    words = profiles(
        random.choice(list("abcdefgh"), 900), random.choice(list("abcdefgh"), 300), "categorical"
    )
    for kind, (then, now) in (("numeric", numbers), ("categorical", words)):
        exchange = Exchange(then, now)
        for statistic in statistics_for(kind, every=True):  # type: ignore[arg-type]
            result = statistic.compute(then, now)
            assert statistic.law is not None
            law = statistic.law(exchange, result)
            if statistic.name != "constant_value":
                assert law.p(law.quantile(0.003)) == pytest.approx(0.003, rel=0.01), statistic.name


@pytest.mark.parametrize("name", ["mean_shift", "kolmogorov_smirnov", "wasserstein", "psi", "jensen_shannon"])
def test_p_values_of_unchanged_numbers_are_no_smaller_than_chance(name: str) -> None:
    random = np.random.default_rng(2)
    statistic, small = REGISTRY[name], 0
    for _ in range(150):
        then, now = profiles(random.lognormal(size=500), random.lognormal(size=120))
        result = statistic.compute(then, now)
        assert statistic.law is not None
        small += statistic.law(Exchange(then, now), result).p(result.value or 0) < 0.05
    assert small <= 16, "5 % of 150 is 7.5; more than 16 has a chance below 0.2 %"


@pytest.mark.parametrize("name", ["chi_squared", "psi", "l_infinity", "two_proportion_z", "total_variation"])
def test_p_values_of_rare_categories_are_no_smaller_than_chance(name: str) -> None:
    random = np.random.default_rng(3)
    share = 1 / np.arange(1, 51)
    values = np.array([f"v{i}" for i in range(50)])
    statistic, small = REGISTRY[name], 0
    for _ in range(150):
        then, now = (values[random.choice(50, rows, p=share / share.sum())] for rows in (900, 60))
        sides = profiles(then, now, "categorical")
        result = statistic.compute(*sides)
        assert statistic.law is not None
        small += statistic.law(Exchange(*sides), result).p(result.value or 0) < 0.05
    assert small <= 16


def test_the_same_data_give_the_same_verdicts() -> None:
    random = np.random.default_rng(4)
    then, now = profiles(random.normal(size=400), random.normal(size=100))
    pairs = [("x", statistic) for statistic in statistics_for("numeric")]
    first, second = (judge_columns(pairs, {"x": then}, {"x": now}) for _ in range(2))
    assert [f.decision for f in first] == [f.decision for f in second]


def test_a_law_without_spread_is_certain() -> None:
    law = PearsonLaw(0.5, 0.0, 0.0)
    assert (law.p(0.5), law.p(0.6), law.quantile(0.01)) == (1.0, 0.0, 0.5)


def test_statistics_of_tables_know_what_is_usual() -> None:
    usual = TableFacts(
        1000, duplicates=2, usual_gap_s=60.0, usual_rows=(980, 1010, 1005, 990, 1020, 1000),
        types={"a": "whole", "b": "text", "c": "text"},
    )  # fmt: skip
    good = TableFacts(
        990, duplicates=3, newest_age_s=80.0, types={"a": "fraction", "b": "text", "c": "text", "d": "text"}
    )
    bad = TableFacts(300, duplicates=60, newest_age_s=3600.0, types={"a": "text", "b": "text"})
    assert set(TABLE_REGISTRY) == {"duplicates", "freshness", "volume", "schema_change"}
    for statistic in TABLE_REGISTRY.values():
        for now, alarm in ((good, False), (bad, True)):
            result = statistic.compute(usual, now)
            assert result.value is not None, result.reason
            assert (result.value > statistic.limit(result, 0.001)) == alarm, statistic.name
        unknown = statistic.compute(TableFacts(5), TableFacts(5))
        assert unknown.value is None
        assert unknown.reason
    changed = TABLE_REGISTRY["schema_change"].compute(usual, bad)
    assert changed.details["vanished"] == ["c"]
    assert changed.details["changed"] == {"a": "whole to text"}


def _zipf(random: np.random.Generator, levels: int, rows: int) -> list[str]:
    rank = 1 / np.arange(1, levels + 1)
    return [f"v{i}" for i in random.choice(levels, rows, p=rank / rank.sum())]


@pytest.mark.parametrize(
    ("then", "now"),
    [(100, 100), *(pytest.param(*sizes, marks=pytest.mark.slow) for sizes in ((100, 1000), (300, 5000)))],
)
def test_values_that_a_small_reference_happens_not_to_have_are_no_change(then: int, now: int) -> None:
    column = [Column("c", "categorical")]
    fired = []
    for seed in range(25):
        random = np.random.default_rng([seed, now])
        tables = [pa.table({"c": _zipf(random, 50, rows)}) for rows in (then, now)]
        grids = freeze_grids(tables[0], column)
        sides = [profile_table(table, grids) for table in tables]
        found = judge_columns([("c", s) for s in statistics_for("categorical")], *sides)
        fired += [seed] * any(f.decision.verdict == "alarm" for f in found)
    assert len(fired) <= 3, fired


@pytest.mark.parametrize("new", [["brand new"], [f"n{i}" for i in range(40)], [f"n{i}" for i in range(400)]])
def test_values_that_are_new_for_a_reason_alarm_against_a_small_reference(new: list[str]) -> None:
    random = np.random.default_rng(4)
    then, now = _zipf(random, 10, 100), _zipf(random, 10, 600) + (new * 400)[:400]
    tables = [pa.table({"c": rows}) for rows in (then, now)]
    sides = [profile_table(t, freeze_grids(tables[0], [Column("c", "categorical")])) for t in tables]
    found = judge_columns([("c", s) for s in statistics_for("categorical")], *sides)
    fired = {f.statistic.name for f in found if f.decision.verdict == "alarm"}
    assert "unseen_rate" in fired
    assert len(new) == 400 or "chi_squared" in fired


def _overflow(*_: Any) -> Any:
    return math.exp(1000.0)


@pytest.mark.parametrize("part", ["compute", "law"])
def test_a_statistic_whose_arithmetic_fails_is_inconclusive_and_the_others_are_told(part: str) -> None:
    random = np.random.default_rng(0)
    then, now = profiles(random.normal(size=500), random.normal(size=500))
    broken = replace(REGISTRY["wasserstein"], **{part: _overflow})
    found = judge_columns([("x", broken), ("x", REGISTRY["psi"])], {"x": then}, {"x": now})
    assert [f.decision.verdict for f in found] == ["inconclusive", "ok"]
    assert "too large or too far apart" in str(found[0].decision.reason)


@pytest.mark.parametrize(
    ("usual", "now", "verdict"),
    [
        ((0.4, 0.5), 0.02, "alarm"),
        ((0.0, 0.5), 0.0, "ok"),
        ((0.2, 0.8), 0.3, "ok"),
        ((0.4, 0.5), 0.9, "alarm"),
    ],
)
def test_a_falling_rate_is_held_against_what_quiet_windows_show(
    usual: tuple[float, ...], now: float, verdict: str
) -> None:
    then, window = (missing(rows, rate) for rows, rate in ((4000, 0.45), (400, now)))
    known = {("x", "missing_rate"): usual * 5}
    (found,) = judge_columns([("x", REGISTRY["missing_rate"])], {"x": then}, {"x": window}, noise=known)
    assert found.decision.verdict == verdict
    assert found.result.value == pytest.approx(now)
    assert found.result.details["direction"] == ("fell" if now < 0.45 else "rose")


def test_chance_moves_a_missing_rate_past_its_limits_as_seldom_as_promised() -> None:
    random = np.random.default_rng(0)
    fired = 0
    for _ in range(1000):
        then, now = (missing(rows, random.binomial(rows, 0.5) / rows) for rows in (300, 300))
        (found,) = judge_columns([("x", REGISTRY["missing_rate"])], {"x": then}, {"x": now}, error=0.04)
        fired += found.decision.verdict == "alarm"
    assert 15 <= fired <= 62


@pytest.mark.parametrize(("then", "now"), [(60, 1000), (100, 400), (500, 1000)])
@pytest.mark.parametrize("rate", [0.002, 0.02, 0.05])
def test_a_small_reference_tells_a_rare_rate_roughly(then: int, now: int, rate: float) -> None:
    random = np.random.default_rng([then, int(1000 * rate)])
    pairs = zip(random.binomial(then, rate, 600) / then, random.binomial(now, rate, 600) / now, strict=True)
    fired = 0
    for a, b in pairs:
        sides = {"x": missing(then, a)}, {"x": missing(now, b)}
        (found,) = judge_columns([("x", REGISTRY["missing_rate"])], *sides, error=0.035)
        fired += found.decision.verdict == "alarm"
    assert fired <= 34, "3.5 % of 600 is 21; more than 34 has a chance of 0.3 %"


@pytest.mark.parametrize(("then", "now"), [(100, 400), (200, 1000), (500, 1000)])
@pytest.mark.parametrize(("levels", "steepness"), [(50, 1.0), (30, 1.5), (60, 2.0)])
def test_few_numbers_that_a_small_reference_happens_not_to_have_are_no_change(
    then: int, now: int, levels: int, steepness: float
) -> None:
    share = 1 / np.arange(1, levels + 1) ** steepness
    together, alone = 0, 0
    for seed in range(60):
        random = np.random.default_rng([seed, then])
        sides = profiles(*(random.choice(levels, n, p=share / share.sum()) * 1.0 for n in (then, now)))
        reference, current = ({"x": side} for side in sides)
        found = judge_columns([("x", s) for s in statistics_for("numeric")], reference, current)
        together += any(f.decision.verdict == "alarm" for f in found)
        (one,) = judge_columns([("x", REGISTRY["out_of_range_rate"])], reference, current)
        alone += one.decision.verdict == "alarm"
    assert together <= 7 and alone <= 6, "3.5 % of 60 is 2.1; more than 7 has a chance of 0.1 %"


def missing(rows: int, rate: float) -> Profile:
    grid, null = place_categories({"a": 10, "b": 10}), round(rows * rate)
    return Profile(grid, rows, np.array([rows - null, 0, 0, 0]), null=null)


def test_limits_do_not_depend_on_the_order_in_which_new_values_were_read() -> None:
    r = np.random.default_rng(3)
    then, now = profiles(
        r.choice(list("abcd"), 300), r.choice(list("abcdefgh"), 200, p=[0.24] * 4 + [0.01] * 4), "categorical"
    )
    turned = replace(now, unseen=dict(reversed(list((now.unseen or {}).items()))))

    first, second = (Exchange(then, side).coarse for side in (now, turned))

    assert len(set((now.unseen or {}).values())) > 1
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
