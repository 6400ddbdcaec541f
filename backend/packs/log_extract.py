"""The part of the audit log that a pack is about, each entry proved in one signed head.

`audit/entries.jsonl` has a line an entry: `seq`, `leaf` as it was hashed, `proof` (the sibling hashes up to the root of
`audit/checkpoint-last.note`, RFC 9162 section 2.1.3), and where the maker may read payloads `salt` and `payload` as
stored: what identifies a person stays sealed in it. An erased payload is null, and `erased_by` names the entry that
says so.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any, Final

from sqlalchemy import ColumnElement, Text, and_, cast, func, or_, select

from backend import clock
from backend.assurance.tables import Validation
from backend.audit.anchoring import cosignatures
from backend.audit.checkpoints import checkpoint_covering, newest_checkpoint
from backend.audit.log import commit_to
from backend.audit.merkle import inclusion_ranges, leaf_hash
from backend.audit.notes import encode64
from backend.audit.proofs import LogDamaged, prove_consistency, prove_inclusion
from backend.audit.rows import parsed
from backend.audit.searching import ROUTINE
from backend.audit.signers import verifier_keys
from backend.audit.state import log_state
from backend.audit.tables import AuditCheckpoint, AuditEntry, AuditErasure, AuditPayload
from backend.cards.tables import CardVersion
from backend.database.session import ReadSession
from backend.deployment.tables import Deployment
from backend.identity.actor import Actor
from backend.identity.reach import entries_about, entries_in_reach, see
from backend.identity.roles import Permission
from backend.packs.container import PackTooLarge
from backend.packs.doubts import add_doubts
from backend.packs.draft import Draft
from backend.packs.scope import Subject

MOST_ENTRIES: Final = 100_000
FEW: Final = 200
_AT_ONCE: Final = 2_000
ENTRIES, KEYS = "audit/entries.jsonl", "audit/keys.pub"
LAST, FIRST, CONSISTENCY = (
    "audit/checkpoint-last.note",
    "audit/checkpoint-first.note",
    "audit/consistency.json",
)


class Tree:
    """The hashes of the whole tree of the first `size` entries, level by level: 64 bytes an entry.

    Proofs of thousands of entries then read nothing. Raises `LogDamaged` where entries are missing.
    """

    def __init__(self, session: ReadSession, size: int) -> None:
        leaves = bytearray()
        rows = session.execute(
            select(AuditEntry.leaf_hash).where(AuditEntry.seq < size).order_by(AuditEntry.seq)
        ).yield_per(20_000)
        try:
            for (found,) in rows:
                leaves += bytes.fromhex(found)
        except ValueError as error:
            raise LogDamaged(
                f"a stored hash of the log is none ({error}); run: warrant audit verify"
            ) from error
        if len(leaves) != 32 * size:
            raise LogDamaged(
                f"the first {size} entries of the log are not all there; run: warrant audit verify"
            )
        self.size = size
        self._levels = [bytes(leaves)]
        sha256 = hashlib.sha256
        while len(self._levels[-1]) > 32:
            below = self._levels[-1]
            self._levels.append(
                b"".join(
                    sha256(b"\x01" + below[at : at + 64]).digest() for at in range(0, len(below) - 63, 64)
                )
            )

    def root_of(self, low: int, high: int) -> bytes:
        """Over the leaves [low, high); `low` is a multiple of the power of two not below the length."""
        length = high - low
        if length & (length - 1) == 0:
            level, at = length.bit_length() - 1, low >> (length.bit_length() - 1)
            return self._levels[level][32 * at : 32 * at + 32]
        middle = low + (1 << ((length - 1).bit_length() - 1))
        return hashlib.sha256(b"\x01" + self.root_of(low, middle) + self.root_of(middle, high)).digest()

    def path(self, index: int) -> list[bytes]:
        """The sibling hashes of a leaf, up to the root."""
        return [self.root_of(low, high) for low, high in inclusion_ranges(index, self.size)]


def add_log(draft: Draft, session: ReadSession, maker: Actor, subject: Subject) -> dict[str, Any] | None:
    """Add `audit/`. Gives the newest signed head as `{"origin", "size", "root"}`, None where there is none."""
    see(session, maker, Permission.READ_AUDIT)
    _add_state(draft, session, subject)
    newest = newest_checkpoint(session)
    if newest is None or newest.size == 0:
        draft.gap(
            "high", "No head of the audit log is signed: nothing in this pack is proved by the log", "audit/"
        )
        return None
    found, head = _conditions(session, subject), newest.note.split("\n")[0]
    routine, erased, lines, seqs = _lines(draft, session, maker, subject, found, newest)
    draft.add(ENTRIES, "".join(lines))
    first = (checkpoint_covering(session, seqs[0]) if seqs else None) or newest
    draft.add(LAST, newest.note + cosignatures(session, newest.id))
    draft.add(FIRST, first.note + (cosignatures(session, first.id)))
    draft.add_json(CONSISTENCY, _consistency(session, first, newest))
    draft.add(KEYS, "".join(f"{key.statement}\n" for key in verifier_keys()))
    if routine:
        draft.left_out.append(
            f"{routine:,} entries that machines write all day (batches taken in, windows computed); the log has them"
        )
    if erased:
        draft.left_out.append(
            f"payloads of the log that were erased: {erased:,}; leaves and proofs are here, and intact"
        )
    if not maker.may(Permission.READ_AUDIT_PAYLOAD):
        draft.left_out.append(
            "payloads of all entries: whoever made the pack may not read them; leaves and proofs are here"
        )
    draft.facts["entries"] = len(seqs)
    return {"origin": head, "size": newest.size, "root": newest.root}


def _lines(
    draft: Draft, session: ReadSession, maker: Actor, subject: Subject, conditions: list[ColumnElement[bool]],
    newest: AuditCheckpoint,
) -> tuple[int, int, list[str], list[int]]:  # fmt: skip
    """How many were left out as routine, how many payloads are erased, the lines, and the numbers of their entries."""
    routine = 0
    if subject.scope.kind == "period":
        quiet = AuditEntry.action.in_([one.value for one in ROUTINE])
        routine = session.scalar(select(func.count()).select_from(AuditEntry).where(quiet, *conditions)) or 0
        conditions = [*conditions, ~quiet]
    count = session.scalar(
        select(func.count()).select_from(AuditEntry).where(*conditions, AuditEntry.seq < newest.size)
    )
    if (count or 0) > MOST_ENTRIES:
        raise PackTooLarge(
            f"{count:,} entries of the log belong to this, and a pack holds {MOST_ENTRIES:,}: ask for a shorter "
            "period, one version or one change"
        )
    path = _paths(session, newest, count or 0)
    clear = maker.may(Permission.READ_AUDIT_PAYLOAD)
    lines, seqs, erased = [], [], 0
    for row in _rows(session, conditions, newest.size):
        _require_sound(row)
        line: dict[str, Any] = {"seq": row.seq, "leaf": row.leaf,
                                "proof": [encode64(one) for one in path(row.seq)]}  # fmt: skip
        if row.erased_by is not None:
            erased += 1
            line["erased_by"] = row.erased_by
        if clear:
            line |= {"salt": row.salt, "payload": row.payload}
        lines.append(f"{json.dumps(line, ensure_ascii=False, sort_keys=True)}\n")
        seqs.append(row.seq)
        draft.name(row.actor)
    return routine, erased, lines, seqs


def _paths(session: ReadSession, newest: AuditCheckpoint, count: int) -> Callable[[int], list[bytes]]:
    """What gives the path of an entry: of few entries each is read for itself, of many the whole tree at once.

    Raises `LogDamaged` where the stored log is not what was signed.
    """
    if count <= FEW:
        return lambda seq: [
            bytes.fromhex(one)
            for one in prove_inclusion(session, seq, size=newest.size, root=newest.root).hashes
        ]
    tree = Tree(session, newest.size)
    if tree.root_of(0, newest.size).hex() != newest.root:
        raise LogDamaged("the stored log is not what was signed; run: warrant audit verify", size=newest.size)
    return tree.path


def _rows(session: ReadSession, conditions: list[ColumnElement[bool]], size: int) -> Iterator[Any]:
    after = -1
    query = (
        select(AuditEntry.seq, AuditEntry.leaf, AuditEntry.leaf_hash, AuditEntry.actor, AuditPayload.salt,
               AuditPayload.payload,
               AuditErasure.recorded_by.label("erased_by"))
        .outerjoin(AuditPayload, AuditPayload.seq == AuditEntry.seq)
        .outerjoin(AuditErasure, AuditErasure.seq == AuditEntry.seq)
        .where(*conditions, AuditEntry.seq < size)
        .order_by(AuditEntry.seq)
        .limit(_AT_ONCE)
    )  # fmt: skip
    while True:
        rows = session.execute(query.where(AuditEntry.seq > after)).all()
        yield from rows
        if len(rows) < _AT_ONCE:
            return
        after = rows[-1].seq


def _require_sound(row: Any) -> None:
    """Raise `LogDamaged` for an entry that is not what was hashed: a pack would hold what no verifier takes."""
    if leaf_hash(row.leaf.encode()).hex() != row.leaf_hash:
        raise LogDamaged(f"entry {row.seq} is not the one that was hashed; run: warrant audit verify")
    commitment = parsed(row.leaf.encode()).get("commitment")
    try:
        fits = row.payload is None or commit_to(row.salt, row.payload) == commitment
    except (TypeError, ValueError):
        fits = False
    if not fits or (row.payload is None and row.erased_by is None):
        raise LogDamaged(
            f"the payload of entry {row.seq} is not the one that the log is bound to; run: warrant audit verify"
        )


def _conditions(session: ReadSession, subject: Subject) -> list[ColumnElement[bool]]:
    """Which entries belong to the subject, of those the session may find. Of its changes all of them until the as-of
    moment, also those after a period: what a receipt in the pack is of is always among them."""
    before = AuditEntry.at < clock.to_iso(subject.as_of)
    own = and_(before, _about("change", [str(one) for one in (*subject.changes, *subject.lost)]))
    conditions = [AuditEntry.at < clock.to_iso(subject.end), *entries_in_reach(session)]
    if subject.start is not None:
        conditions.append(AuditEntry.at >= clock.to_iso(subject.start))
    scope = subject.scope
    if scope.kind in ("model", "period"):
        if scope.model is not None:
            conditions.append(entries_about([scope.model]))
        return [or_(and_(*conditions), own)]
    about: list[ColumnElement[bool]] = []
    served = select(cast(Deployment.id, Text)).where(Deployment.change_id.in_(subject.changes))
    if scope.kind == "version":
        about.append(_about("version", [f"{scope.model}/{scope.version}"]))
        served = select(cast(Deployment.id, Text)).where(
            Deployment.model == scope.model, Deployment.version == scope.version
        )
        cards = select(cast(CardVersion.id, Text)).where(
            CardVersion.model == scope.model, CardVersion.version == scope.version
        )
        validated = select(cast(Validation.id, Text)).where(
            Validation.model == scope.model,
            Validation.version.is_(None) | (Validation.version == scope.version),
        )
        about += [_about("card", cards), _about("validation", validated)]
    about.append(_about("deployment", served))
    return [or_(and_(*conditions, or_(*about)), own)]


def _about(kind: str, ids: Any) -> ColumnElement[bool]:
    return and_(AuditEntry.object_kind == kind, AuditEntry.object_id.in_(ids))


def _consistency(session: ReadSession, first: AuditCheckpoint, last: AuditCheckpoint) -> dict[str, Any]:
    """In the form of the public vectors, as `warrant audit check-proof` takes it."""
    proof = prove_consistency(session, first.size, first.root, last.size, last.root)
    return {
        "size1": first.size, "size2": last.size, "root1": encode64(bytes.fromhex(first.root)),
        "root2": encode64(bytes.fromhex(last.root)), "proof": [encode64(one) for one in proof],
    }  # fmt: skip


def _add_state(draft: Draft, session: ReadSession, subject: Subject) -> None:
    """How far the log is signed, kept elsewhere and checked now, and what is wrong with it."""
    state = log_state(session)
    draft.facts["log"] = state
    mine = add_doubts(draft, session, subject)
    draft.add_json(
        "audit/state.json",
        {"size": state.size, "signed_size": state.signed_size, "signed_at": state.signed_at,
         "unanchored": state.unanchored,
         "kept_elsewhere": [{"kind": one.kind, "place": one.place, "size": one.size, "signed_at": one.signed_at,
                             "named_by_the_settings": one.known}
                            for one in state.kept],
         "checked": {"at": state.checked.at, "ok": state.checked.ok, "size": state.checked.size,
                     "problem": state.checked.problem} if state.checked else None,
         "findings": [{"id": one.id, "kind": one.kind, "level": one.level, "title": one.title,
                       "opened_at": one.opened_at, "owner": one.owner} for one in mine]},
    )  # fmt: skip
    if state.checked is None:
        draft.gap("medium", "The audit log as a whole was never recomputed here", "audit/state.json")
    elif not state.checked.ok:
        draft.gap("high", f"The audit log is not intact: {state.checked.problem}", "audit/state.json")
    if state.newest_kept is None:
        draft.gap("medium", "Nobody else holds a signed head of the audit log: it is witnessed by this house alone",
                  "audit/state.json")  # fmt: skip
    elif state.unanchored:
        draft.gap("low", f"The newest {state.unanchored:,} entries of the log are held by nobody else yet",
                  "audit/state.json")  # fmt: skip
