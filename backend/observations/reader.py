"""Reading the store. Every function takes one atomic Delta snapshot per table, so half a commit is never seen.

What is still in the spool is not shown; it appears when the writer commits it, within seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from backend.errors import BadInput
from backend.observations.schema import (
    LABEL_FIELDS,
    PREDICTION_FIELDS,
    SCAN_LABEL_COLUMNS,
    STORE_FIELDS,
    TIME,
    Stream,
)
from backend.observations.snapshots import connect, parquet_source, snapshot

_LABEL_SOURCES: Final = {
    "label": "label",
    "label_status": "status",
    "label_ts": "label_ts",
    "label_ingested_at": "ingested_at",
}
WINDOW_COUNTS: Final = pa.schema(
    [
        ("start", TIME),
        ("end", TIME),
        ("rows", pa.int64()),
        ("known", pa.int64()),
        ("will_not_come", pa.int64()),
        ("waiting", pa.int64()),
    ]
)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which predictions: `start` <= ts < `end`, and any of the named versions, environments, roles. None: all."""

    start: datetime | None = None
    end: datetime | None = None
    versions: Sequence[int] | None = None
    environments: Sequence[str] | None = None
    roles: Sequence[str] | None = None
    as_known_at: datetime | None = None
    """only what had been ingested by then: recomputes what a figure of that time could know"""


@dataclass(frozen=True, slots=True)
class RowCounts:
    """Committed rows of one model."""

    predictions: int
    labels_known: int
    labels_will_not_come: int
    first_ts: datetime | None
    last_ts: datetime | None


def scan(
    observations: Path,
    model: str,
    where: Filter | None = None,
    *,
    columns: Sequence[str] | None = None,
    connection: duckdb.DuckDBPyConnection | None = None,
) -> duckdb.DuckDBPyRelation:
    """Predictions LEFT JOIN labels as a lazy DuckDB relation.

    Columns: `PREDICTION_FIELDS`, the features, source, ingested_at, row_digest, then label, label_status
    ("known", "will_not_come" or null: waiting), label_ts, label_ingested_at. `columns` selects and orders
    them; an unknown one raises `BadInput`. An absent table gives no rows. The relation belongs to
    `connection` (a new one by default), which is not thread-safe.
    """
    connection = connection or connect()
    return connection.sql(scan_sql(observations, model, where or Filter(), columns))


def read(
    observations: Path, model: str, where: Filter | None = None, *, columns: Sequence[str] | None = None
) -> pa.Table:
    """`scan` as an Arrow table, ordered by ts and prediction_id."""
    with connect() as connection:
        query = scan_sql(observations, model, where or Filter(), columns, order="p.ts, p.prediction_id")
        return connection.sql(query).to_arrow_table()


def recent(observations: Path, model: str, count: int, where: Filter | None = None) -> pa.Table:
    """The newest predictions with their labels, newest first."""
    with connect() as connection:
        order = f"p.ts DESC, p.prediction_id LIMIT {int(count)}"
        return connection.sql(
            scan_sql(observations, model, where or Filter(), None, order=order)
        ).to_arrow_table()


def one_prediction(observations: Path, model: str, prediction_id: str) -> dict[str, Any] | None:
    """One prediction with its label by id, as `scan` names the columns; None where it is not in the store."""
    with connect() as connection:
        query = f"SELECT * FROM ({scan_sql(observations, model, Filter(), None)}) WHERE prediction_id = $1 LIMIT 1"  # noqa: S608
        found: list[dict[str, Any]] = (
            connection.sql(query, params=[prediction_id]).to_arrow_table().to_pylist()
        )
    return found[0] if found else None


def present_ids(observations: Path, model: str, ids: Sequence[str]) -> set[str]:
    """Those of these predictions that are in the store."""
    if not ids:
        return set()
    wanted = pa.table({"wanted": pa.array(sorted(set(ids)), pa.string())})
    with connect() as connection:
        connection.register("asked", wanted)
        rows = scan_sql(observations, model, Filter(), ["prediction_id"])
        query = f"SELECT prediction_id FROM ({rows}) WHERE prediction_id IN (SELECT wanted FROM asked)"  # noqa: S608
        return set(connection.sql(query).to_arrow_table().column(0).to_pylist())


def window_counts(
    observations: Path, model: str, edges: Sequence[datetime], where: Filter | None = None
) -> pa.Table:
    """WINDOW_COUNTS, one row for each half-open window [edges[i], edges[i+1]), empty ones included."""
    bounds = [_utc(edge) for edge in edges]
    if len(bounds) < 2 or any(low >= high for low, high in pairwise(bounds)):
        raise BadInput("windows need at least two edges in rising order")
    given = where or Filter()
    start = max(bounds[0], _utc(given.start)) if given.start else bounds[0]
    end = min(bounds[-1], _utc(given.end)) if given.end else bounds[-1]
    within = Filter(start, end, given.versions, given.environments, given.roles, given.as_known_at)
    windows = pa.table([pa.array(bounds[:-1], TIME), pa.array(bounds[1:], TIME)], names=["start", "end"])
    with connect() as connection:
        connection.register("windows", windows)
        rows = scan_sql(observations, model, within, ["ts", "label_status"])
        query = f"""
            WITH counted AS (
                SELECT w.start, count(*) AS n, count(*) FILTER (label_status = 'known') AS known,
                       count(*) FILTER (label_status = 'will_not_come') AS gone
                FROM ({rows}) r ASOF JOIN windows w ON r.ts >= w.start GROUP BY 1)
            SELECT w.start AS start, w."end" AS "end", coalesce(n, 0) AS rows, coalesce(known, 0) AS known,
                   coalesce(gone, 0) AS will_not_come, coalesce(n - known - gone, 0) AS waiting
            FROM windows w LEFT JOIN counted USING (start) ORDER BY 1"""  # noqa: S608
        return connection.sql(query).to_arrow_table().cast(WINDOW_COUNTS)


def row_counts(observations: Path, model: str) -> RowCounts:
    """How much is stored. Labels are counted whether or not their prediction is there."""
    predictions = _files(observations, model, "predictions")
    labels = _files(observations, model, "labels")
    rows, first, last, known, gone = 0, None, None, 0, 0
    with connect() as connection:
        if predictions:
            rows, low, high = connection.execute(
                f"SELECT count(*), epoch_us(min(ts)), epoch_us(max(ts)) FROM {parquet_source(predictions)}"  # noqa: S608
            ).fetchall()[0]
            first, last = (
                None if at is None else datetime.fromtimestamp(at / 1e6, UTC) for at in (low, high)
            )
        if labels:
            known, gone = connection.execute(
                "SELECT count(*) FILTER (status = 'known'), count(*) FILTER (status <> 'known') "  # noqa: S608
                f"FROM {parquet_source(labels)}"
            ).fetchall()[0]
    return RowCounts(rows, known, gone, first, last)


def scan_sql(
    observations: Path, model: str, where: Filter, columns: Sequence[str] | None, *, order: str | None = None
) -> str:
    """The query behind `scan`, over the files of one snapshot of each table."""
    predictions = snapshot(observations, model, "predictions", predicate=_days(where))
    stored = (
        [field.name for field in predictions.schema] if predictions else [*PREDICTION_FIELDS, *STORE_FIELDS]
    )
    features = [name for name in stored if name not in PREDICTION_FIELDS and name not in STORE_FIELDS]
    offered = [*PREDICTION_FIELDS, *features, "source", "ingested_at", "row_digest", *SCAN_LABEL_COLUMNS]
    chosen = offered if columns is None else list(columns)
    for name in chosen:
        if name not in offered:
            raise BadInput(f"{model!r} has no column {name!r}; there are {', '.join(offered)}", column=name)
    needs_labels = any(name in SCAN_LABEL_COLUMNS for name in chosen)
    labels = snapshot(observations, model, "labels") if needs_labels else None
    picked = ", ".join(
        f"l.{_LABEL_SOURCES[name]} AS {name}" if name in _LABEL_SOURCES else f"p.{_quoted(name)}"
        for name in chosen
    )
    joined = ""
    if needs_labels:
        known_by = _and(["true", *_ingested_by(where)])
        known = f"SELECT * FROM {_source(labels, 'labels')} WHERE {known_by}"  # noqa: S608
        joined = f" LEFT JOIN ({known}) l USING (prediction_id)"
        picked = picked.replace('p."prediction_id"', "prediction_id")
    query = f"SELECT {picked} FROM {_source(predictions, 'predictions')} p{joined} WHERE {_condition(where)}"  # noqa: S608
    return f"{query} ORDER BY {order}" if order else query


def _files(observations: Path, model: str, stream: Stream) -> tuple[str, ...]:
    found = snapshot(observations, model, stream)
    return found.files if found else ()


def _source(found: Any, stream: Stream) -> str:
    if found is not None and found.files:
        return parquet_source(found.files, union_by_name=True)
    fields = {**(PREDICTION_FIELDS if stream == "predictions" else LABEL_FIELDS), **STORE_FIELDS}
    types = {name: _SQL_TYPES[str(type_)] for name, type_ in fields.items()}
    if found is not None:
        types |= {field.name: _SQL_TYPES[str(field.type)] for field in found.schema}
    nothing = ", ".join(f"NULL::{type_} AS {_quoted(name)}" for name, type_ in types.items())
    return f"(SELECT {nothing} WHERE false)"


_SQL_TYPES: Final = {
    "string": "VARCHAR",
    "large_string": "VARCHAR",
    "double": "DOUBLE",
    "int32": "INTEGER",
    "date32[day]": "DATE",
    "timestamp[us, tz=UTC]": "TIMESTAMPTZ",
}


def _days(where: Filter) -> str | None:
    """Partitions that can hold the range, as a predicate for the Delta log."""
    first, last = (_utc(bound).date() if bound else None for bound in (where.start, where.end))
    bounds = [
        f"day {sign} '{day.isoformat()}'"
        for sign, day in ((">=", first), ("<=", last))
        if isinstance(day, date)
    ]
    return _and(bounds) if bounds else None


def _condition(where: Filter) -> str:
    parts = ["true"]
    if where.start is not None:
        parts.append(f"p.ts >= {_time(where.start)}")
    if where.end is not None:
        parts.append(f"p.ts < {_time(where.end)}")
    if where.versions is not None:
        parts.append(f"p.version IN ({', '.join(str(int(version)) for version in where.versions) or 'NULL'})")
    for column, allowed in (("environment", where.environments), ("role", where.roles)):
        if allowed is not None:
            parts.append(f"p.{column} IN ({', '.join(_text(value) for value in allowed) or 'NULL'})")
    parts.extend(f"p.{condition}" for condition in _ingested_by(where))
    return _and(parts)


def _ingested_by(where: Filter) -> list[str]:
    return [] if where.as_known_at is None else [f"ingested_at <= {_time(where.as_known_at)}"]


def _and(parts: Sequence[str]) -> str:
    return " AND ".join(parts)


def _time(moment: datetime) -> str:
    return f"TIMESTAMPTZ '{_utc(moment).isoformat()}'"


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise BadInput(f"the time {moment.isoformat()} has no zone")
    return moment.astimezone(UTC)


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
