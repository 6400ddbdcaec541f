"""`compare` where values are not there, or are there and cannot be read: what is said, and what is no alarm."""

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest

from backend.monitoring.compare import Comparison, compare_files, compare_tables


def frame(rows: int, seed: int, **changed: Any) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    data = {"x": random.normal(10, 2, rows), "w": random.choice(["a", "b", "c"], rows)}
    return pd.DataFrame(data | changed)


def from_files(folder: Path, *sides: pd.DataFrame, **options: Any) -> list[Comparison]:
    paths = [folder / f"{at}.csv" for at in range(len(sides))]
    for side, path in zip(sides, paths, strict=True):
        side.to_csv(path, index=False)
    return compare_files(*paths, **options)


def from_tables(*sides: pd.DataFrame) -> list[Comparison]:
    return compare_tables(*(duckdb.connect().from_df(side) for side in sides))


def alarms(rows: list[Comparison]) -> set[tuple[str, str]]:
    return {(row.column, row.statistic) for row in rows if row.verdict == "alarm"}


def missing(rows: list[Comparison], column: str) -> Comparison:
    return next(row for row in rows if (row.column, row.statistic) == (column, "missing_rate"))


def test_a_csv_file_of_a_header_alone_has_no_types_to_compare(tmp_path: Path) -> None:
    full = frame(500, 0)
    now_empty = from_files(tmp_path, full, full.head(0))
    assert {row.verdict for row in now_empty} == {"no_data"}
    then_empty = from_files(tmp_path, full.head(0), full)
    assert {row.verdict for row in then_empty} == {"inconclusive"}
    assert {row.reason for row in then_empty} == {"the reference has no usable value in this column"}


def test_a_csv_column_that_turns_empty_is_missing_and_of_no_other_type(tmp_path: Path) -> None:
    full, empty = frame(500, 0), frame(200, 1, x=None)
    assert alarms(from_files(tmp_path, full, empty)) == {("x", "missing_rate")}
    assert alarms(from_files(tmp_path, empty, full)) == {("x", "missing_rate")}
    (told, *_) = from_files(tmp_path, full, empty, statistics=["schema_change"], columns=["x"])
    assert (told.verdict, told.value) == ("ok", 0.0)
    assert "without any value that would tell its type" in told.text


def test_a_column_of_nothing_but_nulls_has_no_type_in_parquet_either(tmp_path: Path) -> None:
    paths = [tmp_path / "then.parquet", tmp_path / "now.parquet"]
    for side, path in zip((frame(500, 0), frame(200, 1, x=None)), paths, strict=True):
        side.to_parquet(path)
    assert alarms(compare_files(*paths)) == {("x", "missing_rate")}


def test_a_type_that_is_declared_counts_though_no_value_is_there() -> None:
    connection = duckdb.connect()
    then = connection.sql("select range * 0.5::double as x from range(300)")
    now = connection.sql("select null::varchar as x from range(300)")
    assert alarms(compare_tables(then, now)) == {("x", "missing_rate"), ("x", "schema_change")}


@pytest.mark.parametrize("read", [from_tables, None], ids=["tables", "csv"])
def test_text_in_the_place_of_numbers_is_told_as_such_with_an_example(read: Any, tmp_path: Path) -> None:
    now = frame(200, 1)
    now["x"] = [f"{value:.1f}x" for value in now["x"]]
    rows = read(frame(500, 0), now) if read else from_files(tmp_path, frame(500, 0), now)

    assert alarms(rows) == {("x", "missing_rate"), ("x", "schema_change")}
    found = missing(rows, "x")
    assert found.text.startswith("Unreadable values of x from 0 % to 100 %")
    assert found.text.endswith(
        f"; 200 hold something that cannot be read as a number, such as {now['x'][0]!r}"
    )
    assert found.details == {"null": 0, "nan": 0, "invalid": 200, "absent": 0}
    drift = next(row for row in rows if (row.column, row.statistic) == ("x", "psi"))
    assert str(drift.reason).endswith("200 are there but cannot be read as a number")


def test_missing_and_unreadable_values_are_counted_apart() -> None:
    now = frame(400, 1)
    now["x"] = now["x"].map(str)
    now.loc[:79, "x"] = None
    now.loc[80:99, "x"] = "n.a. " * 20
    rows = from_tables(frame(500, 0), now)
    found = missing(rows, "x")

    assert found.text.startswith("Missing values of x from 0 % to 25.0 %")
    assert "; 20 hold something that cannot be read as a number, such as 'n.a. n.a." in found.text
    assert found.text.endswith("…'") and len(found.text) < 180
    assert found.details == {"null": 80, "nan": 0, "invalid": 20, "absent": 0}
    empty = missing(from_tables(frame(500, 0), frame(200, 1, x=np.nan)), "x")
    assert (
        empty.text.startswith("Missing values of x from 0 % to 100 %") and "cannot be read" not in empty.text
    )


@pytest.mark.parametrize("none", [0.005, 0.02, 0.3])
def test_a_shift_is_found_in_numbers_as_text_beside_signs_of_none(none: float) -> None:
    def texts(rows: int, seed: int, mean: float) -> pd.DataFrame:
        random = np.random.default_rng(seed)
        number = [f"{value:.3f}" for value in random.normal(mean, 5, rows)]
        return frame(rows, seed, x=np.where(random.random(rows) < none, "-", number))

    assert alarms(from_tables(texts(3000, 0, 50), texts(1000, 1, 50))) == set()
    assert ("x", "mean_shift") in alarms(from_tables(texts(3000, 0, 50), texts(1000, 1, 55)))


def test_numbers_in_csv_that_lose_their_signs_of_none_are_numbers_still(tmp_path: Path) -> None:
    signed = frame(1000, 0)
    signed["x"] = np.where(np.arange(1000) % 200 == 0, "-", signed["x"].map(str))
    assert alarms(from_files(tmp_path, signed, frame(300, 1))) == set()
    assert alarms(from_files(tmp_path, frame(1000, 0), signed)) == {("x", "schema_change")}
    assert alarms(from_tables(signed, frame(300, 1))) == {("x", "schema_change")}


def test_repeated_rows_of_files_are_counted_beside_statistics_of_columns(tmp_path: Path) -> None:
    rows = from_files(tmp_path, frame(500, 0), frame(200, 1), statistics=["psi", "duplicates"])
    assert {(row.column, row.statistic): row.verdict for row in rows} == {
        ("x", "psi"): "ok", ("w", "psi"): "ok", ("", "duplicates"): "ok",
    }  # fmt: skip
