import json
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from backend.errors import BadInput
from backend.monitoring.columns import Column
from backend.monitoring.profiles import Grid, Profile, freeze_grids, merge_all, profile_table, profile_windows
from backend.monitoring.windows import windows_between

N, C = "numeric", "categorical"
START = datetime(2026, 3, 1, tzinfo=UTC)


def table(**columns: Any) -> pa.Table:
    return pa.table({name: pa.array(values, from_pandas=False) for name, values in columns.items()})


def profile(reference: pa.Table, current: pa.Table, kind: Any, name: str = "x") -> Profile:
    return profile_table(current, freeze_grids(reference, [Column(name, kind)]))[name]


def sample(rows: int, seed: int) -> pa.Table:
    random = np.random.default_rng(seed)
    return pa.table(
        {
            "ts": [START + timedelta(minutes=int(m)) for m in random.integers(0, 3 * 1440, rows)],
            "fare": random.lognormal(size=rows),
            "seats": random.integers(0, 6, rows),
            "carrier": random.choice(["AA", "B6", "UA", 'it\'s "q"'], rows),
        }
    )


COLUMNS = [Column("fare", "numeric"), Column("seats", "numeric"), Column("carrier", "categorical")]


def same(a: Profile, b: Profile) -> bool:
    return a.digest == b.digest


def test_merged_profiles_equal_the_profile_of_all_rows() -> None:
    a, b = sample(900, 1), sample(400, 2).append_column("odd", pa.nulls(400))
    grids = freeze_grids(sample(2000, 0), COLUMNS)
    apart = [profile_table(part, grids) for part in (a, b)]
    whole = profile_table(pa.concat_tables([a, b], promote_options="default"), grids)
    for name, profile_ in whole.items():
        assert same(apart[0][name].merge(apart[1][name]), profile_)


def test_all_windows_and_columns_come_from_one_scan_and_add_up() -> None:
    rows = sample(3000, 3)
    grids = freeze_grids(rows, COLUMNS)
    windows = windows_between(START, START + timedelta(days=4), "1d")
    profiles = profile_windows(rows, grids, windows)
    assert len(profiles) == 12
    whole = profile_table(rows, grids)
    for column in COLUMNS:
        parts = [profiles[w.start, column.name] for w in windows]
        assert parts[3].rows == 0
        assert same(merge_all(parts, grids[column.name]), whole[column.name])
    times = np.array([t.as_py() for t in rows["ts"]])
    assert (
        profiles[windows[1].start, "fare"].rows
        == ((times >= windows[1].start) & (times < windows[1].end)).sum()
    )


def test_windows_of_rows_with_odd_borders_and_overlaps_count_the_same() -> None:
    rows = sample(500, 4)
    grids = freeze_grids(rows, COLUMNS)
    from backend.monitoring.windows import Window

    odd = Window(START + timedelta(microseconds=7), START + timedelta(days=2, microseconds=1234567))
    wide = Window(START, START + timedelta(days=3))
    profiles = profile_windows(rows, grids, [odd, wide])
    times = np.array([t.as_py() for t in rows["ts"]])
    assert profiles[odd.start, "seats"].rows == ((times >= odd.start) & (times < odd.end)).sum()
    assert profiles[wide.start, "seats"].rows == 500


def test_a_duckdb_relation_is_profiled_in_place() -> None:
    rows = sample(300, 5)
    grids = freeze_grids(rows, COLUMNS)
    connection = duckdb.connect()
    relation = connection.from_arrow(rows)
    assert same(profile_table(relation, grids)["fare"], profile_table(rows, grids)["fare"])


def test_a_profile_and_its_grid_survive_json() -> None:
    rows = sample(500, 6)
    for name, found in profile_table(rows, freeze_grids(sample(800, 7), COLUMNS)).items():
        grid = Grid.from_json(json.loads(json.dumps(found.grid.to_json())))
        again = Profile.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False)), grid)
        assert again.digest == found.digest, name
        assert again.grid == found.grid


def test_bins_are_those_of_the_formula() -> None:
    x = np.random.default_rng(8).normal(size=4000)
    grid = freeze_grids(table(x=x), [Column("x", "numeric")])["x"]
    assert 1 <= len(grid.bins) == len(grid.edges) - 1 <= 12
    assert grid.cells == sum(grid.bins) + 2
    found = profile_table(table(x=x), {"x": grid})["x"]
    expected = np.zeros(grid.cells, dtype=int)
    for value in x:
        if value < grid.edges[0]:
            expected[0] += 1
        elif value > grid.edges[-1]:
            expected[-1] += 1
        else:
            piece = min(int(np.searchsorted(grid.edges, value, "right")) - 1, len(grid.bins) - 1)
            lo, hi, bins = grid.edges[piece], grid.edges[piece + 1], grid.bins[piece]
            expected[1 + sum(grid.bins[:piece]) + min(int((value - lo) * (bins / (hi - lo))), bins - 1)] += 1
    assert np.array_equal(found.counts, expected)
    assert found.mean == pytest.approx(x.mean())
    assert found.std == pytest.approx(x.std())


def test_few_distinct_values_are_kept_exactly_and_a_new_one_falls_between() -> None:
    found = profile(table(x=[1.0, 2.0, 4.0] * 10), table(x=[1.0, 3.0, 3.5, 4.0, 9.0, -1.0]), N)
    assert found.counts.tolist() == [1, 1, 0, 0, 2, 1, 1]
    assert (found.under_sum, found.over_sum) == (-1.0, 9.0)
    assert found.coarse.tolist() == [1, 0, 1, 4]


def test_each_odd_number_has_its_place() -> None:
    odd = [None, float("nan"), float("inf"), float("-inf"), 1e200, 0.5]
    found = profile(table(x=np.random.default_rng(0).random(500)), table(x=odd), N)
    assert (found.rows, found.null, found.nan, found.infinite, found.known) == (6, 1, 1, 3, 1)
    assert found.counts.sum() == 1
    json.dumps(found.to_json(), allow_nan=False)


def test_text_in_a_numeric_column_is_read_where_it_can_be() -> None:
    found = profile(table(x=[1.0, 2.0, 3.0] * 9), table(x=["1", "2.0", "n/a", None]), N)
    assert (found.known, found.invalid, found.null) == (2, 1, 1)


def test_numbers_in_a_categorical_column_are_the_same_category_as_integer_or_float() -> None:
    found = profile(table(x=[1, 2, 3] * 5), table(x=[1.0, 2.0, 7.0, float("nan"), None]), C)
    assert found.counts.tolist() == [1, 1, 0, 0, 1]
    assert (found.nan, found.null, found.unseen) == (1, 1, {"7": 1})


@pytest.mark.parametrize("kind", [N, C])
def test_a_column_of_lists_absent_or_null_never_stops_the_others(kind: Any) -> None:
    rows = pa.table(
        {"good": [1.0, 2.0], "list": [[1], [2]], "null": pa.nulls(2), "day": pa.array([1, 2], pa.date32())}
    )
    names = ["good", "list", "null", "day", "gone"]
    grids = freeze_grids(rows, [Column(name, kind) for name in names])
    found = profile_table(rows, grids)
    assert found["good"].known == 2
    assert found["gone"].absent == found["gone"].null == 2
    assert found["null"].null == 2
    assert found["day"].known == 2
    assert found["list"].known + found["list"].invalid == 2


def test_names_with_quotes_and_names_that_differ_by_case_are_told_apart() -> None:
    rows = pa.table({'Fa"re': [1.0, 1.0], 'fa"re': [5.0, 5.0], "__v0": [7.0, 7.0], "w": [9.0, 9.0]})
    columns = [Column(name, "numeric") for name in rows.column_names]
    found = profile_table(rows, freeze_grids(rows, columns))
    assert [found[name].mean for name in rows.column_names] == [1.0, 5.0, 7.0, 9.0]


def test_ten_thousand_categories_keep_the_largest_and_tell_other_from_unseen() -> None:
    values = [f"c{i % 10_000}" for i in range(30_000)] + ["big"] * 500
    found = profile(
        table(x=values), table(x=["big", "c9999", "never", "never", *[f"new{i}" for i in range(150)]]), C
    )
    assert len(found.grid.values) == 200
    assert found.grid.values[0] == "big"
    assert found.counts[-2:].tolist() == [1, 152]
    assert found.unseen is None


def test_the_tail_of_the_reference_does_not_stretch_the_grid() -> None:
    x = np.append(np.random.default_rng(1).normal(size=5000), 1e6)
    grid = freeze_grids(table(x=x), [Column("x", "numeric")])["x"]
    assert grid.edges[-1] < 20
    found = profile_table(table(x=x), {"x": grid})["x"]
    assert found.counts[-1] == 1
    assert found.over_sum == 1e6


def test_profiles_of_different_grids_do_not_merge() -> None:
    a = profile(table(x=[1.0, 2.0]), table(x=[1.0]), N)
    b = profile(table(x=[1.0, 3.0]), table(x=[1.0]), N)
    with pytest.raises(ValueError, match="different grids"):
        a.merge(b)


def test_data_without_times_are_refused_by_name() -> None:
    rows = pa.table({"x": [1.0], "ts": ["today"]})
    grids = freeze_grids(rows, [Column("x", "numeric")])
    windows = windows_between(START, START + timedelta(days=1), "1d")
    with pytest.raises(BadInput, match="no column 'when'"):
        profile_windows(rows, grids, windows, "when")
    with pytest.raises(BadInput, match="varchar, not times"):
        profile_windows(rows, grids, windows, "ts")
