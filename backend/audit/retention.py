"""Erasing payloads older than this house keeps them (`WARRANT_AUDIT_KEEP_PAYLOADS_DAYS`), but for what stays
(`backend.audit.staying`). A finding says so all the time that some wait for a system that follows the log."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import func, select

from backend import clock
from backend.audit.erasure import RETENTION, erase_payloads
from backend.audit.findings import NOT_STREAMED_IN_TIME, close_finding, open_finding
from backend.audit.search_index import purge
from backend.audit.staying import WAITS, not_taken, old_texts, too_old
from backend.audit.streams import streams
from backend.audit.tables import AuditCursor, AuditEntry, AuditErasure
from backend.database.session import WriteSession
from backend.identity.actor import Actor

AT_ONCE: Final = 2_000
PURGED: Final = "search purged"


def erase_old_payloads(session: WriteSession, actor: Actor, *, before: datetime, limit: int = AT_ONCE) -> int:
    """Erase the payloads of entries dated before that moment, oldest first, `limit` at most. Returns how many."""
    _say_what_waits(session, actor, before)
    seqs = session.scalars(too_old(session, before).limit(limit)).all()
    if not seqs:
        return 0
    why = f"payloads are kept until they are older than {clock.to_words(before)}"
    return len(erase_payloads(session, actor, seqs, why=why, subject=RETENTION))


def purge_words(session: WriteSession) -> bool:
    """Take words of erased payloads out of the index of the search, whoever erased them: a request, a model's rule or
    this house's. Gives whether there were any since it was done last."""
    newest = session.scalar(select(func.max(AuditErasure.recorded_by)))
    row = session.get(AuditCursor, PURGED)
    if newest is None or (row is not None and row.next_seq > newest):
        return False
    if row is None:
        row = AuditCursor(name=PURGED, next_seq=0, moved_at=clock.now())
        session.add(row)
    row.next_seq, row.moved_at = newest + 1, clock.now()
    session.flush()
    purge(session.connection())
    return True


def _say_what_waits(session: WriteSession, actor: Actor, before: datetime) -> None:
    """Keep a finding for each system that has not taken what is to go."""
    for stream in streams():
        if not stream.with_payload:
            continue
        due = (
            old_texts(before)
            .where(not_taken(session, stream.name))
            .with_only_columns(func.min(AuditEntry.at))
        )
        oldest = session.scalar(due)
        if oldest is None:
            close_finding(
                session, actor, NOT_STREAMED_IN_TIME, subject=stream.name, why="it took what was to go"
            )
            continue
        until = clock.from_iso(oldest) + (clock.now() - before) + WAITS
        open_finding(
            session, actor, NOT_STREAMED_IN_TIME, subject=stream.name, level="page",
            title=f"payloads are to be erased that {stream.kind} {stream.address} has not taken: they wait until "
            f"{clock.to_words(until)} and go then",
            details={"next": session.scalar(select(AuditCursor.next_seq).where(AuditCursor.name == stream.name)) or 0},
        )  # fmt: skip
