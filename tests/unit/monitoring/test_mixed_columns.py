"""Columns of a few common values and many rare ones, against small references and larger windows."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from backend.monitoring.columns import Column
from backend.monitoring.profiles import freeze_grids, profile_table
from backend.monitoring.statistics import statistics_for
from backend.monitoring.verdicts import judge_columns

Draw = Callable[[np.random.Generator, int], Any]
SIZES = [(200, 2000), (200, 5000), (500, 5000), (1000, 10_000), (2000, 20_000)]


def zeros(share: float, size: float = 1.0) -> Draw:
    return lambda r, n: np.where(r.uniform(size=n) < share, 0.0, size * r.exponential(size=n))


def far(share: float, mean: float = 3.0, digits: int = 12) -> Draw:
    return lambda r, n: np.where(
        r.uniform(size=n) < share, 0.0, np.round(np.exp(r.normal(mean, 1, n)), digits)
    )


def few_and_far(r: np.random.Generator, n: int) -> Any:
    return np.where(r.uniform(size=n) < 0.9, r.integers(0, 5, n), np.exp(r.normal(3, 1, n)))


def ids(share: float) -> Draw:
    return lambda r, n: np.where(r.uniform(size=n) < share, "a", r.integers(0, 10**9, n).astype(str))


def words(r: np.random.Generator, n: int) -> Any:
    return np.minimum(r.zipf(1.6, n), 10**6).astype(str)


SHAPES: dict[str, Draw] = {
    "90 % zeros": zeros(0.9), "60 % zeros": zeros(0.6), "97 % zeros, lognormal": far(0.97),
    "97 % zeros, rounded": far(0.97, digits=1),
    "few values, and lognormal": few_and_far, "90 % one word, ids": ids(0.9),
    "words by zipf": words,
}  # fmt: skip


def fired(before: Draw, after: Draw, rows: tuple[int, int], times: int) -> int:
    """In how many of so many comparisons of this one column any statistic alarms."""
    random = np.random.default_rng([*rows, times])
    then, now = (
        pa.table({f"c{i}": draw(random, n) for i in range(times)})
        for draw, n in zip((before, after), rows, strict=True)
    )
    kind: Any = "numeric" if pa.types.is_floating(then.column(0).type) else "categorical"
    grids = freeze_grids(then, [Column(name, kind) for name in then.column_names])
    sides = [profile_table(table, grids) for table in (then, now)]
    pairs = [[(name, s) for s in statistics_for(kind)] for name in grids]
    return sum(any(f.decision.verdict == "alarm" for f in judge_columns(one, *sides)) for one in pairs)


@pytest.mark.parametrize(
    "shape",
    [pytest.param(shape, marks=[pytest.mark.slow] if shape != "90 % zeros" else []) for shape in SHAPES],
)
def test_rare_values_that_a_small_reference_cannot_know_are_no_change(shape: str) -> None:
    false = {rows: fired(SHAPES[shape], SHAPES[shape], rows, 8) for rows in SIZES}
    assert sum(false.values()) <= 5, f"3.5 % of 40 is 1.4; more than 5 has a chance of 0.3 %: {false}"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (zeros(0.9), zeros(0.7)),
        (zeros(0.9), zeros(0.9, 6.0)),
        (far(0.97), far(0.8)),
        (few_and_far, zeros(0.5)),
        (ids(0.9), ids(0.6)),
        (ids(0.9), lambda r, n: np.where(r.uniform(size=n) < 0.15, "b", ids(0.9)(r, n))),
        (words, lambda r, n: np.where(r.uniform(size=n) < 0.25, "brand new", words(r, n))),
    ],
)
@pytest.mark.parametrize("rows", [(200, 5000), (2000, 20_000)])
def test_a_change_of_such_a_column_is_still_seen(before: Draw, after: Draw, rows: tuple[int, int]) -> None:
    assert fired(before, after, rows, 4) == 4
