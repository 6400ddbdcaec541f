"""Searching and showing the log, as far as the viewer may see.

`READ_AUDIT` shows entries and names people; `READ_AUDIT_PAYLOAD` adds the clear text (comments, addresses,
before and after). A damaged row is shown as damaged: the page must work when it matters most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from backend import clock
from backend.audit.entry_checks import entry_problem
from backend.audit.proofs import InclusionProof, LogDamaged, prove_inclusion
from backend.audit.rows import StoredEntry, as_stored, stored_entries
from backend.audit.sealing import PersonKey, erased_text, keys_to_open, opened, opened_name, sealed_for
from backend.audit.searching import Search, matching_entries
from backend.audit.tables import AuditEntry
from backend.database.session import ReadSession
from backend.errors import BadInput, NotFound
from backend.identity.actor import Actor
from backend.identity.people import names_of
from backend.identity.reach import entries_in_reach, see
from backend.identity.roles import Permission

MAX_LIMIT = 500


@dataclass(frozen=True)
class EntryView:
    """One line of the log. `why` and `payload` are empty unless the viewer may see payloads.

    `actor_name` is the one that the entry holds and its leaf binds. `name_now`: today's, where it is another one.
    `name_unbound`: the entry's own cannot be read (erased, damaged), and `actor_name` is today's, which nothing binds.
    """

    seq: int
    at: datetime | None
    action: str
    actor_id: str
    actor_name: str
    actor_kind: str
    acting_for: str | None
    object_kind: str
    object_id: str
    leaf_hash: str
    why: str = ""
    payload: dict[str, Any] | None = None
    damaged: bool = False
    erased: str = ""  # in words, where the whole payload was erased
    name_now: str = ""
    name_unbound: bool = False


@dataclass(frozen=True)
class EntryDetail:
    """One entry with what was hashed and the proof that it is in the log (None: it cannot be proved, and
    `proof_problem` says why). `salt` only where the viewer may see payloads."""

    view: EntryView
    leaf: str
    salt: str | None
    proof: InclusionProof | None
    proof_problem: str = ""


def search_entries(
    session: ReadSession,
    viewer: Actor,
    wanted: Search | None = None,
    *,
    before_seq: int | None = None,
    limit: int = 100,
    **filters: Any,
) -> list[EntryView]:
    """Entries, newest first; the last one's `seq` as `before_seq` gives the next page. What is looked for is a
    `Search`, or its members by name."""
    see(session, viewer, Permission.READ_AUDIT)
    if not 1 <= limit <= MAX_LIMIT:
        raise BadInput(f"limit is 1 to {MAX_LIMIT}, not {limit}")
    query = matching_entries(session, viewer, wanted or Search(**filters), before_seq=before_seq, limit=limit)
    return entry_views(session, viewer, [as_stored(row) for row in session.execute(query)])


def entry_detail(session: ReadSession, viewer: Actor, seq: int) -> EntryDetail:
    """One entry with its proof. Raises `NotFound`."""
    see(session, viewer, Permission.READ_AUDIT)
    wanted = stored_entries(_dialect(session)).where(AuditEntry.seq == seq, *entries_in_reach(session))
    row = session.execute(wanted).one_or_none()
    if row is None:
        raise NotFound(f"there is no audit entry {seq}")
    entry = as_stored(row)
    proof, problem = None, ""
    try:
        proof = prove_inclusion(session, seq)
    except (LogDamaged, NotFound) as error:
        problem = error.message
    return EntryDetail(
        view=entry_views(session, viewer, [entry])[0],
        leaf=_shown(entry.leaf),
        salt=_shown(entry.salt) if viewer.may(Permission.READ_AUDIT_PAYLOAD) else None,
        proof=proof,
        proof_problem=problem,
    )


def entry_views(session: ReadSession, viewer: Actor, entries: Sequence[StoredEntry]) -> list[EntryView]:
    """Stored rows as the viewer may see them."""
    names = names_of(session, {_text(entry.fields, "actor") for entry in entries})
    whole = viewer.may(Permission.READ_AUDIT_PAYLOAD)
    shown = [entry.clear if whole else entry.clear.get("actor_name") for entry in entries]
    keys = keys_to_open(session, {one for part in shown for one in sealed_for(part)})
    erased = _erasures(session, entries)
    return [_view(entry, viewer, names, keys, erased) for entry in entries]


def _erasures(session: ReadSession, entries: Sequence[StoredEntry]) -> dict[int, str]:
    """For entries without payload: when it was erased, and by which entry, in words."""
    wanted = {entry.seq: entry.erased_by for entry in entries if entry.erased_by is not None}
    if not wanted:
        return {}
    recorders = select(AuditEntry.seq, AuditEntry.at).where(AuditEntry.seq.in_(set(wanted.values())))
    times = {row.seq: _time(row.at) for row in session.execute(recorders)}
    return {
        seq: f"{erased_text(at)} (entry {by})" if (at := times.get(by)) else f"erased by entry {by}"
        for seq, by in wanted.items()
    }


def _view(
    entry: StoredEntry,
    viewer: Actor,
    names: dict[str, str],
    keys: dict[str, PersonKey],
    erased: dict[int, str],
) -> EntryView:
    fields = entry.fields
    payload = opened(entry.clear, keys) if viewer.may(Permission.READ_AUDIT_PAYLOAD) else None
    actor, kind = _text(fields, "actor"), _text(fields, "actor_kind")
    today, damaged = names.get(actor, actor), entry_problem(entry) is not None
    held = None if damaged or kind == "system" else opened_name(entry.clear.get("actor_name"), keys)
    return EntryView(
        seq=entry.seq,
        at=_time(fields.get("at")),
        action=_text(fields, "action"),
        actor_id=actor,
        actor_name=held or today,
        actor_kind=kind,
        acting_for=_text(fields, "acting_for") or None,
        object_kind=_text(fields, "object_kind"),
        object_id=_text(fields, "object_id"),
        leaf_hash=_shown(entry.leaf_hash),
        why=_text(payload or {}, "why"),
        payload=payload,
        damaged=damaged,
        erased=erased.get(entry.seq, ""),
        name_now=today if held and today not in (held, actor) else "",
        name_unbound=held is None and kind != "system",
    )


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def _time(value: Any) -> datetime | None:
    try:
        return clock.from_iso(value)
    except (ValueError, TypeError):
        return None


def _shown(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace")


def _dialect(session: ReadSession) -> str:
    return session.get_bind().dialect.name
