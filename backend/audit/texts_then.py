"""Titles and summaries as they were on a day: as the last entry before it says. A row has only today's."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import select

from backend import clock
from backend.audit.actions import Action
from backend.audit.rows import parsed
from backend.audit.tables import AuditEntry, AuditPayload
from backend.database.session import ReadSession

# What each kind of object is called: the member of payloads, and the entries that say it.
_NAMED: Final[dict[str, tuple[str, tuple[Action, ...]]]] = {
    "change": ("summary", (Action.CHANGE_REQUESTED, Action.CHANGE_RESUBMITTED)),
    "incident": ("title", (Action.INCIDENT_OPENED, Action.INCIDENT_RENAMED)),
    "finding": ("title", (Action.FINDING_OPENED,)),
    "model": ("title", (Action.MODEL_REGISTERED, Action.VENDOR_MODEL_REGISTERED)),
}
_AT_ONCE: Final = 500


@dataclass(frozen=True)
class TextThen:
    """`why_not`: why it is today's text, where the log does not have that of the day; empty: it has."""

    text: str
    why_not: str = ""


def texts_then(
    session: ReadSession, kind: str, today: dict[Any, str], as_of: datetime
) -> dict[Any, TextThen]:
    """What each of these objects was called just before that moment. `today`: what it is called now, by its id."""
    name, actions = _NAMED[kind]
    found = {one: TextThen(text, "no entry says what it was") for one, text in today.items()}
    if kind == "model":  # one that was imported is called by its name until it is registered
        found = {one: TextThen(str(one)) for one in today}
    by_name = {str(one): one for one in today}
    for seq, object_id, payload in _entries(session, kind, actions, by_name.keys(), as_of):
        one = by_name[object_id]
        if payload is None:
            found[one] = TextThen(today[one], f"entry {seq} would say what it was, and its text was erased")
        elif isinstance(said := parsed(payload.encode()).get(name), str):
            found[one] = TextThen(said)
    return found


def _entries(
    session: ReadSession, kind: str, actions: tuple[Action, ...], ids: Collection[str], as_of: datetime
) -> Iterable[tuple[int, str, str | None]]:
    """The entries before the moment, in their order."""
    named = sorted(ids)
    for start in range(0, len(named), _AT_ONCE):
        rows = session.execute(
            select(AuditEntry.seq, AuditEntry.object_id, AuditPayload.payload)
            .outerjoin(AuditPayload, AuditPayload.seq == AuditEntry.seq)
            .where(
                AuditEntry.object_kind == kind, AuditEntry.object_id.in_(named[start : start + _AT_ONCE]),
                AuditEntry.action.in_([one.value for one in actions]), AuditEntry.at < clock.to_iso(as_of),
            )
            .order_by(AuditEntry.seq)
        )  # fmt: skip
        yield from ((row.seq, row.object_id, row.payload) for row in rows)
