"""Judgements as the log has them. A row that no entry records, or that is not what its entry says, was written by
somebody else than Warrant; an entry whose row is gone is a judgement that was taken away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from backend import clock
from backend.audit.actions import Action
from backend.audit.rows import parsed
from backend.audit.tables import AuditEntry, AuditPayload
from backend.controls.tables import ControlJudgement
from backend.database.session import ReadSession


@dataclass(frozen=True)
class Entered:
    """A judgement as its entry has it. said: its payload, empty where that was erased."""

    seq: int
    at: datetime
    actor: str
    judgement: str
    said: dict[str, Any]

    def is_about(self, catalogue: str, control: str, model: str | None) -> bool:
        said = self.said
        return bool(said) and (said.get("catalogue"), said.get("control"), said.get("model")) == (
            catalogue, control, model
        )  # fmt: skip

    def is_of(self, row: ControlJudgement) -> bool:
        """Whether this entry recorded that row, whatever is stored of it now."""
        return (self.seq, self.judgement, self.actor) == (row.entry, str(row.id), row.signed_by)

    def bears_out(self, row: ControlJudgement) -> bool:
        """Whether the row is, to the byte of what was signed, what this entry recorded."""
        return self.is_of(row) and not row.is_altered and self.said.get("digest") == row.digest


def entered_judgements(session: ReadSession) -> list[Entered]:
    """Every signing that the log records, in its order."""
    rows = session.execute(
        select(AuditEntry.seq, AuditEntry.at, AuditEntry.actor, AuditEntry.object_id, AuditPayload.payload)
        .outerjoin(AuditPayload, AuditPayload.seq == AuditEntry.seq)
        .where(AuditEntry.action == Action.CONTROL_JUDGED.value, AuditEntry.object_kind == "judgement")
        .order_by(AuditEntry.seq)
    )
    return [
        Entered(
            row.seq, clock.from_iso(row.at), row.actor, row.object_id, parsed((row.payload or "").encode())
        )
        for row in rows
    ]


@dataclass(frozen=True)
class Unrecorded:
    """`subject` tells it from others for ever."""

    subject: str
    title: str
    model: str | None


def unrecorded_judgements(session: ReadSession) -> Iterator[Unrecorded]:
    """Rows that no entry bears out, and entries whose row is gone. For who sees the whole house."""
    entered = {one.seq: one for one in entered_judgements(session)}
    for row in session.scalars(select(ControlJudgement).order_by(ControlJudgement.id)):
        entry = entered.pop(row.entry, None) if row.entry is not None else None
        name = f"judgement {row.id} on {row.control} ({row.model or 'the house'})"
        if entry is None or not entry.is_of(row):
            yield Unrecorded(f"judgement {row.id}", f"{name} is stored, and no entry records it", row.model)
        elif row.is_altered or (entry.said and not entry.bears_out(row)):
            yield Unrecorded(
                f"judgement {row.id} altered", f"{name} is not what entry {entry.seq} recorded", row.model
            )
    for seq, entry in entered.items():
        about = entry.said.get("control", "a control")
        yield Unrecorded(
            f"judgement of entry {seq}", f"the judgement on {about} that entry {seq} records is not stored any more",
            entry.said.get("model"),
        )  # fmt: skip
