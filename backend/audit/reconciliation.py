"""Comparing the log with what happened: what does not fit becomes a finding, once.

Entries are looked at as they come (a cursor, as those who follow the log have). A finding that was closed stays closed:
what it is about happened, and somebody has said why. It counts where the log opened and closed it, and not otherwise.

gaps        numbers below the log's size that no entry has
no change   a deployment whose change is missing, was never executed or is about something else, or that differs from
            the entry of its beginning (`deployment_checks`)
recorded    a change or a decision on which tables and entries disagree, whichever of them lacks or alters it
            (`change_checks`); an account that no entry made, roles and tiers that none set (`standing_checks`); what
            is lent, excepted, reviewed, opened or excluded otherwise (`rights_checks`); a signed judgement that no
            entry bears out, or that is gone (`backend.controls.recorded`)
moved       an alias that was moved outside (each move; what was done about it is on the Registry page)
clocks      an entry dated before the one it follows, or after now; long pauses between signed heads, which a clock that
            was set forward leaves as well
exports     each export of the log
restored    each restore from a backup: entries were lost by it, and others have their numbers
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain, islice, pairwise
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.orm import aliased

from backend import clock
from backend.audit.actions import Action
from backend.audit.change_checks import unrecorded_changes
from backend.audit.deployment_checks import unexplained_deployments
from backend.audit.findings import (
    CLOCK_JUMPED,
    EXPORTED,
    GAP,
    MOVED_OUTSIDE,
    NO_CHANGE,
    NOT_RECORDED,
    RESTORED,
    open_finding,
    told_subjects,
)
from backend.audit.rights_checks import rights_otherwise
from backend.audit.standing_checks import unset_standing
from backend.audit.state import pauses
from backend.audit.tables import AuditCursor, AuditEntry, AuditHead
from backend.controls.recorded import unrecorded_judgements
from backend.database.session import ReadSession, WriteSession
from backend.identity.actor import Actor

CURSOR: Final = "reconciliation"
AT_ONCE: Final = 5_000
BACKWARD: Final = timedelta(seconds=5)  # clocks of two hosts differ by so much
AHEAD: Final = timedelta(minutes=1)
MOST_GAPS: Final = 20
_TAKEN: Final = {
    Action.AUDIT_EXPORTED.value: "the log was exported",
    Action.PACK_TAKEN.value: "an evidence pack with entries of the log was taken away",
}
MOST_ROWS: Final = 100
_BY_ENTRY: Final = (*_TAKEN, Action.BACKUP_RESTORED.value, Action.ALIAS_MOVED_ELSEWHERE.value)


@dataclass(frozen=True)
class Oddity:
    """Something that does not fit. `subject` tells it from others of its kind, for ever."""

    kind: str
    subject: str
    title: str
    level: str = "ticket"
    details: dict[str, Any] = field(default_factory=dict)


def disagreements(session: ReadSession) -> list[Oddity]:
    """What log and tables disagree on and no finding names yet. From a reading session: it goes through every change
    and deployment, and needs them beside their entries in one snapshot."""
    return [*_without_change(session), *_unrecorded(session)]


def reconcile(session: WriteSession, actor: Actor, found: Sequence[Oddity] | None = None) -> tuple[int, bool]:
    """Look at the entries since the last time, at most some thousand, and at the state. Returns how many findings were
    opened, and whether entries are left to look at.

    found   `disagreements`, where they were looked for before, so that nobody waits for it
    """
    head = session.get(AuditHead, 1)
    size = head.size if head else 0
    cursor = session.get(AuditCursor, CURSOR, with_for_update=True)
    if cursor is None:
        cursor = AuditCursor(name=CURSOR, next_seq=0, moved_at=clock.now())
        session.add(cursor)
    until = min(size, cursor.next_seq + AT_ONCE)
    odd = list(_in_entries(session, cursor.next_seq, until))
    if until == size:
        found = disagreements(session) if found is None else found
        odd += [*_gaps(session, size), *found, *_pauses(session)]
    opened = sum(_open_once(session, actor, one) for one in odd)
    cursor.next_seq, cursor.moved_at = until, clock.now()
    session.flush()
    return opened, until < size


def last_compared(session: ReadSession) -> datetime | None:
    """When the log was last compared with what happened; None where it never was."""
    cursor = session.get(AuditCursor, CURSOR)
    return cursor.moved_at if cursor is not None else None


def _open_once(session: WriteSession, actor: Actor, odd: Oddity) -> bool:
    if odd.subject in told_subjects(session, odd.kind, odd.subject):
        return False
    open_finding(
        session, actor, odd.kind, subject=odd.subject, title=odd.title, level=odd.level, details=odd.details
    )
    return True


def _in_entries(session: ReadSession, first: int, until: int) -> Iterator[Oddity]:
    rows = session.execute(
        select(AuditEntry.seq, AuditEntry.at, AuditEntry.action, AuditEntry.actor, AuditEntry.object_id)
        .where(AuditEntry.seq >= max(0, first - 1), AuditEntry.seq < until)
        .order_by(AuditEntry.seq)
    ).all()
    yield from _clocks(((row.seq, row.at) for row in rows), clock.now())
    for row in rows:
        if row.seq < first or row.action not in _BY_ENTRY:
            continue
        details = {"entry": row.seq, "actor": row.actor}
        if row.action in _TAKEN:
            title = f"{_TAKEN[row.action]} (entry {row.seq})"
            yield Oddity(EXPORTED, f"entry {row.seq}", title, "info", details)
        elif row.action == Action.BACKUP_RESTORED.value:
            title = f"the log was restored from a backup: what it had from entry {row.seq} on is lost"
            yield Oddity(RESTORED, f"entry {row.seq}", title, "ticket", details | {"backup": row.object_id})
        else:
            title = f"an alias of {row.object_id} was moved outside (entry {row.seq})"
            yield Oddity(
                MOVED_OUTSIDE, f"entry {row.seq}", title, "ticket", details | {"model": row.object_id}
            )


def _clocks(rows: Iterable[tuple[int, str]], now: datetime) -> Iterator[Oddity]:
    times = [(seq, at) for seq, text in rows if (at := _time(text)) is not None]
    for (before, was), (seq, at) in pairwise(times):
        if was - at > BACKWARD:
            by = int((was - at).total_seconds())
            yield Oddity(
                CLOCK_JUMPED, f"entry {seq}", f"entry {seq} is dated {by:,} seconds before entry {before}",
                details={"entry": seq, "seconds": by},
            )  # fmt: skip
    for seq, at in times:
        if at - now > AHEAD:
            title = f"entry {seq} is dated {at:%Y-%m-%d %H:%M:%S} UTC, which has not come yet"
            yield Oddity(CLOCK_JUMPED, f"entry {seq} ahead", title, details={"entry": seq})


def _gaps(session: ReadSession, size: int) -> Iterator[Oddity]:
    if session.scalar(select(func.count()).select_from(AuditEntry)) == size:
        return
    after = aliased(AuditEntry)
    ends = session.scalars(
        select(AuditEntry.seq)
        .where(AuditEntry.seq < size - 1, ~select(after.seq).where(after.seq == AuditEntry.seq + 1).exists())
        .order_by(AuditEntry.seq)
        .limit(MOST_GAPS)
    ).all()
    starts = [] if session.get(AuditEntry, 0) is not None else [-1]
    for end in [*starts, *ends]:
        follower = session.scalar(select(func.min(AuditEntry.seq)).where(AuditEntry.seq > end))
        last = (size if follower is None else follower) - 1
        name = f"{end + 1}" if last == end + 1 else f"{end + 1} to {last}"
        yield Oddity(GAP, name, f"no entry has the number {name}", "page", {"first": end + 1, "last": last})


def _without_change(session: ReadSession) -> Iterator[Oddity]:
    seen = told_subjects(session, NO_CHANGE)
    found = (one for one in unexplained_deployments(session) if one.subject not in seen)
    for one in islice(found, MOST_ROWS):
        row = one.deployment
        yield Oddity(
            NO_CHANGE, one.subject,
            f"version {row.version} of {row.model} served in {row.environment} from "
            f"{row.started_at:%Y-%m-%d %H:%M:%S} UTC {one.why}",
            details={"deployment": row.id, "model": row.model, "version": row.version, "reason": row.reason},
        )  # fmt: skip


def _unrecorded(session: ReadSession) -> Iterator[Oddity]:
    seen = told_subjects(session, NOT_RECORDED)
    changes = (one for one in unrecorded_changes(session) if one.subject not in seen)
    for one in islice(changes, MOST_ROWS):
        yield Oddity(NOT_RECORDED, one.subject, one.title, "page", {"change": one.change})
    rights = chain(unset_standing(session), rights_otherwise(session))
    standing = (one for one in rights if one.subject not in seen)
    for each in islice(standing, MOST_ROWS):
        details = {"model": each.model} if each.model else {}
        yield Oddity(NOT_RECORDED, each.subject, each.title, "page", details)
    judged = (one for one in unrecorded_judgements(session) if one.subject not in seen)
    for judgement in islice(judged, MOST_ROWS):
        details = {"model": judgement.model} if judgement.model else {}
        yield Oddity(NOT_RECORDED, judgement.subject, judgement.title, "page", details)


def _pauses(session: ReadSession) -> Iterator[Oddity]:
    for before, after in pauses(session, clock.now() - timedelta(days=2)):
        said = f"{before:%Y-%m-%d %H:%M:%S} to {after:%Y-%m-%d %H:%M:%S} UTC"
        yield Oddity(
            CLOCK_JUMPED, f"pause {clock.to_iso(before)}",
            f"no head was signed from {said}: no worker ran, or a clock was set forward", "info",
        )  # fmt: skip


def _time(text: Any) -> datetime | None:
    try:
        return clock.from_iso(text)
    except (ValueError, TypeError):
        return None
