"""Exact sums over cells against splits that are drawn."""

import numpy as np
import numpy.typing as npt
import pytest

from backend.monitoring.laws import chi_squared_moments
from backend.monitoring.nulls import Exchange, few_rows
from backend.monitoring.splits import Numbers, largest_change, moments_of_sum, possible_counts
from backend.monitoring.statistics import hellinger, jensen_shannon, psi, statistics_for, total_variation
from backend.monitoring.verdicts import judge_columns
from tests.unit.monitoring.test_nulls import profiles

POOLS = {
    "even": (np.full(50, 100), (4950, 50)),
    "few cells": (np.array([700, 250, 50]), (600, 400)),
    "one cell holds most": (np.array([9500, 300, 150, 40, 9, 1]), (9000, 1000)),
    "rare cells": (np.array([*np.maximum(3000 // np.arange(1, 60) ** 2, 1)]), None),
    "many rows": (np.array([400_000, 300_000, 200_000, 100_000]), (500_000, 500_000)),
}


def draw(pool: str, size: int) -> tuple[npt.NDArray[np.int64], tuple[int, int], Numbers, Numbers]:
    pooled, rows = POOLS[pool]
    n_r, n_c = rows or (int(pooled.sum()) - 80, 80)
    drawn = np.random.default_rng(0).multivariate_hypergeometric(pooled, n_c, size=size, method="marginals")
    return pooled, (n_r, n_c), (pooled - drawn) / n_r, drawn / n_c


@pytest.mark.parametrize("module", [psi, jensen_shannon, hellinger, total_variation])
@pytest.mark.parametrize("pool", POOLS)
def test_moments_of_a_sum_are_those_of_drawn_splits(module: object, pool: str) -> None:
    terms = module.terms  # type: ignore[attr-defined]
    pooled, rows, r, c = draw(pool, 40_000)
    values = terms(r, c).sum(axis=1)
    mean, variance, third = moments_of_sum(terms, possible_counts(pooled, rows))
    assert mean == pytest.approx(values.mean(), rel=0.02)
    assert variance**0.5 == pytest.approx(values.std(), rel=0.04)
    # The larger of it and a gamma law's skewness is taken.
    skew = max(third / variance**1.5, 2 * variance**0.5 / mean)
    drawn = float(((values - values.mean()) ** 3).mean()) / values.std() ** 3
    assert skew > drawn - 0.15 * max(drawn, 1)


def test_the_variance_of_chi_squared_is_the_exact_one() -> None:
    for pooled, rows in ((POOLS["even"]), (np.array([60, 30, 8, 1, 1]), (80, 20))):
        n_r, n_c = rows

        def terms(r: Numbers, c: Numbers, n_r: int = n_r, n_c: int = n_c) -> Numbers:
            share = (r * n_r + c * n_c) / (n_r + n_c)
            return (c - r) ** 2 / (share * (1 / n_r + 1 / n_c))

        mean, variance, _ = moments_of_sum(terms, possible_counts(pooled, rows))
        assert (mean, variance) == pytest.approx(chi_squared_moments(pooled, *rows), rel=5e-3)


@pytest.mark.parametrize("pool", POOLS)
def test_the_largest_change_is_seldom_beyond_its_limit(pool: str) -> None:
    pooled, rows, r, c = draw(pool, 40_000)
    values = np.abs(c - r).max(axis=1)
    law = largest_change(pooled, rows)
    for alpha in (0.05, 0.005):
        limit = law.quantile(alpha)
        assert law.p(limit) == pytest.approx(alpha, rel=0.03)
        assert (values >= limit).mean() < 1.25 * alpha
        assert (values >= 0.7 * limit).mean() > alpha


def test_rows_outside_the_grid_are_counted_apart() -> None:
    random = np.random.default_rng(3)
    then, now = profiles(random.lognormal(size=3000), random.lognormal(size=100))
    exchange = Exchange(then, now)
    values = psi.measure(then.grid, *exchange.coarse)
    mean, variance, _ = moments_of_sum(psi.terms, exchange.cells)
    assert mean == pytest.approx(values.mean(), rel=0.06)
    assert variance**0.5 == pytest.approx(values.std(), rel=0.15)


def test_kept_draws_of_few_rows_have_a_bridges_deviation() -> None:
    drawn, levels = few_rows(50)
    middle = slice(150, 370)
    assert drawn[:, middle].std(axis=0) == pytest.approx(np.sqrt(levels * (1 - levels))[middle], rel=0.1)
    assert drawn[:, 0].max() > 3 or drawn[:, 0].std() < 0.01, "a row below a tiny level is a lump"


@pytest.mark.parametrize("module", [psi, jensen_shannon, hellinger, total_variation])
@pytest.mark.parametrize("rows", [(80, 20), (1, 1), (99, 1)])
def test_a_constant_column_has_no_split_but_one(module: object, rows: tuple[int, int]) -> None:
    terms = module.terms  # type: ignore[attr-defined]
    cells = possible_counts(np.array([sum(rows), 0]), rows)
    assert moments_of_sum(terms, cells) == pytest.approx((0.0, 0.0, 0.0), abs=1e-9)
    law = largest_change(np.array([sum(rows), 0]), rows)
    assert (law.quantile(0.01), law.p(0.1), law.p(0.0)) == (0.0, 0.0, 1.0)


def test_verdicts_on_a_constant_column_are_ok_or_say_why() -> None:
    then, now = profiles(np.full(500, 7.5), np.full(60, 7.5))
    found = judge_columns([("x", s) for s in statistics_for("numeric", every=True)], {"x": then}, {"x": now})
    assert {f.decision.verdict for f in found} <= {"ok", "inconclusive"}
    assert all(f.decision.reason for f in found if f.decision.verdict == "inconclusive")
