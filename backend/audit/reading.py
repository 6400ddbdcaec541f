"""Searching and showing the log, as far as the viewer may see.

`READ_AUDIT` shows entries and names people; `READ_AUDIT_PAYLOAD` adds the clear text (comments, addresses,
before and after). A damaged row is shown as damaged: the page must work when it matters most.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func

from backend import clock
from backend.audit.actions import Action
from backend.audit.proofs import InclusionProof, LogDamaged, prove_inclusion
from backend.audit.rows import StoredEntry, as_stored, stored_entries
from backend.audit.tables import AuditEntry, AuditPayload
from backend.audit.verification import entry_problem
from backend.database.session import ReadSession
from backend.errors import BadInput, NotFound
from backend.identity.actor import Actor
from backend.identity.people import matching_people, names_of
from backend.identity.roles import Permission

MAX_LIMIT = 500
ROUTINE = (Action.BATCH_INGESTED, Action.WINDOW_COMPUTED)


@dataclass(frozen=True)
class EntryView:
    """One line of the log. `why` and `payload` are empty unless the viewer may see payloads."""

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
    *,
    who: str = "",
    action: str = "",
    object_kind: str = "",
    object_id: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
    text: str = "",
    routine: bool = True,
    before_seq: int | None = None,
    limit: int = 100,
) -> list[EntryView]:
    """Entries, newest first; the last one's `seq` as `before_seq` gives the next page.

    `who` is an id, a user name or part of a name; `action` a whole action or its beginning up to a colon
    (`governance:change`); `since` is included, `until` is not. `text` looks into payloads where the viewer
    may see them, else into the leaves. Without `routine` the entries that machines write all day are left out.
    """
    viewer.require(Permission.READ_AUDIT)
    if not 1 <= limit <= MAX_LIMIT:
        raise BadInput(f"limit is 1 to {MAX_LIMIT}, not {limit}")
    for sent in (who, action, object_kind, object_id, text):
        if not sent.isprintable():
            raise BadInput(f"{sent!r} holds characters that nothing in the log holds")
    conditions: list[ColumnElement[bool]] = []
    if not routine:
        conditions.append(AuditEntry.action.not_in([action.value for action in ROUTINE]))
    if who.strip():
        conditions.append(AuditEntry.actor.in_([who.strip(), *matching_people(session, who.strip())]))
    if action.strip():
        wanted = action.strip().rstrip(":")
        conditions.append(
            (AuditEntry.action == wanted) | AuditEntry.action.startswith(f"{wanted}:", autoescape=True)
        )
    if object_kind.strip():
        conditions.append(AuditEntry.object_kind == object_kind.strip())
    if object_id.strip():
        conditions.append(AuditEntry.object_id == object_id.strip())
    if since is not None:
        conditions.append(AuditEntry.at >= clock.to_iso(since))
    if until is not None:
        conditions.append(AuditEntry.at < clock.to_iso(until))
    if before_seq is not None:
        conditions.append(AuditEntry.seq < before_seq)
    if text.strip():
        conditions.append(_mentions(text.strip(), viewer))
    rows = session.execute(
        stored_entries(_dialect(session)).where(*conditions).order_by(AuditEntry.seq.desc()).limit(limit)
    )
    return _views(session, viewer, [as_stored(row) for row in rows])


def entry_detail(session: ReadSession, viewer: Actor, seq: int) -> EntryDetail:
    """One entry with its proof. Raises `NotFound`."""
    viewer.require(Permission.READ_AUDIT)
    row = session.execute(stored_entries(_dialect(session)).where(AuditEntry.seq == seq)).one_or_none()
    if row is None:
        raise NotFound(f"there is no audit entry {seq}")
    entry = as_stored(row)
    proof, problem = None, ""
    try:
        proof = prove_inclusion(session, seq)
    except (LogDamaged, NotFound) as error:
        problem = error.message
    return EntryDetail(
        view=_views(session, viewer, [entry])[0],
        leaf=_shown(entry.leaf),
        salt=_shown(entry.salt) if viewer.may(Permission.READ_AUDIT_PAYLOAD) else None,
        proof=proof,
        proof_problem=problem,
    )


def _mentions(text: str, viewer: Actor) -> ColumnElement[bool]:
    column = AuditPayload.payload if viewer.may(Permission.READ_AUDIT_PAYLOAD) else AuditEntry.leaf
    # The stored text is JSON, where a quote is written \" and a line break \n.
    wanted = json.dumps(text, ensure_ascii=False)[1:-1]
    return func.lower(column).contains(wanted.lower(), autoescape=True)


def _views(session: ReadSession, viewer: Actor, entries: Sequence[StoredEntry]) -> list[EntryView]:
    names = names_of(session, {_text(entry.fields, "actor") for entry in entries})
    return [_view(entry, viewer, names) for entry in entries]


def _view(entry: StoredEntry, viewer: Actor, names: dict[str, str]) -> EntryView:
    fields = entry.fields
    payload = entry.clear if viewer.may(Permission.READ_AUDIT_PAYLOAD) else None
    actor = _text(fields, "actor")
    return EntryView(
        seq=entry.seq,
        at=_time(fields.get("at")),
        action=_text(fields, "action"),
        actor_id=actor,
        actor_name=names.get(actor, actor),
        actor_kind=_text(fields, "actor_kind"),
        acting_for=_text(fields, "acting_for") or None,
        object_kind=_text(fields, "object_kind"),
        object_id=_text(fields, "object_id"),
        leaf_hash=_shown(entry.leaf_hash),
        why=_text(payload or {}, "why"),
        payload=payload,
        damaged=entry_problem(entry) is not None,
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
