"""What a data subject's change does outside the database: rows leave the observation store, or a document is made.

Every part can be done again: what was found is kept before it is erased, and erasing what is gone does nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from backend.data_rights.handing_out import write_document
from backend.data_rights.requests import (
    keep_found,
    mark_carried_out,
    request_of,
    require_erasable_now,
    subject_of,
)
from backend.data_rights.tables import DataRequest
from backend.database.session import reading, writing
from backend.errors import Unavailable
from backend.governance.tables import Change
from backend.leases import WRITER, give_back, take_lease
from backend.queue import EXECUTE_CHANGE
from backend.settings import settings
from jobs.commit_spool import LeaseLost, mark_committed
from jobs.kill_points import pass_kill_point
from jobs.retraining.copies import forget_copies_of
from jobs.runtime import Run

if TYPE_CHECKING:
    from backend.observations.writer import Committed

LEASE_LASTS: Final = timedelta(seconds=30)  # taken anew at every point; another worker waits no longer
PATIENCE_S: Final = 120.0
PAUSE_S: Final = 0.5
MOST_LOOKS: Final = 10


class WriterAway(Unavailable):
    """The store's writer is busy all the time; nothing was erased."""

    title = "Writer busy"


def carry_out(run: Run, change_id: int) -> None:
    """Erase the rows of the request, or hand them out. A request about a person or about
    entries of the log is one transaction: nothing here."""
    with reading() as session:
        request = request_of(session, session.get_one(Change, change_id))
    if request.carried_out_at is not None or request.about in ("person", "entries"):
        return
    if request.kind == "access":
        _hand_out(run, request, change_id)
        return
    with _as_writer(run) as (on_committed, renew):
        for look in range(MOST_LOOKS):
            ids, left = _found(run, request)
            # The first time also where nothing is left: who was killed may have left the files that held the rows.
            if not left and (look or not ids):
                break
            _erase(run, request, ids, on_committed, renew)
        else:
            raise Unavailable(
                f"new rows of the same subject go on coming for {request.model}; ask for the change again"
            )
    with writing() as session:
        run.require_owned(session)
        forget_copies_of(session, request.model or "")
        mark_carried_out(session, request.id)


def _found(run: Run, request: DataRequest) -> tuple[list[str], bool]:
    """Every id found so far, kept with the request, and whether any row of them is there now."""
    from backend.observations.erasing import count_rows, find_ids

    store, spool, model = settings().observations, settings().spool, request.model or ""
    ids = find_ids(store, spool, model, subject_of(request))
    counts = count_rows(store, spool, model, ids)
    with writing() as session:
        run.require_owned(session)
        require_erasable_now(session, request, prediction_ids=ids)
        known = keep_found(session, request.id, counts)
    return known, bool(count_rows(store, spool, model, known))


def _erase(
    run: Run,
    request: DataRequest,
    ids: Sequence[str],
    on_committed: Callable[[Sequence[Committed]], None],
    renew: Callable[[], None],
) -> None:
    from backend.observations.erasing import erase_rows
    from backend.observations.writer import WriterBusy

    def after(point: str) -> None:
        pass_kill_point(EXECUTE_CHANGE.name, "erase_rows", point)
        renew()
        if point == "spool_moved":  # the last moment before rows go
            with writing() as session:
                run.require_owned(session)
                require_erasable_now(session, request, prediction_ids=ids)

    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            store, spool = settings().observations, settings().spool
            erase_rows(store, spool, request.model or "", ids, on_committed=on_committed, after=after)
        except WriterBusy:
            if time.monotonic() > deadline:
                raise
            time.sleep(PAUSE_S)
        else:
            return


@contextmanager
def _as_writer(run: Run) -> Iterator[tuple[Callable[[Sequence[Committed]], None], Callable[[], None]]]:
    """Hold the writer's lease, so that no other host writes; gives what the writer calls after each commit, and what
    keeps the lease."""
    holder = f"{run.worker_id}/{run.run_id}"
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with writing() as session:
            generation = take_lease(session, WRITER, holder=holder, lasts=LEASE_LASTS)
        if generation is not None:
            break
        if time.monotonic() > deadline:
            raise WriterAway("another worker has been the writer all the time; ask for the change again")
        time.sleep(PAUSE_S)

    def renew() -> None:
        with writing() as session:
            if take_lease(session, WRITER, holder=holder, lasts=LEASE_LASTS) != generation:
                raise LeaseLost("another worker has become the writer; ask for the change again")

    try:
        yield lambda committed: mark_committed(committed, holder=holder, generation=generation), renew
    finally:
        with writing() as session:
            give_back(session, WRITER, holder=holder)


def _hand_out(run: Run, request: DataRequest, change_id: int) -> None:
    from backend.observations.erasing import count_rows, find_ids, rows_of

    store, spool, model = settings().observations, settings().spool, request.model or ""
    ids = find_ids(store, spool, model, subject_of(request))
    rows = rows_of(store, spool, model, ids)
    with writing() as session:
        run.require_owned(session)
        keep_found(session, request.id, count_rows(store, spool, model, ids))
    with reading() as session:
        file, digest = write_document(session, request, change_id, rows)
    with writing() as session:
        run.require_owned(session)
        mark_carried_out(session, request.id, file=file, digest=digest)
