"""Parquet and CSV files as tables that DuckDB scans in place."""

from __future__ import annotations

import codecs
import gzip
import mmap
import re
import shlex
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import duckdb
from pyarrow.parquet import read_schema

from backend.errors import BadInput
from backend.monitoring.row_facts import quoted

PARQUET = (".parquet", ".pq")
TEXT = (".csv", ".tsv", ".txt")
_NUMBERED = re.compile(r"_\d+$")
MISSING = ["", "#N/A", "N/A", "n/a", "NA", "<NA>", "NULL", "null", "NaN", "nan", "-NaN", "-nan", "None"]
"""Texts that stand for a missing value in CSV: those that pandas takes as such."""

MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32", codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16",
}  # fmt: skip
_CONTROLS = re.compile(rb"[\x80-\x9f]")
"""Letters and quotation marks in Windows-1252, where Latin-1 has none."""

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
    csv = ending in TEXT or path.name.lower().endswith(".csv.gz")
    if csv:
        _refuse_utf16(path)
    try:
        if ending in PARQUET:
            return connection.read_parquet(str(path))
        if csv:
            return _hold_csv(connection, path)
    except duckdb.Error as error:
        if csv:
            _refuse_latin(path)
        said = " ".join(str(error).split())
        raise BadInput(f"{path} cannot be read as {ending.lstrip('.') or 'a table'}: {said[:200]}") from error
    raise BadInput(f"{path}: expected a Parquet or CSV file, not {ending or 'a file without ending'}")


def _refuse_utf16(path: Path) -> None:
    """Raises `BadInput` for a file that begins as UTF-16 or UTF-32 does, by its mark or by zeros between letters."""
    with _open(path) as file:
        head = file.read(64)
    code = next((code for mark, code in MARKS.items() if head.startswith(mark)), None)
    if code is None and b"\0" in head:
        code = "UTF-16BE" if head[:1] == b"\0" else "UTF-16LE"
    if code is not None:
        raise BadInput(_say_encoding(path, code))


def _refuse_latin(path: Path) -> None:
    """Raises `BadInput` for a file with a byte that UTF-8 does not have there, naming its line."""
    decoder, lines = codecs.getincrementaldecoder("utf-8")(), 1
    try:
        with _open(path) as file:
            while chunk := file.read(1 << 20):
                try:
                    decoder.decode(chunk)
                except UnicodeDecodeError as error:
                    at = max(error.start, 0)
                    lines += error.object[:at].count(b"\n")
                    code = "WINDOWS-1252" if _CONTROLS.search(error.object) else "LATIN1"
                    where = f" (line {lines:,} has the byte 0x{error.object[at]:02X})"
                    raise BadInput(_say_encoding(path, code, where)) from None
                lines += chunk.count(b"\n")
    except (OSError, EOFError):
        return  # a torn archive: the reader has said so


def _say_encoding(path: Path, code: str, where: str = "") -> str:
    convert, name = f"iconv -f {code} -t UTF-8", shlex.quote(str(path))
    command = f"gunzip -c {name} | {convert}" if path.suffix.lower() == ".gz" else f"{convert} {name}"
    return f"{path} is not UTF-8, it seems to be {code}{where}; convert it first: {command} > utf8.csv"


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb")  # type: ignore[return-value]


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


def find_twin(name: str, here: Sequence[str], there: Sequence[str]) -> str | None:
    """The column of the other file that is probably the same: alike but for case, spaces, dashes and underscores."""
    alike = [other for other in there if _letters(other) == _letters(name) and other not in here]
    return alike[0] if len(alike) == 1 else None


def _letters(name: str) -> str:
    return re.sub(r"[\s_\-.]", "", name).casefold()


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
