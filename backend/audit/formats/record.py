"""One entry as it leaves: what its leaf says, and of its payload what the reader may see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from backend.audit.reading import EntryView
from backend.audit.rows import StoredEntry


@dataclass(frozen=True)
class Record:
    """`at` as the log writes it. `address`, `why` and `payload` are empty where the reader may not see payloads."""

    seq: int
    at: str
    actor: str
    actor_name: str
    actor_kind: str
    acting_for: str
    session: str
    request: str
    action: str
    object_kind: str
    object_id: str
    why: str
    address: str
    payload: dict[str, Any] | None
    erased: str
    damaged: bool
    leaf: str
    leaf_hash: str


def as_record(entry: StoredEntry, view: EntryView) -> Record:
    fields, payload = entry.fields, view.payload
    address = (payload or {}).get("address")
    return Record(
        seq=entry.seq, at=_text(fields.get("at")), actor=view.actor_id, actor_name=view.actor_name,
        actor_kind=view.actor_kind, acting_for=view.acting_for or "", session=_text(fields.get("session")),
        request=_text(fields.get("request")), action=view.action, object_kind=view.object_kind,
        object_id=view.object_id, why=view.why, address=_text(address), payload=payload, erased=view.erased,
        damaged=view.damaged, leaf=(entry.leaf or b"").decode("utf-8", "replace"), leaf_hash=view.leaf_hash,
    )  # fmt: skip


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
