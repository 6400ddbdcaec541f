"""Finding and removing single rows: what a person may ask for. Removal is the writer's: it holds the spool's lock.

    find_ids       prediction ids of a subject, wherever rows lie: store, shadows' store, spool, rows set aside
    subjects_of    whom predictions are about, and ids_of_subjects the other way round: what holds are asked for
    rows_of        those rows themselves, as they are stored
    erase_rows     out of the spool into the store, out of the store by a Delta delete, out of the files by a vacuum

Nothing here remembers what was erased: the caller keeps the ids until `erase_rows` says that nothing is left, so that
it can be killed anywhere and begun again.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable

from backend.durable import sync_file, sync_folder
from backend.errors import BadInput, Unavailable
from backend.observations import delta
from backend.observations import spool as spool_files
from backend.observations.schema import STREAMS, Stream, shadow_table, table_path
from backend.observations.snapshots import connect, parquet_source, snapshot
from backend.observations.store import pending_ids
from backend.observations.writer import CommitFailed, Committed, commit_under_lock, only_writer

AT_ONCE: Final = 500
SPOOL_PATIENCE_S: Final = 60.0
SPOOL_PAUSE_S: Final = 0.5
# Where a crash is simulated; `erase_rows(after=...)` is called with each as it is reached.
FAULT_POINTS: Final = ("spool_moved", "deleted", "synced", "set_aside_rewritten", "vacuumed")


class StillThere(Unavailable):
    """Rows could not be removed; what is left is tried again."""

    title = "Rows are still there"


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose rows: by prediction ids, or by the value of a column of the predictions."""

    prediction_ids: tuple[str, ...] = ()
    column: str = ""
    value: str = ""


def find_ids(observations: Path, spool: Path, model: str, subject: Subject) -> list[str]:
    """The subject's prediction ids that have a row anywhere, sorted. Raises `BadInput` for an unknown column."""
    found: set[str] = set()
    stored = snapshot(observations, model, "predictions")
    known_column = stored is None or not subject.column or subject.column in stored.schema.names
    for _, stream, table in _tables(observations, spool, model, subject.column):
        if subject.column:
            if stream == "predictions" and subject.column in table.column_names:
                known_column = True
                found.update(table.filter(_is(table, subject)).column("prediction_id").to_pylist())
        else:
            kept = pc.is_in(table.column("prediction_id"), pa.array(subject.prediction_ids, pa.string()))
            found.update(table.filter(kept).column("prediction_id").to_pylist())
    if not known_column:
        raise BadInput(f"no prediction of {model} is stored with a column {subject.column!r}", field="column")
    return sorted(found)


def subjects_of(
    observations: Path, spool: Path, model: str, prediction_ids: Sequence[str], column: str
) -> set[str]:
    """Whom these predictions are about: what the column holds, as it is stored, wherever their rows lie."""
    wanted = pa.array(prediction_ids, pa.string())
    found: set[str] = set()
    for _, stream, table in _tables(observations, spool, model, column, wanted):
        if stream == "predictions" and column in table.column_names:
            rows = table.filter(pc.is_in(table.column("prediction_id"), wanted))
            found.update(pc.unique(rows.column(column).cast(pa.string())).drop_null().to_pylist())
    return found


def ids_of_subjects(
    observations: Path, spool: Path, model: str, column: str, chosen: Callable[[str], bool]
) -> frozenset[str]:
    """The prediction ids of every subject that is chosen, wherever their rows lie. Each value is asked about once."""
    known: dict[str, bool] = {}
    found: set[str] = set()
    for _, stream, table in _tables(observations, spool, model, column):
        if stream == "predictions" and column in table.column_names:
            values = table.column(column).cast(pa.string())
            distinct = pc.unique(values).drop_null().to_pylist()
            known |= {one: chosen(one) for one in distinct if one not in known}
            mine = pa.array([one for one in distinct if known[one]], pa.string())
            found.update(table.filter(pc.is_in(values, mine)).column("prediction_id").to_pylist())
    return frozenset(found)


def rows_of(
    observations: Path, spool: Path, model: str, prediction_ids: Sequence[str]
) -> dict[str, list[dict[str, Any]]]:
    """Every stored row with these ids by where it lies, without the store's own digests."""
    wanted = pa.array(prediction_ids, pa.string())
    found: dict[str, list[dict[str, Any]]] = {}
    for place, stream, table in _tables(observations, spool, model, None, wanted):
        rows = table.filter(pc.is_in(table.column("prediction_id"), wanted))
        if len(rows):
            kept = [name for name in rows.column_names if name not in ("row_digest", "day")]
            found.setdefault(f"{stream} {place}".strip(), []).extend(rows.select(kept).to_pylist())
    return found


def count_rows(
    observations: Path, spool: Path, model: str, prediction_ids: Sequence[str]
) -> dict[str, dict[str, int]]:
    """How many rows each of these ids has, by place; what is not there is left out."""
    wanted = pa.array(prediction_ids, pa.string())
    counts: dict[str, Counter[str]] = {}
    for place, stream, table in _tables(observations, spool, model, "", wanted):
        ids = table.column("prediction_id")
        for one in ids.filter(pc.is_in(ids, wanted)).to_pylist():
            counts.setdefault(one, Counter())[f"{stream} {place}".strip()] += 1
    return {one: dict(found) for one, found in sorted(counts.items())}


def erase_rows(
    observations: Path,
    spool: Path,
    model: str,
    prediction_ids: Sequence[str],
    *,
    on_committed: Callable[[Sequence[Committed]], None],
    after: Callable[[str], None] = lambda _: None,
) -> None:
    """Remove every row with these ids, and the files that held them. Begun again, it goes on where it stopped.

    What waits in the spool is committed first, as the writer does (`on_committed` is the writer's), since a log that a
    gateway writes to cannot be rewritten. Raises `WriterBusy`, or `StillThere` when rows stay in the
    spool.
    """
    if not prediction_ids:
        return
    deadline = time.monotonic() + SPOOL_PATIENCE_S
    with only_writer(spool):
        while True:
            with suppress(CommitFailed):  # another table's trouble; rows of ours that stay are seen below
                commit_under_lock(observations, spool, on_committed=on_committed, after=after)
            after("spool_moved")
            for table in (model, shadow_table(model)):
                for stream in STREAMS:
                    _delete(observations, table, stream, prediction_ids, after)
            if not _pending(spool, model, prediction_ids):
                break
            if time.monotonic() > deadline:
                raise StillThere(
                    f"rows of {model} that are to be erased stay in the spool {spool}: a gateway keeps their log open, "
                    "or the store cannot be written; mend that, then ask for the change again"
                )
            time.sleep(SPOOL_PAUSE_S)
        _rewrite_set_aside(observations, model, prediction_ids)
        after("set_aside_rewritten")
        for table in (model, shadow_table(model)):
            for stream in STREAMS:
                _vacuum(observations, table, stream)
        after("vacuumed")


def _pending(spool: Path, model: str, prediction_ids: Sequence[str]) -> bool:
    wanted = pa.array(prediction_ids, pa.string())
    return any(
        pc.any(pc.is_in(pending_ids(spool, model, stream).column("prediction_id"), wanted)).as_py()
        for stream in STREAMS
    )


def _delete(
    observations: Path, model: str, stream: Stream, ids: Sequence[str], after: Callable[[str], None]
) -> None:
    path = table_path(observations, model, stream)
    if not DeltaTable.is_deltatable(str(path)):
        return
    table = DeltaTable(str(path))
    before = table.version()
    for start in range(0, len(ids), AT_ONCE):
        named = ", ".join("'" + one.replace("'", "''") + "'" for one in ids[start : start + AT_ONCE])
        table.delete(f"prediction_id IN ({named})")
    after("deleted")
    if table.version() > before:
        delta.sync(observations, model, stream, range(before + 1, table.version() + 1))
    after("synced")


def _vacuum(observations: Path, model: str, stream: Stream) -> None:
    """Remove every file that the table does not name any more, at once: nobody else writes, and a reader that is
    surprised reads again."""
    path = table_path(observations, model, stream)
    if DeltaTable.is_deltatable(str(path)):
        table = DeltaTable(str(path))
        table.vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False, full=True)


def _rewrite_set_aside(observations: Path, model: str, ids: Sequence[str]) -> None:
    wanted = pa.array(ids, pa.string())
    for path in _set_aside(observations, model):
        table = pq.read_table(path)
        kept = table.filter(pc.invert(pc.is_in(table.column("prediction_id"), wanted)))
        if len(kept) == len(table):
            continue
        if len(kept) == 0:
            path.unlink()
        else:
            draft = path.with_name(f".{path.name}.tmp")
            pq.write_table(kept, draft)
            sync_file(draft)
            draft.rename(path)
        sync_folder(path.parent)


def _set_aside(observations: Path, model: str) -> list[Path]:
    return [
        path
        for table in (model, shadow_table(model))
        for path in sorted((observations / table / "rejected").glob("[!.]*.parquet"))
    ]


def _is(table: pa.Table, subject: Subject) -> pa.ChunkedArray:
    return pc.fill_null(pc.equal(table.column(subject.column).cast(pa.string()), subject.value), False)


def _tables(
    observations: Path, spool: Path, model: str, column: str | None, wanted: pa.Array | None = None
) -> Iterator[tuple[str, Stream, pa.Table]]:
    """Everything that is stored of a model, as (place, stream, rows). Place is empty for the store itself.

    column: what is read beside the ids; empty: nothing, None: everything. wanted: of the store only these ids.
    """
    for table, place in ((model, ""), (shadow_table(model), "of shadows")):
        for stream in STREAMS:
            stored = snapshot(observations, table, stream)
            if stored is not None and stored.files:
                names = [
                    field.name for field in stored.schema if field.name != "day"
                ]  # the folder, not in the files
                chosen = names if column is None else [n for n in ("prediction_id", column) if n in names]
                quoted = ", ".join('"' + name.replace('"', '""') + '"' for name in chosen)
                query = f"SELECT {quoted} FROM {parquet_source(stored.files, union_by_name=True)}"  # noqa: S608
                with connect() as connection:
                    if wanted is not None:
                        connection.register("wanted", pa.table({"prediction_id": wanted}))
                        query += " SEMI JOIN wanted USING (prediction_id)"
                    yield place, stream, connection.sql(query).to_arrow_table()
    for stream in STREAMS:
        for path in spool_files.segments(spool, stream, model):
            try:
                yield "in the spool", stream, spool_files.read_segment(path)
            except (FileNotFoundError, pa.ArrowInvalid):
                continue
    for path in spool_files.all_logs(spool):
        yield from _of_log(path, model)
    for path in _set_aside(observations, model):
        stream = "labels" if path.name.startswith("labels-") else "predictions"
        yield "set aside", stream, pq.read_table(path)


def _of_log(path: Path, model: str) -> Iterator[tuple[str, Stream, pa.Table]]:
    try:
        records = spool_files.read_log(path).rows
    except FileNotFoundError:  # committed meanwhile; the next look finds it in the store
        return
    for stream in STREAMS:
        rows = [
            {**one.row, **one.row.get("features", {})}
            for one in records
            if one.stream == stream and one.model in (model, shadow_table(model))
        ]
        plain = [{name: value for name, value in row.items() if name != "features"} for row in rows]
        if plain:
            names = sorted({name for row in plain for name in row})
            yield "in the spool", stream, pa.table({n: _column([row.get(n) for row in plain]) for n in names})


def _column(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # a feature that changed its kind within the log
        return pa.array([None if one is None else json.dumps(one) for one in values], pa.string())
