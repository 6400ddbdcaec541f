"""Sending the log to other systems as it grows: in order, each entry at least once, whatever crashes or is away.

The log is the outbox: an entry is in it with the change it records, or not at all. A cursor for each destination says
which entry comes next, and moves only when the destination has taken a batch. After a crash in between the batch is
sent again. One sender at a time sends to a destination (a lease), so that order holds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select

from backend import clock
from backend.audit.export import records
from backend.audit.findings import NOT_STREAMED, close_finding, open_finding
from backend.audit.formats.record import Record
from backend.audit.searching import Search
from backend.audit.signers import origin
from backend.audit.streams import Stream, stream_names, streams
from backend.audit.streams.base import Batch
from backend.audit.tables import AuditCursor, AuditEntry, AuditHead
from backend.database.session import ReadSession, WriteSession, reading, writing
from backend.errors import WarrantError
from backend.identity.actor import Actor
from backend.leases import give_back, take_lease

log = logging.getLogger("warrant.audit")

BATCH: Final = 200
AT_MOST: Final = timedelta(minutes=5)  # one run; what is left waits for the next
LEASE_LASTS: Final = timedelta(minutes=2)  # longer than one batch can take


@dataclass(frozen=True)
class StreamState:
    """How far a destination is behind. `problem` is empty while it takes entries; `moved_at` is None where nothing was
    sent there yet, `waiting_since` the moment of the oldest entry that it has not taken."""

    name: str
    behind: int
    moved_at: datetime | None
    problem: str
    failing_since: datetime | None
    waiting_since: datetime | None


def send_new_entries(
    actor: Actor,
    *,
    holder: str,
    to: Sequence[Stream] | None = None,
    still: Callable[[], None] = lambda: None,
) -> dict[str, int]:
    """Send every destination what it has not taken yet. Returns how many entries each took.

    One that is away opens a finding and holds up no other. `still` is called before each batch and raises when this
    sender has to stop.
    """
    return {one.name: _send(actor, one, holder, still) for one in (streams() if to is None else to)}


def _send(actor: Actor, stream: Stream, holder: str, still: Callable[[], None]) -> int:
    until, count = clock.now() + AT_MOST, 0
    try:
        while clock.now() < until:
            still()
            with writing() as session:
                if take_lease(session, stream.name, holder=holder, lasts=LEASE_LASTS) is None:
                    return count
                cursor = _cursor(session, stream.name)
                next_seq, failing = cursor.next_seq, cursor.failing_since is not None
            batch = _batch(actor, stream, next_seq)
            if batch is None:
                return count
            try:
                stream.destination.send(batch)
            except WarrantError as error:
                with writing() as session:
                    _note_failure(session, actor, stream.name, error.message)
                return count
            with writing() as session:
                _move(session, stream.name, batch)
                if failing:
                    close_finding(
                        session, actor, NOT_STREAMED, subject=stream.name, why="it takes entries again"
                    )
            count += len(batch.records)
        return count
    finally:
        with writing() as session:
            give_back(session, stream.name, holder=holder)


def stream_states(session: ReadSession) -> list[StreamState]:
    """The destinations of this home, also those that nothing was sent to yet, and those that once were."""
    head = session.get(AuditHead, 1)
    size = head.size if head else 0
    rows = session.scalars(
        select(AuditCursor).where(AuditCursor.name.startswith("stream ")).order_by(AuditCursor.name)
    )
    found = {
        row.name: StreamState(row.name.removeprefix("stream "), max(0, size - row.next_seq), row.moved_at, row.problem,
                              row.failing_since, _time_of(session, row.next_seq))
        for row in rows
    }  # fmt: skip
    for name in stream_names():
        if name not in found:
            found[name] = StreamState(
                name.removeprefix("stream "), size, None, "", None, _time_of(session, 0)
            )
    return [found[name] for name in sorted(found)]


def _time_of(session: ReadSession, seq: int) -> datetime | None:
    at = session.scalar(select(AuditEntry.at).where(AuditEntry.seq == seq))
    return clock.from_iso(at) if at is not None else None


def is_behind(session: ReadSession) -> bool:
    """Whether a destination of this home has not taken every entry."""
    head = session.get(AuditHead, 1)
    for one in streams():
        row = session.get(AuditCursor, one.name)
        if head is not None and (row is None or row.next_seq < head.size):
            return True
    return False


def _batch(actor: Actor, stream: Stream, next_seq: int) -> Batch | None:
    with reading() as session:
        found = records(session, actor, Search(), after_seq=next_seq - 1, limit=BATCH)
    if not found:
        return None
    kept = found if stream.with_payload else [_leaf_only(one) for one in found]
    return Batch(origin(), stream.form, tuple(kept))


def _leaf_only(record: Record) -> Record:
    return replace(record, actor_name=record.actor, why="", address="", payload=None)


def _cursor(session: WriteSession, name: str) -> AuditCursor:
    row = session.get(AuditCursor, name, with_for_update=True)
    if row is None:
        row = AuditCursor(name=name, next_seq=0, moved_at=clock.now())
        session.add(row)
        session.flush()
    return row


def _move(session: WriteSession, name: str, batch: Batch) -> None:
    row = _cursor(session, name)
    if row.next_seq == batch.first:  # else another sender, whose lease followed ours, has moved it
        row.next_seq, row.moved_at, row.problem, row.failing_since = batch.last + 1, clock.now(), "", None


def _note_failure(session: WriteSession, actor: Actor, name: str, problem: str) -> None:
    row = _cursor(session, name)
    row.problem, row.failing_since = problem[:1000], row.failing_since or clock.now()
    open_finding(
        session, actor, NOT_STREAMED, subject=name, title=f"entries do not reach {name.removeprefix('stream ')}: "
        f"{problem[:300]}", details={"next": row.next_seq},
    )  # fmt: skip
    log.warning("the audit log does not reach %s: %s", name, problem)
