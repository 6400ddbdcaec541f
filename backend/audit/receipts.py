"""Receipts: one entry with the proof that it is in the signed log, in a file that verifies without Warrant.

`tools/verify_receipt.py` verifies one with the log's verifier key, which its holder must have from elsewhere than
from the file. A receipt names the first signed head that holds the entry, so it is the same whenever it is asked for,
but for the signatures of witnesses, which may come later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import select

from backend.audit.actions import Action
from backend.audit.anchoring import cosignatures
from backend.audit.checkpoints import checkpoint_covering, newest_checkpoint
from backend.audit.proof_files import TlogProof
from backend.audit.proofs import prove_inclusion
from backend.audit.tables import AuditEntry, AuditHead
from backend.database.session import ReadSession
from backend.errors import Conflict, NotFound
from backend.identity.actor import Actor
from backend.identity.reach import entries_in_reach, see
from backend.identity.roles import Permission

DECIDED: Final = (
    Action.CHANGE_APPROVED, Action.APPROVAL_RETRACTED, Action.CHANGE_REJECTED, Action.CHANGES_ASKED_FOR,
    Action.GLASS_BROKEN,
    Action.CHANGE_REVIEWED,
    Action.EXECUTION_STARTED, Action.EXECUTION_FINISHED, Action.EXECUTION_FAILED, Action.EXECUTION_OVERTAKEN,
)  # fmt: skip


class NotSignedYet(Conflict):
    """The entry is recorded and no signed head holds it yet."""

    title = "Not signed yet"


@dataclass(frozen=True)
class ReceiptLine:
    """A decision or execution that a receipt can be had of."""

    seq: int
    at: str
    actor: str
    action: str
    signed: bool


def receipt(session: ReadSession, viewer: Actor, seq: int, *, newest: bool = False) -> str:
    """The receipt of entry `seq`, as the text of a `.tlog-proof`. newest: in the newest head instead of the first that
    holds it, which the present key signed.

    Raises `NotFound`, `NotSignedYet`, or `backend.audit.proofs.LogDamaged` when the stored log proves nothing.
    """
    see(session, viewer, Permission.READ_AUDIT)
    reach = entries_in_reach(session)
    if reach and session.scalar(select(AuditEntry.seq).where(AuditEntry.seq == seq, *reach)) is None:
        raise NotFound(f"there is no audit entry {seq}")
    checkpoint = checkpoint_covering(session, seq) if seq >= 0 else None
    if newest and checkpoint is not None:
        checkpoint = newest_checkpoint(session)
    if checkpoint is None:
        head = session.get(AuditHead, 1)
        if not 0 <= seq < (head.size if head else 0):
            raise NotFound(f"there is no audit entry {seq}")
        raise NotSignedYet(
            f"entry {seq} is recorded, and no signed head holds it yet; heads are signed every five minutes while a "
            "worker runs"
        )
    proof = prove_inclusion(session, seq, size=checkpoint.size, root=checkpoint.root)
    return str(
        TlogProof(
            extra=proof.leaf.encode(),
            index=seq,
            hashes=tuple(bytes.fromhex(one) for one in proof.hashes),
            note=checkpoint.note + cosignatures(session, checkpoint.id),
        )
    )


def receipts_of_change(session: ReadSession, viewer: Actor, change_id: int) -> list[ReceiptLine]:
    """The decisions on a change and its execution, in their order."""
    see(session, viewer, Permission.READ_AUDIT)
    rows = session.execute(
        select(AuditEntry.seq, AuditEntry.at, AuditEntry.actor, AuditEntry.action)
        .where(
            AuditEntry.object_kind == "change",
            AuditEntry.object_id == str(change_id),
            AuditEntry.action.in_([one.value for one in DECIDED]),
            *entries_in_reach(session),
        )
        .order_by(AuditEntry.seq)
    ).all()
    signed = checkpoint_covering(session, rows[-1].seq) is not None if rows else False
    return [
        ReceiptLine(
            row.seq,
            row.at,
            row.actor,
            row.action,
            signed or checkpoint_covering(session, row.seq) is not None,
        )
        for row in rows
    ]
