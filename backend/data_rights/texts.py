"""Which texts of the log may be erased on request: those of entries whose words name somebody.

Who acted is sealed and goes with the person; what people wrote as a reason is not, and goes entry by entry. Some texts
stay: those that something open is compared with, and those without which nobody could tell an erasure from a theft.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import select

from backend.audit.staying import staying
from backend.audit.tables import AuditEntry, AuditPayload
from backend.database.session import ReadSession
from backend.errors import BadInput, Conflict
from backend.holds.payloads import hold_on_payloads
from backend.holds.service import refusal

MOST_ENTRIES: Final = 400


def checked_numbers(entries: Sequence[int]) -> list[int]:
    """The numbers, once each and in order. Raises `BadInput`."""
    numbers = sorted(set(entries))
    if not 1 <= len(numbers) <= MOST_ENTRIES or numbers[0] < 0 or numbers[-1] >= 2**63:
        raise BadInput(f"name 1 to {MOST_ENTRIES} entries of the log by their numbers", field="entries")
    return numbers


def require_removable(session: ReadSession, numbers: Sequence[int]) -> None:
    """Raises `BadInput` for an entry without a text, `Conflict` for one whose text stays, and `Held`."""
    there = set(session.scalars(select(AuditPayload.seq).where(AuditPayload.seq.in_(numbers))))
    lost = [one for one in numbers if one not in there]
    if lost:
        raise BadInput(
            f"entry {lost[0]} has no text: it is none of the log, or was erased already", field="entries"
        )
    mine = select(AuditEntry.seq).where(AuditEntry.seq.in_(numbers)).order_by(AuditEntry.seq).limit(1)
    for one in staying():
        kept = session.scalar(mine.where(one.entries)) if one.refusal else None
        if kept is not None:
            raise Conflict(f"entry {kept} {one.refusal}")
    hold = hold_on_payloads(session, numbers)
    if hold is not None:
        raise refusal(hold)
