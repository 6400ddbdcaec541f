"""Removing the clear text of entries, as retention and erasure do. The leaf stays, and so does every proof.

`destroy_key` makes what identifies one person unreadable, everywhere; `erase_payloads` removes whole payloads.

Nothing of it stays in the search either. The removal is an entry itself: its payload names the entries whose clear
text is gone and says why, and a row of `audit_erasures` for each points at it. The database refuses to remove a payload
without such a row, and verification refuses a row that its entry does not name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlalchemy import delete, insert, select, text

from backend.audit.actions import Action
from backend.audit.log import entered_at, record
from backend.audit.search_index import forget
from backend.audit.tables import AuditEntry, AuditErasure, AuditPayload, SubjectKey
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput
from backend.holds.payloads import hold_on_entries_of, hold_on_payloads
from backend.holds.service import held, refusal
from backend.identity.actor import Actor
from backend.identity.roles import Permission

CHUNK = 500
RETENTION = "retention"  # what it is done for where time alone was the reason; of one model: retention-MODEL


def erase_payloads(
    session: WriteSession, actor: Actor, seqs: Iterable[int], *, why: str, subject: str = "log"
) -> list[int]:
    """Remove the payloads of these entries, in this transaction. Returns those that were still there, in order.

    `subject` is an opaque id of what it is done for (a request, a rule), never a name. The entry that records an
    erasure keeps its own payload: without it nobody could tell an erased payload from a stolen one. Raises
    `BadInput` when asked to erase that, and `Held` for what a hold keeps.
    """
    actor.require(Permission.ERASE_PAYLOADS)
    wanted = sorted(set(seqs))
    present: list[int] = []
    for some in _chunks(wanted):
        present += session.scalars(select(AuditPayload.seq).where(AuditPayload.seq.in_(some)))
        kept = session.scalars(
            select(AuditEntry.seq).where(
                AuditEntry.seq.in_(some), AuditEntry.action == Action.PAYLOADS_ERASED.value
            )
        ).all()
        if kept:
            raise BadInput(f"entry {kept[0]} records an erasure; its own text has to stay")
        hold = hold_on_payloads(session, some)
        if hold is not None:
            raise refusal(hold)
    if not present:
        return []
    present.sort()
    recorded = record(
        session, actor, Action.PAYLOADS_ERASED, object_kind="payloads", object_id=subject, why=why,
        payload={"entries": [list(run) for run in _runs(present)]},
    )  # fmt: skip
    _overwrite(session)
    for some in _chunks(present):
        session.execute(insert(AuditErasure), [{"seq": seq, "recorded_by": recorded} for seq in some])
        session.execute(delete(AuditPayload).where(AuditPayload.seq.in_(some)))
        forget(session.connection(), some)
    return present


def destroy_key(session: WriteSession, actor: Actor, subject: str, *, why: str, request: str) -> SubjectKey:
    """Make every sealed value of one person unreadable, for ever; what is recorded of them later is not stored.

    `subject` is the opaque id, `request` what it is done for. Doing it again changes nothing. Raises `Held` where a
    hold is on the person, or on a log that says something of them.
    """
    actor.require(Permission.ERASE_PAYLOADS)
    hold = held(session, "person", subject) or hold_on_entries_of(session, subject)
    if hold is not None:
        raise refusal(hold)
    _overwrite(session)
    row = session.get(SubjectKey, subject, with_for_update=True)
    if row is not None and row.destroyed_at is not None:
        return row
    # The entry first: the database destroys no key that no entry speaks of, and verification compares the two.
    recorded = record(
        session, actor, Action.PERSON_ERASED, object_kind="person", object_id=subject, why=why,
        payload={"request": request},
    )  # fmt: skip
    at = entered_at(session, recorded)
    if row is None:
        row = session.get(SubjectKey, subject)
    if row is None:
        row = SubjectKey(subject=subject, created_at=at)
        session.add(row)
    row.key, row.destroyed_at, row.destroyed_by = None, at, recorded
    session.flush()
    return row


def erased_on_request(session: ReadSession, *, since: int) -> set[int]:
    """Entries whose payload was erased by an entry numbered `since` or later, for a request and not for their age."""
    return set(
        session.scalars(
            select(AuditErasure.seq)
            .join(AuditEntry, AuditEntry.seq == AuditErasure.recorded_by)
            .where(
                AuditErasure.recorded_by >= since, AuditEntry.object_id != RETENTION,
                ~AuditEntry.object_id.startswith(f"{RETENTION}-", autoescape=True),
            )
        )
    )  # fmt: skip


def erased_by(session: ReadSession, seq: int) -> int | None:
    """The entry that records the erasure of this entry's payload, or None."""
    return session.scalar(select(AuditErasure.recorded_by).where(AuditErasure.seq == seq))


def _overwrite(session: WriteSession) -> None:
    """On SQLite what is removed from here on would else stay readable in free pages of the file."""
    if session.get_bind().dialect.name == "sqlite":
        session.execute(text("PRAGMA secure_delete = ON"))


def _chunks(values: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(values), CHUNK):
        yield values[start : start + CHUNK]


def _runs(values: list[int]) -> Iterator[tuple[int, int]]:
    """First and last of each run of consecutive numbers."""
    start = previous = values[0]
    for value in values[1:]:
        if value != previous + 1:
            yield start, previous
            start = value
        previous = value
    yield start, previous
