"""The spool: what was accepted and is not yet in Delta. A row here survives kill -9 and loss of power.

    <spool>/predictions/<model>/<id>.arrow   one accepted batch (Arrow IPC), likewise labels/
    <spool>/logs/<id>.open                   the log a living gateway appends to (it holds an flock)
    <spool>/logs/<id>.log                    a log its gateway closed
    <spool>/logs/<id>.left                   a log whose gateway died; its torn tail was never acknowledged
    <spool>/logs/<id>-shadow.*               the same of shadows: what they scored was promised to nobody
    <spool>/corrupt/                         bytes of closed files that no longer read; never deleted by us

Ids begin with the time, so that name order is arrival order on one host. Files appear under their final name
only when they are complete and fsynced.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import secrets
import shutil
import struct
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from backend.durable import durable_folder, sync_folder
from backend.errors import Unavailable
from backend.observations.schema import STREAMS, Stream, check_model

MIN_FREE_BYTES: Final = 256 << 20
MAX_PENDING_BYTES: Final = 8 << 30
MAX_SHADOW_BYTES: Final = 64 << 20  # less than the reserve, out of which it comes on a disk that fills up
SHADOW_MARK: Final = "-shadow"
_FRAME: Final = struct.Struct(">II")  # payload bytes, CRC-32 of the payload
_log = logging.getLogger(__name__)
_COMPRESSION: Final = "lz4"


class SpoolFull(Unavailable):
    """Taking more would risk what was accepted: the disk is nearly full, or the writer has fallen behind."""

    title = "Spool full"


def segment_id() -> str:
    """Sorts by time; unique across threads, processes and hosts."""
    return f"{time.time_ns():016x}-{secrets.token_hex(6)}"


def pending_bytes(spool: Path) -> int:
    """Bytes waiting for the writer."""
    total = 0
    for pattern in (*(f"{stream}/*/*.arrow" for stream in STREAMS), "logs/*.*"):
        for path in spool.glob(pattern):
            try:
                total += path.stat().st_size
            except FileNotFoundError:  # committed meanwhile
                continue
    return total


def shadow_bytes(spool: Path) -> int:
    """Of these, bytes of shadows."""
    total = 0
    for path in spool.glob(f"logs/*{SHADOW_MARK}.*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total


def check_shadow_room(spool: Path, *, max_bytes: int = MAX_SHADOW_BYTES) -> None:
    """Raise `SpoolFull` when shadows have written what they may, or answers could soon need the room."""
    check_room(spool, min_free_bytes=2 * MIN_FREE_BYTES, max_pending_bytes=MAX_PENDING_BYTES // 2)
    waiting = shadow_bytes(spool)
    if waiting >= max_bytes:
        raise SpoolFull(
            f"{waiting >> 20} MiB of shadows wait in {spool} for the writer, the limit is {max_bytes >> 20} MiB; "
            "nothing was stored: check that the worker's writer runs",
            pending_bytes=waiting,
        )


def check_room(
    spool: Path,
    *,
    needed_bytes: int = 0,
    max_pending_bytes: int = MAX_PENDING_BYTES,
    min_free_bytes: int = MIN_FREE_BYTES,
) -> None:
    """Raise `SpoolFull` when the disk or the backlog has no room for `needed_bytes` more.

    What shadows wrote counts neither as backlog nor as taken: they may use a part of the reserve and nothing else.
    """
    shadows = shadow_bytes(spool)
    free = shutil.disk_usage(durable_folder(spool)).free + min(shadows, MAX_SHADOW_BYTES)
    if free - needed_bytes < min_free_bytes:
        raise SpoolFull(
            f"the disk of {spool} has {free >> 20} MiB free, {min_free_bytes >> 20} MiB are kept in reserve; "
            "nothing was stored: free some space, then send again",
            free_bytes=free,
        )
    pending = pending_bytes(spool) - shadows
    if pending + needed_bytes > max_pending_bytes:
        raise SpoolFull(
            f"{pending >> 20} MiB wait in {spool} for the writer, the limit is {max_pending_bytes >> 20} MiB; "
            "nothing was stored: check that the worker's writer runs, then send again",
            pending_bytes=pending,
        )


def append(spool: Path, stream: Stream, model: str, table: pa.Table) -> Path:
    """Write one batch as a durable segment and return its path. Raises `SpoolFull`; then nothing is stored."""
    check_room(spool, needed_bytes=table.nbytes)
    folder = durable_folder(spool / stream / check_model(model))
    name = segment_id()
    draft, final = folder / f".{name}.tmp", folder / f"{name}.arrow"
    try:
        with draft.open("wb") as file:
            with pa.ipc.new_file(
                file, table.schema, options=pa.ipc.IpcWriteOptions(compression=_COMPRESSION)
            ) as out:
                out.write_table(table, max_chunksize=65_536)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(final)
        sync_folder(folder)
    except OSError as failure:
        draft.unlink(missing_ok=True)
        final.unlink(missing_ok=True)
        raise SpoolFull(f"the spool {folder} cannot be written ({failure}); nothing was stored") from failure
    return final


def segments(spool: Path, stream: Stream, model: str) -> list[Path]:
    """Complete segments of one model, in arrival order."""
    return sorted((spool / stream / check_model(model)).glob("[!.]*.arrow"))


def models(spool: Path, stream: Stream) -> list[str]:
    """Models with a folder in the spool."""
    folder = spool / stream
    return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def read_segment(path: Path, columns: list[str] | None = None) -> pa.Table:
    """A segment's rows. Raises `FileNotFoundError` once the writer has committed and removed it."""
    with pa.memory_map(str(path)) as source:
        reader = pa.ipc.open_file(source)
        if columns is not None:
            chosen = [reader.schema.get_field_index(column) for column in columns]
            reader = pa.ipc.open_file(source, options=pa.ipc.IpcReadOptions(included_fields=chosen))
        table = reader.read_all()
        return table if columns is None else table.select(columns)


def clear_drafts(spool: Path, *, older_than_s: float = 3600.0) -> None:
    """Delete drafts of processes that died before they acknowledged anything."""
    oldest = time.time() - older_than_s
    for pattern in (*(f"{stream}/*/.*.tmp" for stream in STREAMS), "logs/.*.tmp"):
        for draft in spool.glob(pattern):
            try:
                if draft.stat().st_mtime < oldest:
                    draft.unlink()
            except FileNotFoundError:
                continue


def quarantine(spool: Path, path: Path, *, from_byte: int = 0) -> Path:
    """Keep bytes of a closed file that do not read: the whole file moves, or its tail is copied."""
    kept = durable_folder(spool / "corrupt") / (f"{path.name}.from-{from_byte}" if from_byte else path.name)
    if from_byte:
        with kept.open("wb") as copy:
            copy.write(path.read_bytes()[from_byte:])
            os.fsync(copy.fileno())
    else:
        path.rename(kept)
    sync_folder(kept.parent)
    _log.error("a closed spool file does not read; what is left of it is in %s", kept)
    return kept


def quarantined(spool: Path) -> list[Path]:
    """What `quarantine` kept; anything here is acknowledged data that needs a person."""
    return sorted((spool / "corrupt").glob("[!.]*"))


@dataclass(frozen=True, slots=True)
class LogRow:
    """One record of a gateway log."""

    stream: Stream
    model: str
    row: dict[str, Any]


@dataclass(frozen=True, slots=True)
class LogContent:
    """The good frames of a log, and how many bytes after them do not read."""

    rows: list[LogRow]
    good_bytes: int
    torn_bytes: int


def read_log(path: Path) -> LogContent:
    """Read frames up to the first that is cut short or fails its checksum."""
    content = path.read_bytes()
    rows: list[LogRow] = []
    position = 0
    while position + _FRAME.size <= len(content):
        length, checksum = _FRAME.unpack_from(content, position)
        end = position + _FRAME.size + length
        payload = content[position + _FRAME.size : end]
        # a length of zero is what a file extended but never written holds
        if length == 0 or end > len(content) or zlib.crc32(payload) != checksum:
            break
        stream, model, row = json.loads(payload)
        rows.append(LogRow(stream, model, row))
        position = end
    return LogContent(rows, position, len(content) - position)


def frame(stream: Stream, model: str, row: Mapping[str, Any]) -> bytes:
    """One record as bytes: length, checksum, JSON."""
    payload = json.dumps([stream, model, row], separators=(",", ":"), allow_nan=False).encode()
    return _FRAME.pack(len(payload), zlib.crc32(payload)) + payload


def closed_logs(spool: Path) -> list[Path]:
    """Logs that nobody appends to any more, in order; those of dead gateways are taken over first.

    Only the writer calls this, under its lock.
    """
    folder = spool / "logs"
    for path in sorted(folder.glob("*.open")):
        try:
            with path.open("rb") as log:
                fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.rename(path.with_suffix(".left"))
        except (BlockingIOError, FileNotFoundError):  # its gateway lives, or has just closed it
            continue
    return sorted([*folder.glob("*.log"), *folder.glob("*.left")])


def all_logs(spool: Path) -> list[Path]:
    """Every log, also those still being appended to."""
    return sorted(
        path for path in (spool / "logs").glob("[!.]*.*") if path.suffix in (".open", ".log", ".left")
    )
