"""Whether the keys of persons are as the log says: destroyed where an entry records the erasure, and nowhere else.

A key that was removed, replaced or brought back without an entry hides who acted, or shows who was erased. Each is
tried on the first and the last payload of what its person did, and of what is recorded of the person: who never acted
is named in the entry of their account at least.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, func, select

from backend import clock
from backend.audit.actions import Action
from backend.audit.entry_checks import Altered
from backend.audit.rows import parsed
from backend.audit.sealing import PersonKey, opens, sealed_for
from backend.audit.tables import AuditEntry, AuditPayload, SubjectKey

_ENDS: Final = (func.min, func.max)


def check_keys(connection: Connection) -> None:
    """Raise `Altered` with the first key that is not as the entries say. They were verified before."""
    erased = _erasures(connection)
    held = connection.execute(select(SubjectKey).order_by(SubjectKey.subject)).all()
    for row in held:
        _check_against_log(row, erased.pop(row.subject, None))
        if row.key is not None:
            _check_opens(connection, row.subject, row.key)
    for subject, (seq, _) in erased.items():
        raise Altered(
            f"entry {seq} erased {subject}, and the row that says that the key is gone is missing", seq
        )
    _check_none_missing(connection, {row.subject for row in held})


def _erasures(connection: Connection) -> dict[str, tuple[int, str]]:
    """Number and time of the first entry that records the erasure of each person."""
    found: dict[str, tuple[int, str]] = {}
    recorded = select(AuditEntry.seq, AuditEntry.object_id, AuditEntry.at).where(
        AuditEntry.action == Action.PERSON_ERASED.value, AuditEntry.object_kind == "person"
    )
    for row in connection.execute(recorded.order_by(AuditEntry.seq)):
        found.setdefault(row.object_id, (row.seq, row.at))
    return found


def _check_against_log(row: Any, said: tuple[int, str] | None) -> None:
    gone = row.key is None or row.destroyed_at is not None or row.destroyed_by is not None
    if said is None:
        if gone:
            raise Altered(f"the key of {row.subject} was removed, and no entry records an erasure")
        return
    seq, at = said
    if row.key is not None:
        raise Altered(f"entry {seq} erased {row.subject}, and the key is there again", seq)
    if row.destroyed_by != seq or row.destroyed_at is None or clock.to_iso(row.destroyed_at) != at:
        raise Altered(
            f"the key of {row.subject} is said to be destroyed at another time or by another entry than {seq}, which "
            "records it", seq,
        )  # fmt: skip


def _check_opens(connection: Connection, subject: str, key: str) -> None:
    for seq, payload in _ends_of(connection, subject):
        if subject in sealed_for(payload) and not opens(payload, subject, PersonKey(key)):
            raise Altered(
                f"the key of {subject} was replaced: it does not open what entry {seq} sealed under it", seq
            )


def _check_none_missing(connection: Connection, held: set[str]) -> None:
    actors = connection.scalars(select(AuditEntry.actor).distinct())
    named = connection.scalars(
        select(AuditEntry.object_id).where(AuditEntry.object_kind == "person").distinct()
    )
    for subject in sorted({*actors, *named} - held):
        for seq, payload in _ends_of(connection, subject):
            if subject in sealed_for(payload):
                raise Altered(
                    f"the key of {subject}, under which entry {seq} sealed who it is, is missing", seq
                )


def _ends_of(connection: Connection, subject: str) -> list[tuple[int, dict[str, Any]]]:
    """The first and the last payload that is stored of what this person did, and of what was recorded of them."""
    found = []
    about = AuditEntry.object_kind == "person", AuditEntry.object_id == subject
    for whose in ((AuditEntry.actor == subject,), about):
        for end in _ENDS:
            seq = (
                select(end(AuditEntry.seq))
                .join(AuditPayload, AuditPayload.seq == AuditEntry.seq)
                .where(*whose)
                .scalar_subquery()
            )
            row = connection.execute(
                select(AuditPayload.seq, AuditPayload.payload).where(AuditPayload.seq == seq)
            ).one_or_none()
            if row is not None:
                found.append((row.seq, parsed(row.payload.encode())))
    return found
