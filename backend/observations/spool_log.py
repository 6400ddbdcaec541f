"""The gateway's append log: one record a prediction, many records an fsync.

The file's life is told in `spool`: `.open` while it is appended to, then `.log`; `.left` when its gateway died.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from backend.durable import durable_folder, sync_folder
from backend.observations.schema import Stream, check_table
from backend.observations.spool import (
    MAX_PENDING_BYTES,
    MIN_FREE_BYTES,
    SHADOW_MARK,
    SpoolFull,
    check_room,
    check_shadow_room,
    frame,
    segment_id,
)

_log = logging.getLogger(__name__)


class SpoolLog:
    """The gateway's append log. Records that arrive while one fsync runs share the next one.

    Thread-safe. Construct it after a fork; `close` it, or let the process die: nothing acknowledged is lost.

    `shadows`: a log of rows that nobody was promised. It has a file and limits of its own, all below those of answers,
    and is synced when it is closed (once in `rotate_s`) instead of before each row counts as stored.
    """

    def __init__(
        self,
        spool: Path,
        *,
        rotate_s: float = 1.0,
        rotate_bytes: int = 16 << 20,
        max_queued_bytes: int = 32 << 20,
        max_pending_bytes: int = MAX_PENDING_BYTES,
        min_free_bytes: int = MIN_FREE_BYTES,
        shadows: bool = False,
    ) -> None:
        self._spool, self._folder = spool, durable_folder(spool / "logs")
        self._rotate_s, self._rotate_bytes = rotate_s, rotate_bytes
        self._max_queued_bytes = max_queued_bytes
        self._shadows = shadows
        self._limits = {"max_pending_bytes": max_pending_bytes, "min_free_bytes": min_free_bytes}
        self._changed = threading.Condition()
        self._queue: list[tuple[bytes, Future[None]]] = []
        self._queued_bytes = 0
        self._closing = False
        self.refusal: SpoolFull | None = None
        """why rows are refused now, for a health check; None while there is room"""
        self._next_check = 0.0
        self.descriptor = -1
        self._path = Path()
        self._size = 0
        self._opened_at = 0.0
        self._thread = threading.Thread(target=self._run, name="spool-log", daemon=True)
        self._thread.start()

    def append(self, stream: Stream, model: str, row: Mapping[str, Any], *, timeout_s: float = 10.0) -> None:
        """Return once the row is durable. Raises `SpoolFull` when it is not stored."""
        self.submit(stream, model, row).result(timeout_s)

    def submit(self, stream: Stream, model: str, row: Mapping[str, Any]) -> Future[None]:
        """Queue a row; the future resolves when it is durable (`asyncio.wrap_future` awaits it).

        `row` is what `validation.prediction_row` returns plus `source` and `ingested_at` (integer microseconds),
        see `store.gateway_row`.
        """
        record = frame(stream, check_table(model), row)
        future: Future[None] = Future()
        with self._changed:
            if self._closing:
                raise SpoolFull("the gateway is stopping and stores no more predictions; send to another")
            if self.refusal is not None:
                raise self.refusal
            if self._queued_bytes + len(record) > self._max_queued_bytes:
                raise SpoolFull(
                    "predictions arrive faster than this disk makes them durable; send more slowly"
                )
            self._queue.append((record, future))
            self._queued_bytes += len(record)
            self._changed.notify()
        return future

    def close(self) -> None:
        """Make what is queued durable, close the log, stop the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._queue and not self._closing:
                    self._changed.wait(self._rotate_s / 2)
                queued, self._queue, self._queued_bytes = self._queue, [], 0
                closing = self._closing
            self._check_room()
            # a caller that gave up before the write gets no record; after this it can no longer cancel
            batch = [(record, future) for record, future in queued if future.set_running_or_notify_cancel()]
            if batch:
                self._store(batch)
            if self._size and (closing or self._due()):
                self._rotate()
            if closing and not queued:
                self._discard_empty()
                return

    def _due(self) -> bool:
        return self._size >= self._rotate_bytes or time.monotonic() - self._opened_at >= self._rotate_s

    def _check_room(self) -> None:
        if time.monotonic() < self._next_check:
            return
        self._next_check = time.monotonic() + 0.5
        try:
            if self._shadows:
                check_shadow_room(self._spool)
            else:
                check_room(self._spool, **self._limits)
        except SpoolFull as full:
            self.refusal = full
        else:
            self.refusal = None

    def _store(self, batch: list[tuple[bytes, Future[None]]]) -> None:
        try:
            if self.descriptor < 0:
                self._open()
            data = memoryview(b"".join(record for record, _ in batch))
            written = 0
            while written < len(data):
                written += os.write(self.descriptor, data[written:])
            if not self._shadows:
                os.fsync(self.descriptor)
        except OSError as failure:
            self._abandon_batch()
            refusal = SpoolFull(
                f"the spool {self._folder} cannot be written ({failure}); the row was not stored"
            )
            for _, future in batch:
                future.set_exception(refusal)
            return
        if self._size == 0:
            self._opened_at = time.monotonic()
        self._size += len(data)
        for _, future in batch:
            future.set_result(None)

    def _abandon_batch(self) -> None:
        """Cut the file back to what was acknowledged and go on in a new one: after a failed fsync the kernel
        may drop dirty pages, so the old descriptor is not trusted again."""
        if self.descriptor < 0:
            return
        # when cutting fails: the frames after `_size` were not acknowledged; committing them too is allowed
        with suppress(OSError):
            os.ftruncate(self.descriptor, self._size)
        if self._size:
            self._rotate()
        else:
            self._discard_empty()

    def _open(self) -> None:
        name = segment_id() + (SHADOW_MARK if self._shadows else "")
        draft = self._folder / f".{name}.tmp"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # before the name that the writer looks for
            path = draft.rename(self._folder / f"{name}.open")
            sync_folder(self._folder)
        except OSError:
            os.close(descriptor)
            raise
        self.descriptor, self._path, self._size = descriptor, path, 0
        self._opened_at = time.monotonic()

    def _rotate(self) -> None:
        try:
            if self._shadows:
                os.fsync(self.descriptor)
            self._path.rename(self._path.with_suffix(".log"))
            sync_folder(self._folder)
        except OSError as failure:  # closing frees the lock, and the writer then takes the file over
            _log.warning("the log %s could not be closed: %s", self._path, failure)
        os.close(self.descriptor)
        self.descriptor, self._size = -1, 0

    def _discard_empty(self) -> None:
        if self.descriptor >= 0:
            self._path.unlink(missing_ok=True)
            os.close(self.descriptor)
            self.descriptor, self._size = -1, 0
