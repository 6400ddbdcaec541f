"""Checking what is stored of anchors: that none is missing, that each belongs to a checkpoint, and that a witness's
line is its own, of the time that stands beside it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, select

from backend.audit.anchors import KINDS, anchors
from backend.audit.anchors.base import Head
from backend.audit.anchors.witness import cosigned_at
from backend.audit.entry_checks import Altered
from backend.audit.merkle import ProofInvalid
from backend.audit.notes import NoteMalformed, VerifierKey
from backend.audit.tables import AuditAnchor, AuditCheckpoint

_AT_ONCE = 1000
_COLUMNS = (
    AuditAnchor.id, AuditAnchor.kind, AuditAnchor.place, AuditAnchor.at, AuditAnchor.proof,
    AuditCheckpoint.size, AuditCheckpoint.root, AuditCheckpoint.note,
)  # fmt: skip


def check_anchors(connection: Connection) -> None:
    """Raise `Altered` for an anchor of a checkpoint that is not there, or a cosignature that does not fit it."""
    # Those that can be asked on this machine; others are asked when they get the next head.
    known = {anchor.place: anchor for anchor in anchors() if anchor.kind == "git"}
    newest: dict[
        str, tuple[int, Head, str]
    ] = {}  # a repository is asked for the last tag only: each costs processes
    after, count = -(1 << 62), 0
    query = (
        select(*_COLUMNS)
        .outerjoin(AuditCheckpoint, AuditCheckpoint.id == AuditAnchor.checkpoint_id)
        .order_by(AuditAnchor.id)
        .limit(_AT_ONCE)
    )
    while rows := connection.execute(query.where(AuditAnchor.id > after)).all():
        for number, kind, place, at, proof, size, root, note in rows:
            count += 1
            if number != count:
                raise Altered(f"anchor {count} is missing: anchor {number} comes next")
            if note is None:
                raise Altered(f"anchor {number} is of a checkpoint that does not exist")
            if kind not in KINDS:
                raise Altered(f"anchor {number} is of no kind that there is: {kind[:40]!r}")
            if kind == "witness":
                _check_cosignature(number, note, proof, place, at)
            elif place in known:
                newest[place] = number, Head(size, root, note), proof
        after = rows[-1].id
    for place, (number, head, proof) in newest.items():
        if not known[place].holds(head, proof):
            raise Altered(f"anchor {number} is not what {known[place].title} has")


def _check_cosignature(number: int, note: str, proof: str, place: str, at: datetime) -> None:
    """The place of a witness is its verifier key."""
    try:
        said = cosigned_at(note, proof, VerifierKey.parse(place))
    except (NoteMalformed, ProofInvalid) as error:
        raise Altered(f"anchor {number} is not what its witness signed: {error}") from error
    if said != at:
        raise Altered(f"the time of anchor {number} is not the one that its witness signed")
