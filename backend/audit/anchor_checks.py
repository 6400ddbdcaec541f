"""Checking what is stored of anchors: that each belongs to a checkpoint, and that a witness's line is its own."""

from __future__ import annotations

from sqlalchemy import Connection, select

from backend.audit.anchors import KINDS, anchors
from backend.audit.anchors.base import Head
from backend.audit.entry_checks import Altered
from backend.audit.merkle import ProofInvalid
from backend.audit.notes import NoteMalformed, VerifierKey, parse_note, parse_signatures, verify_signatures
from backend.audit.tables import AuditAnchor, AuditCheckpoint

_AT_ONCE = 1000
_COLUMNS = (
    AuditAnchor.id, AuditAnchor.kind, AuditAnchor.place, AuditAnchor.proof,
    AuditCheckpoint.size, AuditCheckpoint.root, AuditCheckpoint.note,
)  # fmt: skip


def check_anchors(connection: Connection) -> None:
    """Raise `Altered` for an anchor of a checkpoint that is not there, or a cosignature that does not fit it."""
    # Those that can be asked on this machine; others are asked when they get the next head.
    known = {anchor.place: anchor for anchor in anchors() if anchor.kind == "git"}
    newest: dict[
        str, tuple[int, Head, str]
    ] = {}  # a repository is asked for the last tag only: each costs processes
    after = -(1 << 62)
    query = (
        select(*_COLUMNS)
        .outerjoin(AuditCheckpoint, AuditCheckpoint.id == AuditAnchor.checkpoint_id)
        .order_by(AuditAnchor.id)
        .limit(_AT_ONCE)
    )
    while rows := connection.execute(query.where(AuditAnchor.id > after)).all():
        for number, kind, place, proof, size, root, note in rows:
            if note is None:
                raise Altered(f"anchor {number} is of a checkpoint that does not exist")
            if kind not in KINDS:
                raise Altered(f"anchor {number} is of no kind that there is: {kind[:40]!r}")
            if kind == "witness":
                _check_cosignature(number, note, proof, place)
            elif place in known:
                newest[place] = number, Head(size, root, note), proof
        after = rows[-1].id
    for place, (number, head, proof) in newest.items():
        if not known[place].holds(head, proof):
            raise Altered(f"anchor {number} is not what {known[place].title} has")


def _check_cosignature(number: int, note: str, proof: str, place: str) -> None:
    """The place of a witness is its verifier key."""
    try:
        verify_signatures(parse_note(note)[0], parse_signatures(proof), [VerifierKey.parse(place)])
    except (NoteMalformed, ProofInvalid) as error:
        raise Altered(f"anchor {number} is not what its witness signed: {error}") from error
