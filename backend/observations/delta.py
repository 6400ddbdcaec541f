"""Writing Delta tables: append, make durable, compact, vacuum. Only `writer` calls this."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, WriterProperties, write_deltalake

from backend.durable import durable_folder, sync_file, sync_folder
from backend.observations.schema import Stream, table_path, time_column

# Removed files stay readable for this long, so that a scan that began before a compaction can finish.
READER_GRACE: Final = timedelta(hours=2)
_CONFIGURATION: Final = {
    "delta.checkpointInterval": "64",
    "delta.logRetentionDuration": "interval 1 day",
    "delta.deletedFileRetentionDuration": "interval 2 hours",
}


def with_day(table: pa.Table, stream: Stream) -> pa.Table:
    """The table with its partition column."""
    return table.append_column("day", table.column(time_column(stream)).cast(pa.date32(), safe=False))


def append(observations: Path, model: str, stream: Stream, table: pa.Table, segments: Sequence[str]) -> range:
    """Add rows in one commit that names their segments; the versions it made (with the table's creation)."""
    path = table_path(observations, model, stream)
    durable_folder(path)
    before = DeltaTable(str(path)).version() if DeltaTable.is_deltatable(str(path)) else -1
    write_deltalake(
        str(path),
        table,
        mode="append",
        partition_by=["day"],
        schema_mode="merge",
        configuration=_CONFIGURATION if before < 0 else None,
        writer_properties=_writer_properties(),
        commit_properties=CommitProperties(custom_metadata={"segments": json.dumps(list(segments))}),
    )
    return range(before + 1, DeltaTable(str(path)).version() + 1)


def sync(observations: Path, model: str, stream: Stream, versions: range) -> None:
    """fsync what these versions wrote: the Delta library leaves that to the operating system."""
    path = table_path(observations, model, stream)
    log = path / "_delta_log"
    folders = {path, log}
    for version in versions:
        entry = log / f"{version:020d}.json"
        for line in entry.read_text().splitlines():
            added = json.loads(line).get("add")
            if added is not None:
                file = path / unquote(added["path"])
                sync_file(file)
                folders.add(file.parent)
        sync_file(entry)
        for checkpoint in (*log.glob(f"{version:020d}.checkpoint*"), *log.glob("_last_checkpoint")):
            sync_file(checkpoint)
    for folder in folders:
        sync_folder(folder)


def maintain(observations: Path, model: str, stream: Stream, *, every: int) -> bool:
    """Compact small files and vacuum old ones once in `every` commits; whether it did."""
    table = DeltaTable(str(table_path(observations, model, stream)))
    if every <= 0 or table.version() % every != 0 or table.version() == 0:
        return False
    before = table.version()
    table.optimize.compact(writer_properties=_writer_properties())
    sync(observations, model, stream, range(before + 1, table.version() + 1))
    table.vacuum(retention_hours=int(READER_GRACE.total_seconds() // 3600), dry_run=False, full=True)
    return True


def delete_before(
    observations: Path, model: str, stream: Stream, day: date, *, keep: Collection[str] = ()
) -> int:
    """Delete the whole days before `day` but for the predictions to keep, and the files of what was deleted hours ago;
    gives how many files hold them no longer."""
    path = table_path(observations, model, stream)
    if not DeltaTable.is_deltatable(str(path)):
        return 0
    table = DeltaTable(str(path))
    before = table.version()
    condition = f"day < '{day.isoformat()}'"
    if keep:
        named = ", ".join("'" + one.replace("'", "''") + "'" for one in sorted(keep))
        condition += f" AND prediction_id NOT IN ({named})"
    deleted = int(table.delete(condition).get("num_removed_files") or 0)
    sync(observations, model, stream, range(before + 1, table.version() + 1))
    table.vacuum(retention_hours=int(READER_GRACE.total_seconds() // 3600), dry_run=False, full=True)
    return deleted


def rows_before(observations: Path, model: str, stream: Stream, day: date) -> int:
    """How many rows lie on the days before `day`, by the table's own statistics."""
    path = table_path(observations, model, stream)
    if not DeltaTable.is_deltatable(str(path)):
        return 0
    actions = DeltaTable(str(path)).get_add_actions(flatten=True)
    days, rows = actions.column("partition.day").to_pylist(), actions.column("num_records").to_pylist()
    return sum(number or 0 for at, number in zip(days, rows, strict=True) if str(at) < day.isoformat())


def shorten_log(observations: Path, model: str, stream: Stream) -> None:
    """Forget old entries of the table's log: they hold the least and the greatest value of every column of files that
    are gone. A table that nothing is written to would keep them for ever."""
    path = table_path(observations, model, stream)
    if not DeltaTable.is_deltatable(str(path)):
        return
    table = DeltaTable(str(path))
    table.create_checkpoint()
    table.cleanup_metadata()


def _writer_properties() -> WriterProperties:
    return WriterProperties(compression="ZSTD", compression_level=1, max_row_group_size=131_072)
