"""Parquet and CSV files as tables that DuckDB scans in place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import duckdb
from pyarrow.parquet import read_schema

from backend.errors import BadInput

PARQUET = (".parquet", ".pq")
TEXT = (".csv", ".tsv", ".txt")
_NUMBERED = re.compile(r"_\d+$")
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


def find_repeated_names(path: Path | str, table: duckdb.DuckDBPyRelation) -> dict[str, str]:
    """{name that a reading gave: the file's own} of columns whose name came before; {} for most files.

    Reading takes no difference between upper and lower case, so `X` after `x` comes as `X_1`.
    `table` is the file as `open_table` gives it.
    """
    if not any(_NUMBERED.search(name) for name in table.columns):
        return {}
    path = Path(path)
    if path.suffix.lower() in PARQUET:
        names = [str(name) for name in read_schema(path).names]
    else:
        header = _read_csv(
            duckdb.connect(), path, header=False, all_varchar=True, na_values=[""], sample_size=2000
        )
        names = [name or "" for row in header.limit(1).fetchall() for name in row]
    if len(names) != len(table.columns):
        return {}
    before = [name.casefold() for name in names]
    return {
        read: name
        for at, (read, name) in enumerate(zip(table.columns, names, strict=True))
        if read != name and name.casefold() in before[:at]
    }


def _read_csv(connection: duckdb.DuckDBPyConnection, path: Path, **other: Any) -> duckdb.DuckDBPyRelation:
    options: dict[str, Any] = {"header": True, "sample_size": -1, "na_values": MISSING} | other
    if path.suffix.lower() == ".tsv":
        options["sep"] = "\t"
    relation = connection.read_csv(str(path), **options)
    if len(relation.columns) == 1 and path.suffix.lower() == ".csv":
        # A file of one column has no delimiter to find; then a comma is as good as any.
        relation = connection.read_csv(str(path), **options, sep=",")
    return relation
