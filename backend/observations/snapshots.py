"""Snapshots of Delta tables, and DuckDB over their files.

Opening a table reads its log, which costs more than a small batch; so the newest snapshot is kept, and is good
until the file of the next version appears.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from backend.observations.schema import Stream, table_path

# Less than `delta.logRetentionDuration`, so that the log entry after a kept snapshot cannot have been cleaned away.
KEPT_S: Final = 3600.0
_MAX_KEPT: Final = 256


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One committed version of a Delta table: its files are immutable, so all reads of it agree."""

    version: int
    files: tuple[str, ...]
    schema: pa.Schema


@dataclass(frozen=True, slots=True)
class _Kept:
    snapshot: Snapshot
    entry: tuple[int, int]
    """inode and modification time of the version's log entry: another table in the same place has another"""
    read_at: float


_kept: OrderedDict[tuple[str, str | None], _Kept] = OrderedDict()
_lock = threading.Lock()


def snapshot(
    observations: Path, model: str, stream: Stream, *, predicate: str | None = None
) -> Snapshot | None:
    """The newest committed version, or None when the table does not exist yet.

    `predicate` is SQL over columns; files whose statistics exclude it are left out.
    """
    path = table_path(observations, model, stream).absolute()
    key = (str(path), predicate)
    with _lock:
        kept = _kept.get(key)
    if kept is not None and _is_newest(path, kept):
        return kept.snapshot
    read_at = time.monotonic()
    if not (path / "_delta_log").is_dir():
        return None
    try:
        table = DeltaTable(str(path))
    except TableNotFoundError:
        return None
    uris = table.file_uris(file_pruning_predicate=predicate) if predicate else table.file_uris()
    # the library escapes the folder's own name in its URIs; what follows the table's folder is plain
    mark = f"/{model}/{stream}/"
    files = sorted(str(path / uri[uri.rindex(mark) + len(mark) :]) for uri in uris)
    found = Snapshot(table.version(), tuple(files), pa.schema(table.schema().to_arrow()))
    entry = _entry(path, found.version)
    if entry is not None:
        with _lock:
            _kept[key] = _Kept(found, entry, read_at)
            _kept.move_to_end(key)
            while len(_kept) > _MAX_KEPT:
                _kept.popitem(last=False)
    return found


def _is_newest(path: Path, kept: _Kept) -> bool:
    """Versions have no gaps, so the newest one is that without a next."""
    if time.monotonic() - kept.read_at > KEPT_S:
        return False
    version = kept.snapshot.version
    return _entry(path, version + 1) is None and _entry(path, version) == kept.entry


def _entry(path: Path, version: int) -> tuple[int, int] | None:
    try:
        state = (path / "_delta_log" / f"{version:020d}.json").stat()
    except FileNotFoundError:
        return None
    return state.st_ino, state.st_mtime_ns


def connect() -> duckdb.DuckDBPyConnection:
    """A DuckDB in memory that loads nothing from the network and speaks UTC."""
    connection = duckdb.connect(
        config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
    )
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def parquet_source(files: Sequence[str], *, union_by_name: bool = False) -> str:
    """A DuckDB table function over these files."""
    quoted = ", ".join("'" + _literal_path(file).replace("'", "''") + "'" for file in files)
    return f"read_parquet([{quoted}], hive_partitioning=false, union_by_name={str(union_by_name).lower()})"


def _literal_path(file: str) -> str:
    """Brackets and stars of a folder's name are not patterns."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in file)
