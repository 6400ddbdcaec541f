"""The writer: moves the spool into the observation store every few seconds, and marks the windows it touched.

Not one durable run a pass: a thread of every worker that has the `writer` queue, of which one at a time acts. It
holds the lease `writer` while there is something to move, and the spool's lock, which the system frees when the
process dies. A crash anywhere is repaired by the next pass: the spool keeps a row until it is in Delta and its
windows are marked. A requested run of `commit_spool` does one pass at once, under the same lease.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from backend import clock
from backend.database.session import writing
from backend.errors import Unavailable, WarrantError
from backend.leases import WRITER, give_back, note_status, take_lease
from backend.monitoring.windows_service import mark_dirty
from backend.observations.schema import is_shadow_table
from backend.queue import COMMIT_SPOOL
from backend.settings import settings
from jobs.runtime import Run, workflow

if TYPE_CHECKING:
    from backend.observations.writer import Committed

log = logging.getLogger("warrant.writer")

STEPS = ("commit",)
LEASE_LASTS: Final = timedelta(seconds=10)
RENEW_EVERY_S: Final = 3.0
RESTS: Final = 4.0
LONGEST_REST_S: Final = 10.0


class LeaseLost(Unavailable):
    """Another worker is the writer now; what this one did not finish stays in the spool for it."""

    title = "Lease lost"


def mark_committed(committed: Sequence[Committed], *, holder: str, generation: int) -> None:
    """In one transaction, and only while the lease is ours: mark every window that the rows of a pass lie in.

    Rows are reported per UTC hour; both ends of an hour are marked, for zones whose hours begin at half past.
    """
    times: dict[tuple[str, str], set[datetime]] = {}
    for one in committed:
        if is_shadow_table(one.model):
            continue
        for row in one.affected.select(["hour", "environment"]).to_pylist():
            marked = times.setdefault((one.model, row["environment"]), set())
            marked.add(row["hour"])
            marked.add(row["hour"] + timedelta(hours=1, microseconds=-1))
    with writing() as session:
        if take_lease(session, WRITER, holder=holder, lasts=LEASE_LASTS) != generation:
            raise LeaseLost("another worker has become the writer; the rows stay in the spool for it")
        for (model, environment), moments in sorted(times.items()):
            mark_dirty(session, model=model, environment=environment, times=moments)


def commit_once(holder: str) -> int | None:
    """One pass under the lease. Returns the rows added to the store, or None while another worker is the writer.

    Raises `CommitFailed` when a table could not be written; its rows stay in the spool.
    """
    from backend.observations.writer import WriterBusy, commit_spool

    with writing() as session:
        generation = take_lease(session, WRITER, holder=holder, lasts=LEASE_LASTS)
    if generation is None:
        return None
    status: dict[str, Any] = {"at": clock.to_iso(clock.now())}
    renewed = time.monotonic()

    def renew(_point: str) -> None:
        nonlocal renewed
        if time.monotonic() - renewed < RENEW_EVERY_S:
            return
        with writing() as session:
            if take_lease(session, WRITER, holder=holder, lasts=LEASE_LASTS) != generation:
                raise LeaseLost("another worker has become the writer; the rows stay in the spool for it")
        renewed = time.monotonic()

    began = time.monotonic()
    try:
        done = commit_spool(
            settings().observations,
            settings().spool,
            on_committed=lambda committed: mark_committed(committed, holder=holder, generation=generation),
            after=renew,
        )
    except WriterBusy:
        return None
    except Exception as error:
        status["error"] = (
            error.message if isinstance(error, WarrantError) else f"{type(error).__name__}: {error}"
        )
        raise
    else:
        rows = sum(one.rows for one in done)
        status |= {
            "rows": rows,
            "rows_known": sum(one.rows_known for one in done),
            "rows_rejected": sum(one.rows_rejected for one in done),
            "models": sorted({one.model for one in done}),
            "took_s": round(time.monotonic() - began, 3),
        }
        return rows
    finally:
        with writing() as session:
            note_status(session, WRITER, holder=holder, status=status)
            give_back(session, WRITER, holder=holder)


class WriterThread(threading.Thread):
    """Looks at the spool every `spool_commit_s` and moves what is there, until `stopping` is set.

    Many small passes cost far more than few large ones: after one that took long it rests for `RESTS` times as long, at
    most `LONGEST_REST_S`, so that a steady trickle of rows does not keep a processor busy.
    """

    def __init__(self, worker_id: str, stopping: threading.Event) -> None:
        super().__init__(name="writer", daemon=True)
        self._worker_id = worker_id
        self._stopping = stopping

    def run(self) -> None:
        from backend.observations.spool import pending_bytes

        rest = 0.0
        while not self._stopping.wait(max(settings().spool_commit_s, rest)):
            began = time.monotonic()
            try:
                if pending_bytes(settings().spool):
                    commit_once(self._worker_id)
            except Exception as error:
                log.error(  # noqa: TRY400 - known facts need no traceback
                    "the spool could not be committed and is kept: %s",
                    error.message if isinstance(error, WarrantError) else error,
                    exc_info=None if isinstance(error, WarrantError) else error,
                )
            rest = min(LONGEST_REST_S, RESTS * (time.monotonic() - began))


@workflow(COMMIT_SPOOL)
def commit_spool_now(run: Run) -> None:
    """One pass on request."""
    run.progress(0.1, "moving the spool into the observation store")
    rows = run.step("commit", _commit, f"{run.worker_id}/{run.run_id}")
    run.progress(1.0, f"{rows} rows")


def _commit(holder: str) -> int:
    deadline = time.monotonic() + 3 * LEASE_LASTS.total_seconds()
    while (rows := commit_once(holder)) is None:
        if time.monotonic() > deadline:
            raise LeaseLost("another worker has been the writer all the time; it moves the spool")
        time.sleep(0.5)
    return rows
