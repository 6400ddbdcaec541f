"""A worker's identity and its sign of life.

The id is fixed: a worker that starts again takes the same one and finds its own runs. A lock file in
`WARRANT_HOME/workers/` keeps two living processes of one home from having one id; the beat row keeps two hosts apart.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Final

from sqlalchemy import delete
from sqlalchemy.exc import SQLAlchemyError

from backend import clock
from backend.database.session import writing
from backend.errors import BadInput, Conflict
from backend.queue import WorkerBeat, worker_dead_after
from backend.settings import settings

log = logging.getLogger("warrant.worker")

BEAT_S: Final = 2.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class WorkerNameTaken(Conflict):
    title = "Worker name taken"


@contextmanager
def worker_identity(name: str | None) -> Iterator[str]:
    """Hold this worker's id as long as the process lives; the system gives it back even after kill -9.

    Without a name it is `worker-<host>-<n>` with the smallest free n. Raises `WorkerNameTaken` for a name in use.
    """
    if name is not None and not _NAME.fullmatch(name):
        raise BadInput(
            f"{name!r} cannot be a worker's name: use letters, digits, '.', '-' and '_', at most 100"
        )
    folder = settings().resolved_home() / "workers"
    folder.mkdir(exist_ok=True)
    host = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname()) or "host"
    for worker_id in [name] if name else (f"worker-{host}-{number}" for number in count(1)):
        descriptor = _lock(folder / f"{worker_id}.lock")
        if descriptor is not None:
            try:
                yield worker_id
            finally:
                os.close(descriptor)
            return
    raise WorkerNameTaken(f"a worker called {name} already runs on {folder.parent}; choose another --name")


def _lock(path: Path) -> int | None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


class Heart(threading.Thread):
    """Writes the worker's beat every two seconds (five times before it would count as dead) until stopped."""

    def __init__(self, worker_id: str, queues: Sequence[str]) -> None:
        super().__init__(name="beat", daemon=True)
        self._worker_id = worker_id
        self._queues = ",".join(queues)
        self._started_at = clock.now()
        self._ended = threading.Event()
        self.last_beat_at: datetime | None = None

    def begin(self) -> None:
        """Write the first beat and go on in the background.

        Raises `WorkerNameTaken` when another host's worker of this name is alive: the lock file cannot see it.
        """
        with writing() as session:
            known = session.get(WorkerBeat, self._worker_id)
            if (
                known is not None
                and known.host != socket.gethostname()
                and known.seen_at > clock.now() - worker_dead_after()
            ):
                wait_s = worker_dead_after().total_seconds()
                raise WorkerNameTaken(
                    f"a worker called {self._worker_id} was alive on {known.host} at {clock.to_iso(known.seen_at)};"
                    f" choose another --name, or wait {wait_s:g} s if it has just been stopped"
                )
        self.beat()
        self.start()

    def beat(self) -> None:
        now = clock.now()
        with writing() as session:
            row = session.get(WorkerBeat, self._worker_id)
            if row is None:
                row = WorkerBeat(worker_id=self._worker_id)
                session.add(row)
            row.queues, row.host, row.pid = self._queues, socket.gethostname(), os.getpid()
            row.started_at, row.seen_at = self._started_at, now
        self.last_beat_at = now

    def is_fresh(self, within: timedelta) -> bool:
        """Whether this worker itself was seen lately. One that has just woken is no judge of others."""
        return self.last_beat_at is not None and clock.now() - self.last_beat_at < within

    def run(self) -> None:
        before = time.monotonic()
        while not self._ended.wait(min(BEAT_S, worker_dead_after().total_seconds() / 5)):
            away_s = time.monotonic() - before
            before = time.monotonic()
            if away_s > worker_dead_after().total_seconds():
                log.warning("this worker was away for %.0f s; others may have taken its runs over", away_s)
            try:
                self.beat()
            except SQLAlchemyError as error:
                log.warning("the beat could not be written: %s", error)

    def stop(self) -> None:
        """Stop, and take the beat back, so that what this worker leaves is resumed at once."""
        self._ended.set()
        if self.is_alive():
            self.join(timeout=10)
        with writing() as session:
            session.execute(delete(WorkerBeat).where(WorkerBeat.worker_id == self._worker_id))
