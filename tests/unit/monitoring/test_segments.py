"""Profiles by segment, by group and of overlapping windows: the parts always add up to the whole."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from backend.errors import BadInput
from backend.monitoring.columns import Column
from backend.monitoring.profiles import (
    freeze_grids,
    merge_all,
    profile_groups,
    profile_segments,
    profile_table,
    profile_windows,
)
from backend.monitoring.sources import open_source
from backend.monitoring.windows import Window, windows_between

START = datetime(2026, 3, 1, tzinfo=UTC)
COLUMNS = [
    Column("fare", "numeric"),
    Column("seats", "numeric"),
    Column("distance", "numeric"),
    Column("carrier", "categorical"),
    Column("code", "categorical"),
]


def rows(count: int, seed: int) -> pa.Table:
    random = np.random.default_rng(seed)
    carrier = random.choice(["AA", "B6", "UA", "it's"], count).tolist()
    carrier[:7] = [None] * 7
    return pa.table(
        {
            "ts": [START + timedelta(minutes=int(m)) for m in random.integers(0, 3 * 1440, count)],
            "fare": random.lognormal(size=count),
            "seats": random.integers(0, 6, count),
            "distance": np.where(random.random(count) < 0.05, np.nan, random.normal(900, 300, count)),
            "carrier": carrier,
            "code": random.choice(40, count, p=np.arange(40, 0, -1) / 820),
            "part": random.integers(-1, 4, count),
        }
    )


@pytest.fixture(scope="module")
def data() -> pa.Table:
    return rows(4000, 3)


GRIDS = freeze_grids(rows(3000, 1), COLUMNS)
WINDOWS = windows_between(START, START + timedelta(days=4), "1d")


def test_the_segments_of_each_column_add_up_to_all_rows(data: pa.Table) -> None:
    by = ["carrier", "seats", "distance", "code"]
    found = profile_segments(data, GRIDS, WINDOWS, by)
    plain = profile_windows(data, GRIDS, WINDOWS)
    for window in WINDOWS:
        for column in COLUMNS:
            grid = GRIDS[column.name]
            whole = plain[window.start, column.name]
            assert found[window.start, None, column.name].digest == whole.digest
            for name in by:
                parts = [
                    profile
                    for (start, segment, of), profile in found.items()
                    if start == window.start and of == column.name and segment and segment[0] == name
                ]
                assert len(parts) > 1
                assert merge_all(parts, grid).digest == whole.digest, (column.name, name)


def test_a_segment_holds_the_rows_of_its_value(data: pa.Table) -> None:
    found = profile_segments(data, GRIDS, WINDOWS, ["carrier", "seats"])
    values, times = np.array(data["carrier"].to_pylist(), dtype=object), np.array(data["ts"].to_pylist())
    for value in ("AA", "it's"):
        inside = (values == value) & (times < WINDOWS[0].end)
        profile = found[WINDOWS[0].start, ("carrier", value), "fare"]
        assert profile.rows == inside.sum()
        assert profile.mean == pytest.approx(data["fare"].to_numpy()[inside].mean())
    assert sum(found[w.start, ("carrier", "missing"), "fare"].rows for w in WINDOWS) == 7
    assert (
        sum(found[w.start, ("seats", "3"), "fare"].rows for w in WINDOWS)
        == (data["seats"].to_numpy() == 3).sum()
    )


def test_a_column_of_many_values_has_twenty_segments_and_the_rest(data: pa.Table) -> None:
    found = profile_segments(data, GRIDS, WINDOWS[:1], ["code"])
    names = {segment[1] for _, segment, _ in found if segment}
    assert names == {*GRIDS["code"].values[:20], "other"}


def test_a_segment_column_may_have_a_grid_of_its_own_and_must_be_there(data: pa.Table) -> None:
    own = freeze_grids(data, [Column("part", "categorical")])
    found = profile_segments(data, GRIDS, WINDOWS, own)
    assert ("part", "-1") in {segment for _, segment, _ in found}
    with pytest.raises(BadInput, match="no column 'gone' to make segments by"):
        profile_segments(data, GRIDS, WINDOWS, {"gone": GRIDS["carrier"]})


def test_any_whole_number_can_group_rows(data: pa.Table) -> None:
    found = profile_groups(data, GRIDS, "part")
    parts = data["part"].to_numpy()
    assert {group for group, _ in found} == {-1, 0, 1, 2, 3}
    for group in range(-1, 4):
        assert found[group, "seats"].rows == (parts == group).sum()
    whole = profile_table(data, GRIDS)["fare"]
    assert merge_all([found[group, "fare"] for group in range(-1, 4)], GRIDS["fare"]).digest == whole.digest
    with pytest.raises(BadInput, match="no column 'gone'"):
        profile_groups(data, GRIDS, "gone")
    with pytest.raises(BadInput, match="not whole numbers"):
        profile_groups(data, GRIDS, "fare")


def test_windows_that_overlap_or_leave_gaps_count_as_if_each_were_alone(data: pa.Table) -> None:
    windows = [
        Window(START + timedelta(hours=6), START + timedelta(hours=40)),
        Window(START, START + timedelta(hours=7, microseconds=3)),
        Window(START + timedelta(hours=60), START + timedelta(hours=61)),
        Window(START + timedelta(hours=30), START + timedelta(hours=60)),
    ]
    together = profile_windows(data, GRIDS, windows)
    for window in windows:
        alone = profile_windows(data, GRIDS, [window])
        for column in COLUMNS:
            key = window.start, column.name
            assert together[key].digest == alone[key].digest


def test_times_without_a_zone_dates_and_nanoseconds_are_read_as_utc(data: pa.Table) -> None:
    moments = data["ts"].cast(pa.timestamp("us", "UTC"))
    expected = profile_windows(data, GRIDS, WINDOWS)
    at = data.schema.names.index("ts")
    for kind in (pa.timestamp("us"), pa.timestamp("ns"), pa.timestamp("ns", "UTC"), pa.timestamp("s", "UTC"),
                 pa.timestamp("ms", "America/New_York"), pa.date32()):  # fmt: skip
        other = data.set_column(at, "ts", moments.cast(kind, safe=False))
        found = profile_windows(other, GRIDS, WINDOWS)
        assert all(found[key].digest == profile.digest for key, profile in expected.items()), kind


def test_times_out_of_order_null_and_far_away_do_not_move_other_rows(data: pa.Table) -> None:
    times = data["ts"].to_pylist()
    times[:3] = [None, datetime(9000, 1, 1, tzinfo=UTC), datetime(1900, 1, 1, tzinfo=UTC)]
    odd = data.set_column(0, "ts", pa.array(times, pa.timestamp("us", "UTC")))
    found = profile_windows(odd, GRIDS, WINDOWS)
    expected = profile_windows(data.slice(3), GRIDS, WINDOWS)
    assert all(found[key].digest == profile.digest for key, profile in expected.items())


@pytest.mark.parametrize("form", ["parquet", "paths", "folder", "csv", "dataset", "relation", "ibis"])
def test_a_source_of_any_form_counts_the_same(data: pa.Table, form: str, tmp_path: Path) -> None:
    expected = profile_table(data, GRIDS)
    source: object
    if form in ("parquet", "ibis"):
        pq.write_table(data, tmp_path / "it's.parquet")
        source = tmp_path / "it's.parquet"
        source = open_source(source) if form == "ibis" else str(source)
    elif form in ("paths", "folder", "dataset"):
        pq.write_table(data.slice(0, 1000), tmp_path / "a.parquet")
        pq.write_table(data.slice(1000), tmp_path / "b.parquet")
        source = [tmp_path / "a.parquet", tmp_path / "b.parquet"] if form == "paths" else tmp_path
        if form == "dataset":
            source = pa.dataset.dataset(str(tmp_path))
    elif form == "csv":
        pa.csv.write_csv(data, tmp_path / "rows.csv")
        source = tmp_path / "rows.csv"
    else:
        connection = duckdb.connect()
        pq.write_table(data, tmp_path / "rows.parquet")
        source = connection.read_parquet(str(tmp_path / "rows.parquet"))
    found = profile_table(source, GRIDS)
    for column in COLUMNS:
        assert found[column.name].digest == expected[column.name].digest, column


def test_a_source_that_cannot_be_read_says_what_and_what_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "rows.xlsx").write_text("x")
    (tmp_path / "bad.parquet").write_text("x")
    (tmp_path / "empty").mkdir()
    for place, words in {
        tmp_path / "gone.parquet": "does not exist",
        tmp_path / "rows.xlsx": "a file ends in .parquet",
        tmp_path / "bad.parquet": "cannot be read",
        tmp_path / "empty": "holds no Parquet files",
        "mysql://me:secret@host/db": "mysql://host/db cannot be read; a source is",
        "postgresql://me:secret@localhost:1/db": "names no table",
        "postgresql://me:secret@localhost:1/db?table=rows": "table rows: ",
    }.items():
        with pytest.raises(BadInput, match=words) as caught:
            open_source(place)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("change", ["list", "text", "bool", "time", "bytes"])
def test_a_column_that_changes_type_is_counted_and_stops_no_other(data: pa.Table, change: str) -> None:
    count = data.num_rows
    values = {
        "list": [[1.0]] * count,
        "text": ["x"] * count,
        "bool": [True] * count,
        "time": [datetime(2026, 1, 1, tzinfo=UTC)] * count,
        "bytes": [b"x"] * count,
    }[change]
    at = data.schema.names.index("fare")
    found = profile_table(data.set_column(at, "fare", pa.array(values)), GRIDS)
    assert found["fare"].rows == count
    assert found["fare"].known + found["fare"].invalid == count
    assert (found["fare"].invalid == count) == (change in ("list", "text", "bytes"))
    assert found["seats"].digest == profile_table(data, GRIDS)["seats"].digest
