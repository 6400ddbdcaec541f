"""Handing the newest signed head to every anchor, and knowing how far back the newest one kept elsewhere lies."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select

from backend import clock
from backend.audit.anchors import anchors
from backend.audit.anchors.base import Anchor, AnchorAway, AnchorRefused, Head, Prove
from backend.audit.checkpoints import newest_checkpoint
from backend.audit.findings import NOT_ANCHORED, close_finding, open_finding
from backend.audit.proofs import LogDamaged, prove_consistency, root_at
from backend.audit.tables import AuditAnchor, AuditCheckpoint
from backend.database.session import ReadSession, reading, writing
from backend.identity.actor import Actor


def anchor_newest(actor: Actor, places: Sequence[Anchor] | None = None) -> list[str]:
    """Give every anchor the newest head. Returns the places that have it.

    One that does not answer opens a ticket, and one that contradicts us a page; neither holds up the others, and the
    finding is closed when the place has taken a head again.
    """
    with reading() as session:
        checkpoint = newest_checkpoint(session)
    if checkpoint is None:
        return []
    kept = []
    head = Head(checkpoint.size, checkpoint.root, checkpoint.note)
    for anchor in anchors() if places is None else places:
        try:
            proof = anchor.keep(head, _prover(checkpoint))
        except (AnchorAway, AnchorRefused, LogDamaged) as error:
            with writing() as session:
                open_finding(
                    session, actor, NOT_ANCHORED, subject=anchor.place, title=error.message,
                    level="ticket" if isinstance(error, AnchorAway) else "page",
                    details={"checkpoint": checkpoint.id, "size": checkpoint.size},
                )  # fmt: skip
            continue
        with writing() as session:
            session.add(
                AuditAnchor(
                    id=(session.scalar(select(func.max(AuditAnchor.id))) or 0) + 1,
                    checkpoint_id=checkpoint.id,
                    kind=anchor.kind,
                    place=anchor.place,
                    at=anchor.taken_at(head, proof) or clock.now(),
                    proof=proof,
                )
            )
            close_finding(session, actor, NOT_ANCHORED, subject=anchor.place, why="it has taken a head again")
        kept.append(anchor.place)
    return kept


def _prover(checkpoint: AuditCheckpoint) -> Prove:
    def prove(old_size: int) -> list[bytes]:
        with reading() as session:
            old_root = root_at(session, old_size) if old_size else ""
            return prove_consistency(session, old_size, old_root, checkpoint.size, checkpoint.root)

    return prove


def newest_anchored(session: ReadSession) -> list[tuple[AuditAnchor, AuditCheckpoint]]:
    """For each place that ever took a head, the newest one it has."""
    newest = select(func.max(AuditAnchor.id)).group_by(AuditAnchor.kind, AuditAnchor.place)
    rows = session.execute(
        select(AuditAnchor, AuditCheckpoint)
        .join(AuditCheckpoint, AuditCheckpoint.id == AuditAnchor.checkpoint_id)
        .where(AuditAnchor.id.in_(newest))
        .order_by(AuditAnchor.id.desc())
    )
    return [(anchor, checkpoint) for anchor, checkpoint in rows]


def cosignatures(session: ReadSession, checkpoint_id: int) -> str:
    """The signature lines that witnesses added to a checkpoint, to be appended to its note."""
    proofs = session.scalars(
        select(AuditAnchor.proof)
        .where(AuditAnchor.checkpoint_id == checkpoint_id, AuditAnchor.kind == "witness")
        .order_by(AuditAnchor.id)
    )
    return "".join(dict.fromkeys(proofs))
