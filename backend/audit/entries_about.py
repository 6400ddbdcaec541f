"""What entries say of objects: asked by object, so that a row can be held against them where it is about to count."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Subquery, bindparam, select

from backend import clock
from backend.addresses import all_without_credentials
from backend.audit.actions import Action
from backend.audit.rows import parsed
from backend.audit.tables import AuditEntry, AuditErasure, AuditPayload
from backend.database.session import ReadSession

_QUERY: Final = (
    select(
        AuditEntry.seq, AuditEntry.object_id, AuditEntry.action, AuditEntry.actor, AuditEntry.at,
        AuditPayload.payload, AuditErasure.seq.label("erased"),
    )
    .outerjoin(AuditPayload, AuditPayload.seq == AuditEntry.seq)
    .outerjoin(AuditErasure, AuditErasure.seq == AuditEntry.seq)
)  # fmt: skip
# Made once: a statement that is made anew each time costs more here than the question does.
_ABOUT: Final = _QUERY.where(
    AuditEntry.object_kind == bindparam("kind"),
    AuditEntry.object_id.in_(bindparam("objects", expanding=True)),
    AuditEntry.action.in_(bindparam("actions", expanding=True)),
).order_by(AuditEntry.seq)


@dataclass(frozen=True)
class Said:
    """One entry about an object. payload: None where it was erased and an entry says so; empty where it is gone."""

    seq: int
    action: Action
    actor: str
    at: str
    payload: Mapping[str, Any] | None

    def says(self, **wanted: Any) -> bool:
        """Whether the entry has these words, each as it is named. An erased one says nothing."""
        return self.payload is not None and all(
            name in self.payload and self.payload[name] == all_without_credentials(value)
            for name, value in wanted.items()
        )


def entries_about(
    session: ReadSession, kind: str, objects: Collection[object], actions: Collection[Action]
) -> dict[str, list[Said]]:
    """Object id -> the entries about it with one of these actions, in their order; nothing of one without any."""
    found: dict[str, list[Said]] = defaultdict(list)
    for some in _portions(sorted({str(one) for one in objects})):
        rows = session.execute(
            _ABOUT, {"kind": kind, "objects": some, "actions": [one.value for one in actions]}
        )
        for row in rows:
            found[row.object_id].append(_said(row))
    return found


def entries_between(
    session: ReadSession, kind: str, actions: Collection[Action], start: datetime, end: datetime
) -> Iterator[tuple[str, Said]]:
    """Object id and entry of each with one of these actions from `start` until before `end`, in their order."""
    wanted = _QUERY.where(
        AuditEntry.object_kind == kind, AuditEntry.action.in_([one.value for one in actions]),
        AuditEntry.at >= clock.to_iso(start), AuditEntry.at < clock.to_iso(end),
    ).order_by(AuditEntry.seq)  # fmt: skip
    for row in session.execute(wanted):
        yield row.object_id, _said(row)


def newest_entry(action: Action) -> Subquery:
    """The last entry with this action, at most one row, to be joined to what is asked anyway; `said_by` reads it."""
    return _QUERY.where(AuditEntry.action == action.value).order_by(AuditEntry.seq.desc()).limit(1).subquery()


def said_by(row: Any) -> tuple[str, Said] | None:
    """The id of what the entry in this row is about, and what it says; None where the row holds no entry."""
    return None if row.seq is None else (row.object_id, _said(row))


def _said(row: Any) -> Said:
    erased = row.payload is None and row.erased is not None
    said = None if erased else parsed((row.payload or "").encode())
    return Said(row.seq, Action(row.action), row.actor, row.at, said)


def _portions(names: list[str]) -> Iterable[list[str]]:
    return (names[at : at + 500] for at in range(0, len(names), 500))
