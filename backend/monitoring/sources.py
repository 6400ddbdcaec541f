"""Where rows are read from: Arrow tables, Parquet and CSV files, a Delta folder, PostgreSQL, Spark.

Nothing is copied: what `profiles` computes runs where the rows are.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

import duckdb
import ibis
import ibis.expr.datatypes as dt
import pyarrow as pa

from backend.errors import BadInput

Expression = Any  # an ibis expression; ibis ships no types for mypy here

PARQUET = (".parquet", ".pq")
TEXT = (".csv", ".tsv", ".txt", ".csv.gz")
ABREAST = 2
LEAST_THREADS = 4  # with fewer, DuckDB runs the branches of a union one after the other on a single row group
LARGEST = "1.7976931348623157e308"
BACKENDS = ("duckdb", "postgres", "pyspark")
FORMS = (
    "a .parquet or .csv file, a folder of a Delta table or of Parquet files, "
    "postgresql://user@host/database?table=NAME (or SCHEMA.NAME), "
    "or spark:PATH and spark://HOST:PORT?path=PATH for files read by Spark"
)


@dataclass
class Source:
    """A table that can be scanned, with each wanted column under a safe name.

    table       an ibis table with the columns c0, c1, ...; unbound, and named `source`, for DuckDB
    columns     {the caller's name: the name in `table`}
    relation    DuckDB: the same table as the caller's relation; or
    connections DuckDB: connections of ours that have it as the view `source`, each for a part of the work
    """

    table: Expression
    columns: dict[str, str]
    backend: str
    relation: Any = None
    connections: Sequence[Any] = ()

    def column(self, name: str) -> Expression:
        return self.table[self.columns[name]]

    def run(self, expression: Expression) -> pa.Table:
        return self.query(compile_duckdb(expression)) if self.backend == "duckdb" else expression.to_pyarrow()

    def query(self, sql: str) -> pa.Table:
        """Run SQL over DuckDB's view `source`."""
        if self.connections:
            return _query(self.connections[0], sql)
        self.relation.query("source", f"create or replace temp table warrant_counted as {sql}")
        found = self.relation.query("source", "from warrant_counted").to_arrow_table()
        self.relation.query("source", "drop table warrant_counted")
        return found

    def query_union(self, before: str, branches: Sequence[str]) -> pa.Table:
        """Run `before` and the union of all branches, planned and run side by side where there are connections."""
        parts = max(min(len(self.connections), len(branches)), 1)
        queries = [f"{before} {' union all '.join(branches[part::parts])}" for part in range(parts)]
        if parts == 1:
            return self.query(queries[0])
        with ThreadPoolExecutor(parts) as threads:
            return pa.concat_tables(threads.map(_query, self.connections, queries))


def _query(connection: Any, sql: str) -> pa.Table:
    # A relation of the whole query would be planned twice, which takes longer than to keep its few rows.
    connection.execute(f"create or replace temp table counted as {sql}")
    found: pa.Table = connection.table("counted").to_arrow_table()
    return found


@dataclass(frozen=True)
class OwnTable:
    """A table or view of connections that `connect` made, which may be used as is best; the same in each."""

    name: str
    connections: Sequence[Any]


def compile_duckdb(expression: Expression) -> str:
    return str(ibis.to_sql(expression, dialect="duckdb", pretty=False))


def open_scan(source: Any, needed: Sequence[str]) -> Source:
    """A pyarrow Table or Dataset, a DuckDB relation, an `OwnTable`, an ibis table, or paths of Parquet or CSV files."""
    wanted = list(dict.fromkeys(needed))
    if isinstance(source, ibis.Table):
        return _open_ibis(source, wanted)
    if isinstance(source, duckdb.DuckDBPyRelation):
        return _open_relation(source, list(source.columns), wanted)
    if isinstance(source, OwnTable):
        relation = source.connections[0].table(source.name)
        return _open_relation(relation, relation.columns, wanted, source)
    if isinstance(source, str | Path):
        source = [source]
    connections = [_shared().cursor() for _ in range(ABREAST)]
    if isinstance(source, Sequence) and source and all(isinstance(s, str | Path) for s in source):
        for connection in connections:
            _view_files(connection, source)
        names = list(connections[0].table("rows_read").columns)
    else:
        names = list(source.schema.names)
        if isinstance(source, pa.Table):
            names = [name for name in wanted if name in names]
            # The first of columns that share a name is the one that is read.
            source = pa.table(
                {f"c{i}": source.column(source.schema.names.index(name)) for i, name in enumerate(names)}
                or {"\x00none": pa.nulls(source.num_rows, pa.int8())}
            )
        for connection in connections:
            connection.register("rows_read", source)
    own = OwnTable("rows_read", connections)
    return _open_relation(connections[0].table("rows_read"), names, wanted, own)


def open_source(place: str | Path) -> Any:
    """An ibis table of the rows at `place`, one of `FORMS`.

    Raises `BadInput` that says what was looked for and what is accepted. Connecting happens here, reading later.
    """
    text = str(place)
    scheme = text.split(":", 1)[0].lower() if ":" in text else ""
    if scheme in ("postgresql", "postgres"):
        return _open_postgresql(text)
    if scheme == "spark":
        return _open_spark(text)
    if "://" in text and scheme != "file":
        raise BadInput(f"{_without_password(text)} cannot be read; a source is {FORMS}")
    connection = connect()
    _view_files(connection, [text.removeprefix("file://")])
    return _own_table(connection)


def _own_table(connection: Any) -> Any:
    """The view `rows_read` as an ibis table. Ibis asks DuckDB for the columns in a way that DuckDB deprecates."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return ibis.duckdb.from_connection(connection).table("rows_read")


def connect() -> Any:
    """A DuckDB of its own that never fetches an extension, and never trusts Parquet's statistics about NaN.

    A file's minimum and maximum leave NaN out; from them the optimizer concludes that no row is NaN.
    """
    connection = duckdb.connect(
        config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
    )
    connection.execute("set disabled_optimizers = 'statistics_propagation'")
    connection.execute("set enable_progress_bar = false")
    threads = connection.execute("select current_setting('threads')").fetchone()[0]
    connection.execute(f"set threads = {max(int(threads), LEAST_THREADS)}")
    return connection


@lru_cache(maxsize=1)
def _shared() -> Any:
    """The database in memory whose cursors the scans of this process use; making one takes as long as a small scan.

    What a scan makes is temporary, so it is seen by its own cursor alone and goes with it.
    """
    return connect()


def _view_files(connection: Any, paths: Sequence[str | Path]) -> None:
    """Make the view `rows_read` of Parquet or CSV files (not both), or of a folder."""
    files = [Path(path) for path in paths]
    for file in files:
        if not file.exists():
            raise BadInput(f"{file} does not exist")
    if len(files) == 1 and files[0].is_dir():
        files = files_of(files[0])
    kinds = {_kind(file) for file in files}
    if len(kinds) > 1:
        raise BadInput("Parquet and CSV files cannot be read together; give files of one kind")
    listed = ", ".join("'" + str(file).replace("'", "''") + "'" for file in files)
    read = "read_parquet" if kinds == {"parquet"} else "read_csv"
    try:
        connection.execute(
            f"create temp view rows_read as from {read}([{listed}], union_by_name={len(files) > 1}, "
            "hive_partitioning=false)"
        )
    except duckdb.Error as failure:
        reason = str(failure).splitlines()[0]
        raise BadInput(f"{', '.join(map(str, files[:3]))} cannot be read: {reason}") from None


def _kind(file: Path) -> str:
    name = file.name.lower()
    if name.endswith(PARQUET):
        return "parquet"
    if name.endswith(TEXT):
        return "text"
    raise BadInput(f"{file}: a file ends in {', '.join(PARQUET + TEXT)}")


def files_of(folder: Path) -> list[Path]:
    """The Parquet files of a Delta table as it is now, or of a folder. Raises `BadInput` where there is none."""
    if (folder / "_delta_log").is_dir():
        from deltalake import DeltaTable

        return [Path(uri.removeprefix("file://")) for uri in DeltaTable(str(folder)).file_uris()]
    found = sorted(path for path in folder.rglob("*") if path.name.lower().endswith(PARQUET))
    if not found:
        raise BadInput(f"the folder {folder} holds no Parquet files")
    return found


def _open_postgresql(url: str) -> Any:
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    name = options.pop("table", None)
    if not name:
        raise BadInput(f"{_without_password(url)} names no table; add ?table=NAME or ?table=SCHEMA.NAME")
    schema, _, table = name.rpartition(".")
    place = {
        "host": options.pop("host", None) or parts.hostname,
        "port": parts.port,
        "user": parts.username and unquote(parts.username),
        "password": parts.password and unquote(parts.password),
        "database": unquote(parts.path.strip("/")) or None,
    }
    try:
        backend = ibis.postgres.connect(**{k: v for k, v in place.items() if v is not None}, **options)
        return backend.table(table, database=schema or None)
    except Exception as failure:  # noqa: BLE001 - drivers raise many kinds; all mean that it cannot be read
        reason = str(failure).splitlines()[0] if str(failure) else type(failure).__name__
        raise BadInput(f"{_without_password(url)}, table {name}: {reason}") from None


def _open_spark(url: str) -> Any:
    try:
        from pyspark.sql import SparkSession  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise BadInput(
            "Spark is not installed in this environment; install requirements-spark.txt (and Java 17) in one of its own"
        ) from None
    parts = urlsplit(url)
    path = dict(parse_qsl(parts.query)).get("path") if parts.netloc else parts.path
    if not path:
        raise BadInput(f"{url} names no files; write spark:PATH or spark://HOST:PORT?path=PATH")
    master = f"spark://{parts.netloc}" if parts.netloc else "local[*]"
    session = SparkSession.builder.master(master).config("spark.sql.session.timeZone", "UTC").getOrCreate()
    backend = ibis.pyspark.connect(session)
    if path.lower().endswith(TEXT):
        return backend.read_csv(path, header=True, inferSchema=True)
    return backend.read_parquet(path)


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rsplit("@", 1)[-1], query=""))


def _open_relation(
    relation: Any, names: Sequence[str], wanted: Sequence[str], own: OwnTable | None = None
) -> Source:
    # DuckDB ignores case and renames a second "Fare"; positions, not names, tell columns apart.
    picks: list[str] = []
    types: dict[str, dt.DataType] = {}
    columns: dict[str, str] = {}
    for name, inside, raw in zip(names, relation.columns, relation.types, strict=False):
        if name not in wanted or name in columns:
            continue
        safe, kind = f"c{len(columns)}", str(raw).upper()
        quoted = '"' + inside.replace('"', '""') + '"'
        types[safe], cast = _ibis_type(kind)
        value = f"cast({quoted} as {cast})" if cast else quoted
        if own is None and types[safe].is_floating():
            value = f"nullif({value}, {LARGEST})"  # the optimizer knows nothing about what comes out: see `connect`
        picks.append(f"{value} as {safe}")
        columns[name] = safe
    table = ibis.table(types or {"n": "int8"}, name="source")
    listed = ", ".join(picks) or "cast(0 as tinyint) as n"
    if own is None:
        return Source(table, columns, "duckdb", relation=relation.project(listed))
    for connection in own.connections:
        connection.execute(f"create or replace temp view source as select {listed} from {own.name}")  # noqa: S608
    return Source(table, columns, "duckdb", connections=own.connections)


@lru_cache(maxsize=1000)
def _ibis_type(kind: str) -> tuple[dt.DataType, str | None]:
    """DuckDB's type for ibis, and what the column is cast to before it is read (None: nothing)."""
    from ibis.backends.sql.datatypes import DuckDBType

    if kind.startswith("ENUM"):
        return dt.string, "varchar"
    if kind.startswith("TIMESTAMP"):
        zoned = "TZ" in kind or "TIME ZONE" in kind
        plain = kind in ("TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ")
        cast = None if plain else "timestamptz" if zoned else "timestamp"
        return dt.Timestamp(timezone="UTC" if zoned else None), cast
    if kind in ('"NULL"', "NULL"):
        return dt.string, "varchar"
    if kind in ("UHUGEINT", "HUGEINT", "BIGNUM"):
        return dt.float64, "double"
    try:
        return DuckDBType.from_string(kind), None
    except Exception:  # noqa: BLE001 - ibis raises many kinds; a type it does not know is unreadable, no failure
        return dt.unknown, None


def _open_ibis(table: Any, wanted: Sequence[str]) -> Source:
    backend = table.get_backend()
    present = [name for name in wanted if name in table.columns]
    columns = {name: f"c{i}" for i, name in enumerate(present)}
    if backend.name == "duckdb":
        # On its own connection, as SQL: the same path as for a relation.
        return _open_relation(backend.con.sql(compile_duckdb(table)), list(table.columns), wanted)
    if backend.name not in BACKENDS:
        raise BadInput(f"profiles are computed on DuckDB, PostgreSQL and Spark, not on {backend.name}")
    chosen = (
        table.select(**{safe: table[name] for name, safe in columns.items()})
        if columns
        else table.select(n=ibis.literal(0, "int8"))
    )
    return Source(chosen, columns, backend.name)
