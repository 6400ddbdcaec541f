"""DuckDB, PostgreSQL and Spark count the same rows alike, to the last unit."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backend.monitoring.grids import Grid, freeze_grids
from backend.monitoring.sources import open_source
from tests.integration.monitoring.backend_rows import COLUMNS, SUMS, count_all, odd_rows
from tests.requirements import require

TYPES = {"double": "double precision", "int64": "bigint", "bool": "boolean", "string": "text", "date32[day]": "date",
         "timestamp[us, tz=UTC]": "timestamptz", "timestamp[us]": "timestamp"}  # fmt: skip


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    return odd_rows(3000, 2)


@pytest.fixture(scope="module")
def grids() -> dict[str, Grid]:
    return freeze_grids(odd_rows(2500, 1), COLUMNS)


@pytest.fixture(scope="module")
def expected(rows: pa.Table, grids: dict[str, Grid]) -> dict[str, Any]:
    return count_all(rows, grids)


def assert_equal_counts(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Counts to the last unit; sums to 9 digits, whose last ones are the order in which threads finish."""
    assert found.keys() == expected.keys()
    wrong = [
        (key, name, found[key][name], value)
        for key, document in expected.items()
        for name, value in document.items()
        if found[key][name] != (pytest.approx(value, rel=1e-9, abs=1e-9) if name in SUMS else value)
    ]
    assert not wrong, wrong[:3]


def test_every_odd_value_has_its_place(expected: dict[str, Any]) -> None:
    groups = [expected[f"{part} typed"] for part in range(5)]
    assert sum(group["nan"] for group in groups) <= 1
    assert sum(group["invalid"] for group in groups) in (
        4,
        5,
    )  # "", 1e999, 0x10, "1,5", n/a; a hole may hide one
    delays = [expected[f"{part} delay"] for part in range(5)]
    assert sum(group["infinite"] for group in delays) in (3, 4)


def test_a_parquet_file_counts_as_the_table_in_memory(
    rows: pa.Table, grids: dict[str, Grid], expected: dict[str, Any], tmp_path: Path
) -> None:
    pq.write_table(rows, tmp_path / "rows.parquet", row_group_size=700)
    assert_equal_counts(count_all(tmp_path / "rows.parquet", grids), expected)


def test_postgresql_counts_as_duckdb_does(
    rows: pa.Table, grids: dict[str, Grid], expected: dict[str, Any], postgresql: str
) -> None:
    listed = ", ".join(f'"{field.name}" {TYPES[str(field.type)]}' for field in rows.schema)
    with psycopg.connect(postgresql, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA watched")
        connection.execute(f"CREATE TABLE watched.rows ({listed})")
        try:
            with connection.cursor().copy("COPY watched.rows FROM STDIN") as copy:
                for row in rows.to_pylist():
                    copy.write_row(list(row.values()))
            table = open_source(f"{postgresql}{'&' if '?' in postgresql else '?'}table=watched.rows")
            try:
                assert_equal_counts(count_all(table, grids), expected)
            finally:
                table.get_backend().disconnect()
        finally:
            connection.execute("DROP SCHEMA watched CASCADE")


@pytest.mark.slow
def test_spark_counts_as_duckdb_does(
    rows: pa.Table, grids: dict[str, Grid], expected: dict[str, Any], tmp_path: Path
) -> None:
    python = require("spark")
    pq.write_table(rows, tmp_path / "rows.parquet")
    (tmp_path / "grids.json").write_text(json.dumps({name: grid.to_json() for name, grid in grids.items()}))
    run = subprocess.run(
        [python, "-m", "tests.integration.monitoring.backend_rows",
         *(str(tmp_path / name) for name in ("rows.parquet", "grids.json", "counts.json"))],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "SPARK_LOCAL_IP": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=280,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-4000:]
    assert_equal_counts(json.loads((tmp_path / "counts.json").read_text()), expected)
