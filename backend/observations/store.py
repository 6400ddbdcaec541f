"""Acceptance: exactly once per prediction id, durable before the answer.

On one host a lock per model and stream makes check and append one act. What several hosts accept at the same
time meets in `writer`, which keeps the first and sets the others aside where they differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from backend.durable import locked
from backend.errors import BadInput, Conflict
from backend.observations import spool as spool_files
from backend.observations.delta import with_day
from backend.observations.schema import (
    KIND_TYPES,
    SOURCES,
    TIME,
    Kind,
    Stream,
    base_fields,
    feature_columns,
    table_path,
)
from backend.observations.snapshots import connect, parquet_source, snapshot
from backend.observations.stored_ids import StoredIds

_IDS: Final = pa.schema([("prediction_id", pa.string()), ("row_digest", pa.string())])
_NAMED_IDS: Final = 5
_stored_ids: Final = StoredIds()


class DifferentContent(Conflict):
    """An id that is already taken came again with other content; nothing of the batch was stored."""

    title = "Different content"

    def __init__(self, stream: Stream, prediction_ids: Sequence[str]) -> None:
        named = ", ".join(repr(prediction_id) for prediction_id in prediction_ids[:_NAMED_IDS])
        more = f" and {len(prediction_ids) - _NAMED_IDS} more" if len(prediction_ids) > _NAMED_IDS else ""
        super().__init__(
            f"{stream} with the same prediction_id and other content are already stored: {named}{more}. Nothing of "
            "this batch was stored; what is stored cannot be overwritten",
            prediction_ids=list(prediction_ids[:_NAMED_IDS]),
            count=len(prediction_ids),
        )
        self.prediction_ids = tuple(prediction_ids)


@dataclass(frozen=True, slots=True)
class Conflicts:
    """Ids of a batch that are stored or pending: with equal digests, and with other content."""

    known: tuple[str, ...]
    differing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of a batch: rows made durable now, and rows that were already there."""

    rows_new: int
    rows_known: int


def find_conflicts(observations: Path, spool: Path, model: str, stream: Stream, table: pa.Table) -> Conflicts:
    """Look the batch's ids up in Delta and in everything pending.

    The spool is read first: a segment that vanishes between listing and reading has been committed, and the
    Delta version read afterwards holds it.
    """
    ids = table.column("prediction_id")
    waiting = pending_ids(spool, model, stream)
    waiting = waiting.filter(pc.is_in(waiting.column("prediction_id"), value_set=ids.combine_chunks()))
    stored = snapshot(observations, model, stream)
    files: list[str] = []
    if stored is not None:
        files = _stored_ids.files_with(str(table_path(observations, model, stream)), stored.files, ids)
    if not files and len(waiting) == 0:
        return Conflicts((), ())
    sources = ["SELECT prediction_id, row_digest FROM waiting"]
    if files:
        sources.append(f"SELECT prediction_id, row_digest FROM {parquet_source(files)}")  # noqa: S608
    with connect() as connection:
        connection.register("incoming", table.select(["prediction_id", "row_digest"]))
        connection.register("waiting", waiting)
        query = (
            "SELECT incoming.prediction_id AS id, bool_or(incoming.row_digest <> there.row_digest) AS differs "  # noqa: S608
            f"FROM ({' UNION ALL '.join(sources)}) there JOIN incoming USING (prediction_id) GROUP BY 1 ORDER BY 1"
        )
        found = connection.sql(query).to_arrow_table()
    differs = found.column("differs")
    return Conflicts(
        tuple(found.filter(pc.invert(differs)).column("id").to_pylist()),
        tuple(found.filter(differs).column("id").to_pylist()),
    )


def pending_ids(spool: Path, model: str, stream: Stream) -> pa.Table:
    """(prediction_id, row_digest) of everything accepted and not yet committed, gateway logs included."""
    parts = [_IDS.empty_table()]
    for path in spool_files.segments(spool, stream, model):
        try:
            parts.append(_segment_ids(path))
        except FileNotFoundError:
            continue
    for path in spool_files.all_logs(spool):
        try:
            state = path.stat()
            ids = _log_ids(path, state.st_ino, state.st_size).get((stream, model))
        except FileNotFoundError:  # renamed or committed; a renamed log is read under its new name next time
            ids = _renamed_ids(path, stream, model)
        if ids is not None:
            parts.append(ids)
    return pa.concat_tables(parts)


@lru_cache(maxsize=256)
def _segment_ids(path: Path) -> pa.Table:
    return spool_files.read_segment(path, ["prediction_id", "row_digest"])


@lru_cache(maxsize=64)
def _log_ids(path: Path, inode: int, size: int) -> Mapping[tuple[Stream, str], pa.Table]:
    """Ids in one log; a log only grows, so inode and size name its content."""
    pairs: dict[tuple[Stream, str], list[tuple[str, str]]] = {}
    for record in spool_files.read_log(path).rows:
        pairs.setdefault((record.stream, record.model), []).append(
            (record.row["prediction_id"], record.row["row_digest"])
        )
    return {
        key: pa.table([pa.array(column, pa.string()) for column in zip(*found, strict=True)], _IDS)
        for key, found in pairs.items()
    }


def _renamed_ids(path: Path, stream: Stream, model: str) -> pa.Table | None:
    for suffix in (".log", ".left"):
        renamed = path.with_suffix(suffix)
        try:
            state = renamed.stat()
            return _log_ids(renamed, state.st_ino, state.st_size).get((stream, model))
        except FileNotFoundError:
            continue
    return None


def accept(
    observations: Path,
    spool: Path,
    model: str,
    stream: Stream,
    table: pa.Table,
    *,
    source: str,
    now: datetime,
) -> Accepted:
    """Make a validated batch durable; rows already there with equal content are counted and not stored again.

    `table` comes from `validation`. Raises `DifferentContent` (409), `SpoolFull` (503) or `BadInput`; then
    nothing was stored. When it returns, the new rows survive loss of power.
    """
    if source not in SOURCES:
        raise BadInput(f"source {source!r} is not one of {', '.join(SOURCES)}")
    if len(table) == 0:
        return Accepted(0, 0)
    ready = stamped(table, stream, source=source, now=now)
    with locked(spool / stream / f".{model}.lock"):
        if stream == "predictions":
            _check_kinds(observations, model, table.schema)
        conflicts = find_conflicts(observations, spool, model, stream, table)
        if conflicts.differing:
            raise DifferentContent(stream, conflicts.differing)
        if conflicts.known:
            known = pa.array(conflicts.known, pa.string())
            ready = ready.filter(pc.invert(pc.is_in(ready.column("prediction_id"), value_set=known)))
        if len(ready):
            spool_files.append(spool, stream, model, ready)
    return Accepted(len(ready), len(table) - len(ready))


def stamped(table: pa.Table, stream: Stream, *, source: str, now: datetime) -> pa.Table:
    """The table with `source`, `ingested_at` and `day`."""
    count = len(table)
    return with_day(
        table.append_column("source", pa.repeat(pa.scalar(source), count)).append_column(
            "ingested_at", pa.repeat(pa.scalar(now, TIME), count)
        ),
        stream,
    )


def gateway_row(row: Mapping[str, Any], *, now: datetime, source: str = "gateway") -> dict[str, Any]:
    """A row of `validation.prediction_row` as `SpoolLog` takes it."""
    return {**row, "source": source, "ingested_at": round(now.timestamp() * 1_000_000)}


def stored_kinds(observations: Path, model: str) -> dict[str, Kind]:
    """The feature columns of the stored predictions; empty when there are none."""
    stored = snapshot(observations, model, "predictions")
    return {} if stored is None else feature_columns(stored.schema)


def _check_kinds(observations: Path, model: str, schema: pa.Schema) -> None:
    base = base_fields("predictions")
    for name, kind in stored_kinds(observations, model).items():
        position = schema.get_field_index(name)
        if name not in base and position >= 0 and schema.field(position).type != KIND_TYPES[kind]:
            raise BadInput(
                f"feature {name!r} of {model!r} is stored as {kind}; it cannot change its kind: give the feature a "
                "new name in the model spec",
                feature=name,
            )
