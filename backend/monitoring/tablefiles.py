"""Parquet and CSV files as tables that DuckDB scans in place."""

from __future__ import annotations

import mmap
import re
import tempfile
from pathlib import Path
from typing import Any

import duckdb
from pyarrow.parquet import read_schema

from backend.errors import BadInput
from backend.monitoring.row_facts import quoted

PARQUET = (".parquet", ".pq")
TEXT = (".csv", ".tsv", ".txt")
_NUMBERED = re.compile(r"_\d+$")
MISSING = ["", "#N/A", "N/A", "n/a", "NA", "<NA>", "NULL", "null", "NaN", "nan", "-NaN", "-nan", "None"]
"""Texts that stand for a missing value in CSV: those that pandas takes as such."""

SMALL = 4_000_000
"""Bytes of a CSV file up to which all rows are looked at for types first."""
SNIFFED = 20_480
HELD = "held"
EXACT = 2.0**53
"""Below it every whole number is a double."""


def open_table(
    path: Path | str, connection: duckdb.DuckDBPyConnection | None = None
) -> duckdb.DuckDBPyRelation:
    """The file as a relation of `connection` (without one, of a new one).

    Of Parquet nothing is read but the schema. A CSV file, whose types are those that all its rows fit, is read once
    and held, since every query would read it again.

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
    connection = connection or duckdb.connect(
        config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
    )
    connection.execute("set enable_progress_bar = false")  # it would stand in the midst of a document
    try:
        if ending in PARQUET:
            return connection.read_parquet(str(path))
        if ending in TEXT or path.name.lower().endswith(".csv.gz"):
            return _hold_csv(connection, path)
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


def _hold_csv(connection: duckdb.DuckDBPyConnection, path: Path) -> duckdb.DuckDBPyRelation:
    """The file's rows in the table `HELD`, each column of the most special type that all its rows fit.

    Looking for types in all rows takes several times longer than reading them, so those of a large file are first
    taken from its beginning: where all rows fit them they are right, but for columns that begin empty.
    """
    connection.execute(f"set temp_directory = '{tempfile.gettempdir()}'")
    if path.stat().st_size > SMALL and _begins_as_it_goes_on(path):
        try:
            if _hold_by_beginning(connection, path):
                return connection.table(HELD)
        except duckdb.Error:
            pass  # rows that the beginning does not fit; an error of the file itself comes again
        connection.execute(f"drop table if exists {HELD}")
    _read_csv(connection, path).create(HELD)
    return connection.table(HELD)


def _hold_by_beginning(connection: duckdb.DuckDBPyConnection, path: Path) -> bool:
    """Whether the types of the file's first rows are those of all; then the table `HELD` is there.

    Whole numbers are read as doubles first, since a fraction read as a whole number is rounded without a word.
    """
    seen = _read_csv(connection, path, sample_size=SNIFFED)
    whole = [name for name, kind in zip(seen.columns, seen.types, strict=True) if str(kind) == "BIGINT"]
    doubles = {"dtype": dict.fromkeys(whole, "DOUBLE")} if whole else {}
    _read_csv(connection, path, sample_size=SNIFFED, **doubles).create(HELD)
    table = connection.table(HELD)
    if _begin_empty(table):
        return False
    if whole:
        asked = [
            f"max(abs({name})), coalesce(bool_and({name} = floor({name})), true)"
            for name in map(quoted, whole)
        ]
        found = table.query("rows", f"select {', '.join(asked)} from rows").fetchall()[0]  # noqa: S608 - quoted
        if any(largest is not None and not largest < EXACT for largest in found[0::2]):
            return False
        for name, exact in zip(whole, found[1::2], strict=True):
            if exact:
                connection.execute(f"alter table {HELD} alter column {quoted(name)} type bigint")
    return True


def _begins_as_it_goes_on(path: Path) -> bool:
    """Whether each quotation mark of the file comes within its beginning, from which quoting is told."""
    if path.suffix.lower() == ".gz":
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return all(content.find(mark) < SMALL // 100 for mark in (b'"', b"'"))


def _begin_empty(table: duckdb.DuckDBPyRelation) -> bool:
    """Whether a column of text has its first value after the rows that tell types."""
    texts = [quoted(n) for n, kind in zip(table.columns, table.types, strict=True) if str(kind) == "VARCHAR"]
    if not texts:
        return False
    counts = ", ".join(f"count({name})" for name in texts)
    begun = table.limit(SNIFFED // 2).query("rows", f"select {counts} from rows").fetchall()[0]  # noqa: S608
    if all(begun):
        return False
    late = ", ".join(f"count({name})" for name, known in zip(texts, begun, strict=True) if not known)
    return any(table.query("rows", f"select {late} from rows").fetchall()[0])  # noqa: S608


def _read_csv(connection: duckdb.DuckDBPyConnection, path: Path, **other: Any) -> duckdb.DuckDBPyRelation:
    options: dict[str, Any] = {"header": True, "sample_size": -1, "na_values": MISSING} | other
    if path.suffix.lower() == ".tsv":
        options["sep"] = "\t"
    relation = connection.read_csv(str(path), **options)
    if len(relation.columns) == 1 and path.suffix.lower() == ".csv":
        # A file of one column has no delimiter to find; then a comma is as good as any.
        relation = connection.read_csv(str(path), **options, sep=",")
    return relation
