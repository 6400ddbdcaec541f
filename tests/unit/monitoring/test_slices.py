import time

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from backend.monitoring.cells import PlacedColumn, place_rows, profile_cells
from backend.monitoring.columns import Column
from backend.monitoring.grids import freeze_grids
from backend.monitoring.outcomes import Outcomes, read_outcomes
from backend.monitoring.profiles import profile_table
from backend.monitoring.slices import search_slices

COLUMNS = [Column("age", "numeric"), Column("count", "numeric"), Column("noise", "numeric"),
           Column("city", "categorical"), Column("plan", "categorical")]  # fmt: skip


def drawn(rows: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": random.normal(40, 10, rows),
            "count": random.poisson(3, rows),
            "noise": random.lognormal(0, 1, rows),
            "city": random.choice(["Lyon", "Oslo", "Rome", "Bern"], rows, p=[0.4, 0.3, 0.2, 0.1]),
            "plan": random.choice(list("abcdefgh"), rows),
        }
    )


def placed_on_own_grid(frame: pd.DataFrame) -> dict[str, PlacedColumn]:
    return place_rows(frame, freeze_grids(pa.Table.from_pandas(frame), COLUMNS))


def errors(values: np.ndarray) -> Outcomes:
    return read_outcomes("regression", "mae", score=None, prediction=values, label=np.zeros(values.size))


def test_rows_are_placed_in_the_cells_that_a_profile_counts() -> None:
    reference, later = drawn(3000, 0), drawn(2000, 1)
    later["age"] = later["age"].where(later.index % 7 != 0)
    later.loc[:50, "age"] = np.inf
    later.loc[50:90, "noise"] = -1e9
    later["city"] = later["city"].where(later.index % 5 != 0)
    later.loc[later.index % 11 == 0, "city"] = "Ghent"
    later = later.drop(columns="plan")
    grids = freeze_grids(pa.Table.from_pandas(reference), COLUMNS)
    placed = place_rows(later, grids)
    profiles = profile_table(pa.Table.from_pandas(later), grids)
    for name, column in placed.items():
        counts = np.bincount(column.codes, minlength=column.cells)
        np.testing.assert_array_equal(counts, profile_cells(profiles[name]), err_msg=name)
    assert placed["noise"].far[50:90].all()


@pytest.mark.parametrize("seed", range(3))
def test_a_planted_slice_of_one_column_comes_first(seed: int) -> None:
    frame = drawn(8000, seed)
    random = np.random.default_rng(seed + 100)
    bad = (frame["city"] == "Rome").to_numpy()
    right = random.random(8000) > np.where(bad, 0.25, 0.15)
    outcomes = read_outcomes(
        "multiclass", "accuracy", score=None, prediction=np.where(right, "x", "y"), label=["x"] * 8000
    )
    found = search_slices(placed_on_own_grid(frame), outcomes)
    first = found.slices[0]
    assert first.columns == ("city",) and first.conditions[0].text == "city = Rome"
    assert first.inside == pytest.approx(right[bad].mean())
    assert first.outside == pytest.approx(right[~bad].mean())
    assert first.effect == pytest.approx(right[~bad].mean() * bad.mean() * (~bad).mean()
                                         - right[bad].mean() * bad.mean() * (~bad).mean(), abs=1e-9)  # fmt: skip
    assert "city = Rome" in first.text and first.p_corrected < 0.05


@pytest.mark.parametrize("seed", range(3))
def test_an_interaction_is_found_though_no_single_column_shows_it(seed: int) -> None:
    frame = drawn(20_000, seed)
    random = np.random.default_rng(seed + 200)
    old, oslo = (frame["age"] > 40).to_numpy(), frame["city"].isin(["Lyon", "Bern"]).to_numpy()
    error = random.exponential(1.0, 20_000) * np.where(old == oslo, 1.3, 0.7)
    assert not search_slices(placed_on_own_grid(frame), errors(error), pairs=False).slices
    first = search_slices(placed_on_own_grid(frame), errors(error)).slices[0]
    assert set(first.columns) == {"age", "city"}


def test_a_slice_of_a_worse_slice_is_not_named_again() -> None:
    frame = drawn(20_000, 5)
    random = np.random.default_rng(6)
    error = random.exponential(1.0, 20_000) * np.where(frame["city"] == "Rome", 2.0, 1.0)
    assert len(search_slices(placed_on_own_grid(frame), errors(error)).slices) == 1


def test_two_bad_slices_are_named_by_their_effect_on_the_whole() -> None:
    frame = drawn(20_000, 7)
    random = np.random.default_rng(8)
    factor = np.where(frame["city"] == "Lyon", 1.7, np.where(frame["plan"] == "c", 1.7, 1.0))
    found = search_slices(placed_on_own_grid(frame), errors(random.exponential(1.0, 20_000) * factor)).slices
    assert [one.text.split(":")[0] for one in found] == ["city = Lyon", "plan = c"]
    assert found[0].effect > found[1].effect


def test_ranking_of_a_slice_counts_for_the_auc() -> None:
    frame = drawn(15_000, 9)
    random = np.random.default_rng(10)
    logit = random.normal(0, 1.5, 15_000)
    label = random.random(15_000) < 1 / (1 + np.exp(-logit))
    blind = ((frame["plan"] == "b") | (frame["plan"] == "a")).to_numpy() & (
        frame["city"] == "Lyon"
    ).to_numpy()
    label = np.where(blind, random.random(15_000) < 0.5, label)
    outcomes = read_outcomes(
        "binary", "roc_auc", score=1 / (1 + np.exp(-logit)), prediction=None, label=label.astype(int)
    )
    found = search_slices(placed_on_own_grid(frame), outcomes).slices
    assert {condition.text for condition in found[0].conditions} <= {"plan = a", "plan = b", "city = Lyon"}
    assert found[0].inside is not None and found[0].outside is not None
    assert found[0].inside < found[0].outside - 0.1


@pytest.mark.slow
def test_quiet_rows_have_a_slice_in_at_most_one_search_of_twenty() -> None:
    named = 0
    searches = 0
    for seed in range(150):
        frame = drawn(1500, seed)
        placed = placed_on_own_grid(frame)
        random = np.random.default_rng(seed + 1000)
        logit = random.normal(0, 1.5, 1500)
        label = (random.random(1500) < 1 / (1 + np.exp(-logit - 2))).astype(int)
        auc = read_outcomes("binary", "roc_auc", score=logit, prediction=None, label=label)
        rare = (random.random(1500) < 0.03).astype(float)
        for outcomes in (auc, errors(random.lognormal(0, 1.0, 1500)), errors(rare)):
            named += bool(search_slices(placed, outcomes, min_rows=30).slices)
            searches += 1
    # 22.5 are expected at the full rate of 5 %; 33 would be exceeded once in a hundred times.
    assert named <= 33, f"{named} of {searches}"


def test_labels_that_follow_expectation_have_no_slice_though_some_rows_are_hard() -> None:
    frame = drawn(10_000, 11)
    random = np.random.default_rng(12)
    chance = np.where(frame["city"] == "Rome", 0.5, 0.05)
    label = (random.random(10_000) < chance).astype(int)
    outcomes = read_outcomes("binary", "brier", score=chance, prediction=None, label=label)
    placed = placed_on_own_grid(frame)
    assert search_slices(placed, outcomes).slices[0].columns == ("city",)
    assert not search_slices(placed, outcomes, excess=(chance - label) ** 2 - chance * (1 - chance)).slices


def test_rows_without_label_or_of_one_class_have_a_reason() -> None:
    frame = drawn(1000, 13)
    placed = placed_on_own_grid(frame)
    none = read_outcomes("regression", "mae", score=None, prediction=np.ones(1000), label=[None] * 1000)
    assert search_slices(placed, none).reason == "0 labelled rows; 100 are needed"
    one = read_outcomes("binary", "roc_auc", score=np.ones(1000), prediction=None, label=[1] * 1000)
    assert "undefined" in str(search_slices(placed, one).reason)


def test_missing_values_are_a_slice() -> None:
    frame = drawn(5000, 14)
    random = np.random.default_rng(15)
    frame["age"] = frame["age"].where(random.random(5000) > 0.1)
    error = random.exponential(1.0, 5000) * np.where(frame["age"].isna(), 2.0, 1.0)
    assert (
        search_slices(placed_on_own_grid(frame), errors(error)).slices[0].conditions[0].text == "age missing"
    )


def test_twenty_columns_of_100000_rows_take_seconds() -> None:
    random = np.random.default_rng(16)
    frame = pd.DataFrame({f"x{i}": random.normal(size=100_000) for i in range(20)})
    columns = [Column(name, "numeric") for name in frame]
    placed = place_rows(frame, freeze_grids(pa.Table.from_pandas(frame.head(5000)), columns))
    outcomes = errors(random.exponential(1.0, 100_000))
    started = time.process_time()
    search_slices(placed, outcomes)
    assert time.process_time() - started < 5
