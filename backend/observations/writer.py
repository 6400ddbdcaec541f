"""The one writer: spool -> Delta. Run it again after any crash; it repairs itself.

Each pass: gather, set aside what conflicts, commit, fsync, call back, delete. Rows are recognised by id and
digest, so a segment that was committed and not yet deleted commits nothing the second time, but is reported to
the callback again: the callback runs at least once for every row and must be idempotent.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake.exceptions import DeltaError

from backend.durable import durable_folder, sync_file, sync_folder
from backend.errors import Unavailable
from backend.observations import delta
from backend.observations import spool as spool_files
from backend.observations.schema import (
    STREAMS,
    TIME,
    Kind,
    Stream,
    base_fields,
    feature_columns,
    shadow_table,
)
from backend.observations.snapshots import connect, parquet_source, snapshot
from backend.observations.store import stored_kinds
from backend.observations.validation import rows_to_table

_log = logging.getLogger(__name__)

MAX_PASS_ROWS: Final = 1_000_000
MAX_PASS_LOG_BYTES: Final = 64 << 20
COMPACT_EVERY: Final = 64

# Places where a crash is simulated; `commit_spool(after=...)` is called with each as it is reached.
FAULT_POINTS: Final = (
    "gathered",
    "set_aside",
    "committed",
    "synced",
    "called_back",
    "deleted_one",
    "deleted",
    "maintained",
)

AFFECTED: Final = pa.schema(
    [
        ("hour", TIME),
        ("version", pa.int32()),
        ("environment", pa.string()),
        ("role", pa.string()),
        ("rows", pa.int64()),
    ]
)
_NEW, _KNOWN, _DIFFERS = 0, 1, 2
_FAILURES: Final = (DeltaError, OSError, pa.ArrowException, duckdb.Error)


class WriterBusy(Unavailable):
    """Another process is moving this spool; its work is ours."""

    title = "Writer busy"


class CommitFailed(Unavailable):
    """Some tables could not be written; their rows are still in the spool and the next run tries again."""

    title = "Commit failed"


@dataclass(frozen=True, slots=True)
class Committed:
    """What one pass did for one table."""

    model: str
    stream: Stream
    rows: int
    """rows added to Delta"""
    rows_known: int
    """rows that were already in Delta, or twice in the spool, with equal content"""
    rows_rejected: int
    """rows set aside under `<observations>/<model>/rejected/`, because their id or a feature's kind is taken"""
    orphans: int
    """labels whose prediction is not stored (yet)"""
    affected: pa.Table
    """AFFECTED: per UTC hour of `ts`, version, environment and role, the predictions whose windows must be redone"""
    segments: tuple[str, ...]
    rejected: tuple[Path, ...] = ()

    @property
    def ranges(self) -> tuple[tuple[datetime, datetime], ...]:
        """Affected time as sorted, disjoint half-open UTC ranges; touching hours are merged."""
        ranges: list[tuple[datetime, datetime]] = []
        for start in pc.unique(self.affected.column("hour")).sort().to_pylist():
            if ranges and ranges[-1][1] == start:
                ranges[-1] = (ranges[-1][0], start + timedelta(hours=1))
            else:
                ranges.append((start, start + timedelta(hours=1)))
        return tuple(ranges)


@dataclass(slots=True)
class _Waiting:
    """Everything gathered for one table in one pass."""

    tables: list[tuple[Path, pa.Table]] = field(default_factory=list)
    rows: int = 0

    def add(self, path: Path, table: pa.Table) -> None:
        self.tables.append((path, table))
        self.rows += len(table)


def _nothing(_: object) -> None:
    return None


def commit_spool(
    observations: Path,
    spool: Path,
    *,
    on_committed: Callable[[Sequence[Committed]], None] = _nothing,
    after: Callable[[str], None] = _nothing,
    max_pass_rows: int = MAX_PASS_ROWS,
    compact_every: int = COMPACT_EVERY,
) -> list[Committed]:
    """Move everything complete from the spool into Delta and return what was done, in order.

    `on_committed` runs after the commits of a pass and before its segments are deleted; if it raises, they stay
    and the next run reports them again. Raises `WriterBusy` when another writer runs, and `CommitFailed` at the
    end when some tables could not be written (the others are done).
    """
    with only_writer(spool):
        return commit_under_lock(
            observations,
            spool,
            on_committed=on_committed,
            after=after,
            max_pass_rows=max_pass_rows,
            compact_every=compact_every,
        )


def commit_under_lock(
    observations: Path,
    spool: Path,
    *,
    on_committed: Callable[[Sequence[Committed]], None] = _nothing,
    after: Callable[[str], None] = _nothing,
    max_pass_rows: int = MAX_PASS_ROWS,
    compact_every: int = COMPACT_EVERY,
) -> list[Committed]:
    """`commit_spool` for whoever is the only writer already."""
    done: list[Committed] = []
    failed: dict[tuple[Stream, str], str] = {}
    spool_files.clear_drafts(spool)
    handled: set[Path] = set()
    while True:
        waiting, sources = _gather(spool, max_pass_rows, skip=handled)
        after("gathered")
        if not sources:
            break
        committed: list[Committed] = []
        kept: set[Path] = set()
        for (stream, model), found in sorted(
            waiting.items(), key=lambda item: (item[0][0] == "labels", item[0][1])
        ):
            try:
                committed.append(_commit_table(observations, model, stream, found, after))
            except _FAILURES as failure:
                _log.exception("%s of %s could not be committed", stream, model)
                failed[stream, model] = str(failure)
                kept.update(path for path, _ in found.tables)
        if committed:
            on_committed(committed)
            after("called_back")
        for path in sources:
            if path not in kept:
                path.unlink(missing_ok=True)
                after("deleted_one")
        after("deleted")
        handled.update(kept)
        done.extend(committed)
    for model, stream in sorted({(one.model, one.stream) for one in done if one.rows}):
        delta.maintain(observations, model, stream, every=compact_every)
        after("maintained")
    if failed:
        named = "; ".join(f"{stream} of {model}: {why}" for (stream, model), why in sorted(failed.items()))
        raise CommitFailed(f"not everything could be committed ({named}); the rows are kept in {spool}")
    return done


def trim_shadows(observations: Path, spool: Path, model: str, *, before: date) -> int:
    """Delete what shadows of a model scored on the days before `before`; gives the files. Raises `WriterBusy`."""
    with only_writer(spool):
        return delta.delete_before(observations, shadow_table(model), "predictions", before)


def trim_model_rows(
    observations: Path, spool: Path, model: str, *, before: date, keep: Collection[str] = ()
) -> dict[str, int]:
    """Delete predictions, labels and shadows' rows of the days before `before`, and files that hold nothing any more.

    Rows of the predictions to `keep` stay. Gives the rows by stream. What rows were erased or trimmed leaves the
    tables' own logs too. Raises `WriterBusy`.
    """
    counts: dict[str, int] = {}
    with only_writer(spool):
        for table, place in ((model, ""), (shadow_table(model), " of shadows")):
            for stream in STREAMS:
                rows = delta.rows_before(observations, table, stream, before)
                delta.delete_before(observations, table, stream, before, keep=keep)
                rows -= delta.rows_before(observations, table, stream, before)
                if rows:
                    counts[stream + place] = rows
                delta.shorten_log(observations, table, stream)
    return counts


@contextmanager
def only_writer(spool: Path) -> Iterator[None]:
    """Hold the lock of the one writer. Raises `WriterBusy`."""
    path = durable_folder(spool) / "writer.lock"
    with path.open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise WriterBusy(f"another writer holds {path}") from None
        yield


def _gather(
    spool: Path, max_rows: int, skip: set[Path]
) -> tuple[dict[tuple[Stream, str], _Waiting], list[Path]]:
    """The next pass: per table its rows with the file they come from; and all files it uses up."""
    waiting: dict[tuple[Stream, str], _Waiting] = {}
    sources: list[Path] = []
    for stream in STREAMS:
        for model in spool_files.models(spool, stream):
            for path in spool_files.segments(spool, stream, model):
                found = waiting.setdefault((stream, model), _Waiting())
                if found.rows >= max_rows:
                    break
                if path in skip:
                    continue
                try:
                    found.add(path, spool_files.read_segment(path))
                except pa.ArrowInvalid:
                    spool_files.quarantine(spool, path)
                    continue
                sources.append(path)
    budget = MAX_PASS_LOG_BYTES
    for path in spool_files.closed_logs(spool):
        if path in skip or budget <= 0:
            continue
        content = spool_files.read_log(path)
        budget -= content.good_bytes
        if content.torn_bytes and path.suffix == ".log":  # closed in good order, so this was acknowledged
            spool_files.quarantine(spool, path, from_byte=content.good_bytes)
        for stream, model, table in _tables_of_log(content.rows):
            waiting.setdefault((stream, model), _Waiting()).add(path, table)
        sources.append(path)
    return {key: found for key, found in waiting.items() if found.tables}, sources


def _tables_of_log(rows: Sequence[spool_files.LogRow]) -> Iterator[tuple[Stream, str, pa.Table]]:
    """Log rows as tables; a feature that changes its kind within a log begins another table."""
    groups: dict[tuple[Stream, str], list[list[spool_files.LogRow]]] = {}
    kinds: dict[tuple[Stream, str], dict[str, type]] = {}
    for record in rows:
        key = (record.stream, record.model)
        types = {name: type(value) for name, value in record.row.get("features", {}).items()}
        seen = kinds.setdefault(key, {})
        if key not in groups or any(seen.get(name, type_) is not type_ for name, type_ in types.items()):
            groups.setdefault(key, []).append([])
            seen.clear()
        seen.update(types)
        groups[key][-1].append(record)
    for (stream, model), runs in groups.items():
        for run in runs:
            table = rows_to_table(
                stream, [record.row for record in run], {"source": pa.string(), "ingested_at": TIME}
            )
            yield stream, model, delta.with_day(table, stream)


def _commit_table(
    observations: Path, model: str, stream: Stream, waiting: _Waiting, after: Callable[[str], None]
) -> Committed:
    kinds = stored_kinds(observations, model) if stream == "predictions" else {}
    refused: list[tuple[Path, pa.Table, str]] = []
    fitting: list[tuple[Path, pa.Table]] = []
    for path, table in waiting.tables:
        kept, unfit, reason = _split_by_kind(table, kinds) if stream == "predictions" else (table, None, "")
        kinds = {**feature_columns(kept.schema), **kinds} if stream == "predictions" else {}
        fitting.append((path, kept))
        if unfit is not None:
            refused.append((path, unfit, reason))
    columns = [*base_fields(stream), *sorted(kinds)]
    batch = pa.concat_tables([table for _, table in fitting], promote_options="default")
    batch = batch.select([name for name in columns if name in batch.column_names])
    states = _states(observations, model, stream, batch)
    start = 0
    for path, table in fitting:
        part = states.slice(start, len(table))
        differing = table.filter(pc.equal(part, _DIFFERS))
        start += len(table)
        if len(differing):
            refused.append(
                (path, differing, "another row with this prediction_id and other content came first")
            )
    set_aside = tuple(_set_aside(observations, model, stream, path, rows, why) for path, rows, why in refused)
    after("set_aside")
    segments = tuple(dict.fromkeys(path.name for path, _ in waiting.tables))
    fresh = batch.filter(pc.equal(states, _NEW))
    if len(fresh):
        versions = delta.append(observations, model, stream, fresh, segments)
        after("committed")
        delta.sync(observations, model, stream, versions)
        after("synced")
    kept = batch.filter(pc.not_equal(states, _DIFFERS))
    if stream == "predictions":
        affected, orphans = _affected_by_predictions(kept), 0
    else:
        affected, orphans = _affected_by_labels(observations, model, kept)
    return Committed(
        model=model,
        stream=stream,
        rows=len(fresh),
        rows_known=len(kept) - len(fresh),
        rows_rejected=sum(len(rows) for _, rows, _ in refused),
        orphans=orphans,
        affected=affected,
        segments=segments,
        rejected=set_aside,
    )


def _split_by_kind(table: pa.Table, kinds: Mapping[str, Kind]) -> tuple[pa.Table, pa.Table | None, str]:
    """Rows that fit the stored kinds (without the columns that do not), the other rows, and why."""
    clashing = [name for name, kind in feature_columns(table.schema).items() if kinds.get(name, kind) != kind]
    if not clashing:
        return table, None, ""
    unfit = pa.array([False] * len(table))
    for name in clashing:
        unfit = pc.or_(unfit, pc.is_valid(table.column(name)).combine_chunks())
    kept = table.filter(pc.invert(unfit)).drop_columns(clashing)
    reason = "; ".join(f"feature {name} is stored as {kinds[name]}" for name in clashing)
    return kept, table.filter(unfit), reason


def _states(observations: Path, model: str, stream: Stream, batch: pa.Table) -> pa.Array:
    """For each row _NEW, _KNOWN or _DIFFERS, against Delta first and then against earlier rows of the batch."""
    ids = batch.select(["prediction_id", "row_digest"]).append_column(
        "position", pa.array(range(len(batch)), pa.int64())
    )
    stored = snapshot(observations, model, stream)
    there = "SELECT NULL::VARCHAR AS prediction_id, NULL::VARCHAR AS row_digest WHERE false"
    if stored is not None and stored.files:
        there = f"SELECT prediction_id, row_digest FROM {parquet_source(stored.files)}"  # noqa: S608
    with connect() as connection:
        connection.register("batch", ids)
        return (
            connection.sql(f"""
                WITH there AS ({there}),
                stored AS (
                    SELECT prediction_id, any_value(row_digest) AS d FROM there SEMI JOIN batch USING (prediction_id)
                    GROUP BY 1),
                earliest AS (
                    SELECT prediction_id, arg_min(row_digest, position) AS d, min(position) AS position
                    FROM batch GROUP BY 1)
                SELECT CASE WHEN coalesce(stored.d, earliest.d) <> batch.row_digest THEN {_DIFFERS}
                            WHEN stored.d IS NOT NULL OR earliest.position < batch.position THEN {_KNOWN}
                            ELSE {_NEW} END AS state
                FROM batch JOIN earliest USING (prediction_id) LEFT JOIN stored USING (prediction_id)
                ORDER BY batch.position""")  # noqa: S608
            .to_arrow_table()
            .column("state")
            .combine_chunks()
        )


def _set_aside(
    observations: Path, model: str, stream: Stream, path: Path, rows: pa.Table, reason: str
) -> Path:
    """Write refused rows to a file named after their segment, so that doing it twice leaves one file."""
    folder = durable_folder(observations / model / "rejected")
    content = "\n".join([reason, *rows.column("row_digest").to_pylist()])
    final = folder / f"{stream}-{path.stem}-{hashlib.sha256(content.encode()).hexdigest()[:16]}.parquet"
    draft = folder / f".{final.name}.tmp"
    pq.write_table(rows.append_column("reason", pa.repeat(pa.scalar(reason), len(rows))), draft)
    sync_file(draft)
    draft.rename(final)
    sync_folder(folder)
    _log.warning("%d %s of %s were set aside in %s: %s", len(rows), stream, model, final, reason)
    return final


def _affected_by_predictions(rows: pa.Table) -> pa.Table:
    with connect() as connection:
        connection.register("predictions", rows.select(["ts", "version", "environment", "role"]))
        return connection.sql(_HOURS.format(source="predictions")).to_arrow_table().cast(AFFECTED)


def _affected_by_labels(observations: Path, model: str, rows: pa.Table) -> tuple[pa.Table, int]:
    stored = snapshot(observations, model, "predictions")
    if stored is None or not stored.files:
        return AFFECTED.empty_table(), len(rows)
    source = (
        f"(SELECT ts, version, environment, role FROM {parquet_source(stored.files)} SEMI JOIN labels "  # noqa: S608
        "USING (prediction_id))"
    )
    with connect() as connection:
        connection.register("labels", rows.select(["prediction_id"]))
        affected = connection.sql(_HOURS.format(source=source)).to_arrow_table().cast(AFFECTED)
    return affected, len(rows) - (pc.sum(affected.column("rows")).as_py() or 0)


_HOURS: Final = (
    "SELECT date_trunc('hour', ts) AS hour, version, environment, role, count(*) AS rows FROM {source} "
    "GROUP BY ALL ORDER BY ALL"
)
