"""Parquet and CSV files as tables that DuckDB scans in place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

from backend.errors import BadInput

PARQUET = (".parquet", ".pq")
TEXT = (".csv", ".tsv", ".txt")
MISSING = ["", "#N/A", "N/A", "n/a", "NA", "<NA>", "NULL", "null", "NaN", "nan", "-NaN", "-nan", "None"]
"""Texts that stand for a missing value in CSV: those that pandas takes as such."""


def open_table(path: Path | str) -> duckdb.DuckDBPyRelation:
    """The file as a relation; nothing is read but its schema (CSV: types are taken from all rows).

    Raises `BadInput` for a file that is not there, is empty, or cannot be read, naming it.
    """
    path = Path(path)
    if path.is_dir():
        raise BadInput(f"{path} is a folder; name one Parquet or CSV file")
    if not path.is_file():
        raise BadInput(f"there is no file {path}")
    if path.stat().st_size == 0:
        raise BadInput(f"{path} is empty: it has not even a header")
    ending = path.suffix.lower()
    connection = duckdb.connect(
        config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
    )
    try:
        if ending in PARQUET:
            return connection.read_parquet(str(path))
        if ending in TEXT or path.name.lower().endswith(".csv.gz"):
            return _read_csv(connection, path)
    except duckdb.Error as error:
        said = " ".join(str(error).split())
        raise BadInput(f"{path} cannot be read as {ending.lstrip('.') or 'a table'}: {said[:200]}") from error
    raise BadInput(f"{path}: expected a Parquet or CSV file, not {ending or 'a file without ending'}")


def _read_csv(connection: duckdb.DuckDBPyConnection, path: Path) -> duckdb.DuckDBPyRelation:
    options: dict[str, Any] = {"header": True, "sample_size": -1, "na_values": MISSING}
    if path.suffix.lower() == ".tsv":
        options["sep"] = "\t"
    relation = connection.read_csv(str(path), **options)
    if len(relation.columns) == 1 and path.suffix.lower() == ".csv":
        # A file of one column has no delimiter to find; then a comma is as good as any.
        relation = connection.read_csv(str(path), **options, sep=",")
    return relation
