"""How far the log is signed and kept elsewhere, as facts for pages, metrics and commands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final

from sqlalchemy import select

from backend import clock
from backend.audit.anchoring import newest_anchored
from backend.audit.anchors import anchors
from backend.audit.checkpoints import EVERY, newest_checkpoint
from backend.audit.findings import open_findings
from backend.audit.tables import AuditCheckpoint, AuditFinding, AuditHead, AuditVerification
from backend.database.session import ReadSession
from backend.errors import BadInput

LATE: Final = EVERY * 3  # a head that is not signed, or not kept elsewhere, for so long is late


@dataclass(frozen=True)
class Kept:
    """A place and the newest signed head that it has. `known`: the settings name it, so that it counts: anybody who
    writes to the database can invent a witness and sign as it."""

    kind: str
    place: str
    size: int
    signed_at: datetime  # when that head was signed
    at: datetime  # when the place took it
    known: bool = True


@dataclass(frozen=True)
class LogState:
    """`signed_*` is the newest signed head, `unsigned` and `unanchored` how many entries are behind the newest signed
    head and the newest one kept elsewhere. `checked` is the newest verification of the whole log."""

    size: int
    root: str
    signed_size: int | None
    signed_at: datetime | None
    unsigned: int
    kept: tuple[Kept, ...]
    unanchored: int
    checked: AuditVerification | None
    findings: tuple[AuditFinding, ...]

    @property
    def is_late(self) -> bool:
        """Whether no head was signed for so long that the signer must be away."""
        return self.signed_at is not None and clock.now() - self.signed_at > LATE

    @property
    def is_kept_late(self) -> bool:
        """Whether entries that no place of the settings holds yet have waited so long that its anchor must fail."""
        kept = self.newest_kept
        return kept is not None and self.unanchored > 0 and clock.now() - kept.signed_at > LATE

    @property
    def newest_kept(self) -> Kept | None:
        """The longest head that a place of the settings holds; a witness before a repository of our own."""
        known = [one for one in self.kept if one.known]
        return max(known, key=lambda one: (one.size, one.kind == "witness", one.signed_at), default=None)


def last_verification(session: ReadSession) -> dict[str, Any]:
    """The newest verification of the whole log as it was stored, and how many entries came since."""
    row = session.scalars(select(AuditVerification).order_by(AuditVerification.id.desc()).limit(1)).first()
    head = session.get(AuditHead, 1)
    size = head.size if head else 0
    if row is None:
        return {"at": None, "ok": None, "size": 0, "root": None, "problem": None, "since": size}
    return {
        "at": row.at, "ok": row.ok, "size": row.size, "root": row.root, "problem": row.problem or None,
        "since": max(0, size - row.size),
    }  # fmt: skip


def log_state(session: ReadSession) -> LogState:
    head = session.get(AuditHead, 1)
    size = head.size if head else 0
    signed = newest_checkpoint(session)
    known = known_places()
    kept = tuple(
        Kept(
            anchor.kind,
            anchor.place,
            checkpoint.size,
            checkpoint.at,
            anchor.at,
            known=(anchor.kind, anchor.place) in known,
        )
        for anchor, checkpoint in newest_anchored(session)
    )
    return LogState(
        size=size,
        root=head.root if head else "",
        signed_size=signed.size if signed else None,
        signed_at=signed.at if signed else None,
        unsigned=size - (signed.size if signed else 0),
        kept=kept,
        unanchored=size - max((one.size for one in kept if one.known), default=0),
        checked=session.scalars(
            select(AuditVerification).order_by(AuditVerification.id.desc()).limit(1)
        ).first(),
        findings=tuple(open_findings(session)),
    )


def known_places() -> set[tuple[str, str]]:
    """Kind and place of every anchor that the settings name; none where they cannot be read."""
    try:
        return {(one.kind, one.place) for one in anchors()}
    except BadInput:
        return set()


def pauses(
    session: ReadSession, since: datetime, *, longer_than: timedelta = LATE
) -> list[tuple[datetime, datetime]]:
    """Times in which no head was signed for longer than that: when the last one was, and when the next."""
    moments = session.scalars(
        select(AuditCheckpoint.at).where(AuditCheckpoint.at >= since).order_by(AuditCheckpoint.id)
    ).all()
    return [(before, after) for before, after in pairwise(moments) if after - before > longer_than]
