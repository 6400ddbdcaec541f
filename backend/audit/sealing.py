"""Values of a payload that identify a person, sealed under a key of that person; destroying the key erases them all.

    {"actor_name": {"sealed_for": "per_…", "box": "<base64 of nonce ‖ AES-256-GCM ciphertext>"}, "why": "…"}

The commitment binds the sealed form, so that the log proves as much after an erasure as before, and what a person did
stays readable: only who they are is gone. The name and address of a person who acts are sealed by `record`; other
values by whoever records them, as `Personal(person_id, value)`. Keys are rows of `subject_keys`: a copy of the
database that was made before an erasure still opens what it held.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from weakref import WeakKeyDictionary

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from backend import clock
from backend.audit.actions import Action
from backend.audit.tables import AuditEntry, SubjectKey
from backend.database.session import ReadSession, WriteSession

_NONCE_BYTES: Final = 12
_KEPT_S: Final = 60.0
_MADE: Final = "subject_keys_made"
OTHER_KEY: Final = "cannot be read: it was sealed under another key"
UNRECORDED: Final = "cannot be read: the key was removed, and no entry records an erasure"
SEALED: Final = frozenset({"sealed_for", "box"})
# Keys that are committed, by engine, for sealing only: a key destroyed within the last minute seals what nobody opens.
_kept: WeakKeyDictionary[Any, dict[str, tuple[float, bytes | None]]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Personal:
    """A value of a payload (plain JSON) that identifies `subject`, an opaque id of a person."""

    subject: str
    value: Any


def subjects_of(value: Any) -> set[str]:
    """Of whom a payload holds values to be sealed."""
    if isinstance(value, Personal):
        return {value.subject}
    if isinstance(value, Mapping):
        return {one for inner in value.values() for one in subjects_of(inner)}
    if isinstance(value, list | tuple):
        return {one for inner in value for one in subjects_of(inner)}
    return set()


def known_keys(session: WriteSession, subjects: Iterable[str]) -> dict[str, bytes | None]:
    """The keys that there are, None for a destroyed one. A subject without a key is left out."""
    kept = _kept.setdefault(session.connection().engine, {})
    made: set[str] = session.info.get(_MADE, set())
    now = time.monotonic()
    found: dict[str, bytes | None] = {}
    for subject in subjects:
        if subject in kept and subject not in made and now - kept[subject][0] < _KEPT_S:
            found[subject] = kept[subject][1]
            continue
        row = session.execute(select(SubjectKey.key).where(SubjectKey.subject == subject)).one_or_none()
        if row is None:
            continue
        found[subject] = bytes.fromhex(row.key) if row.key is not None else None
        if subject not in made:  # what this transaction made may still be rolled back
            kept[subject] = (now, found[subject])
    return found


def make_keys(session: WriteSession, subjects: Iterable[str]) -> dict[str, bytes | None]:
    """Keys for those who have none, in the caller's transaction.

    The caller holds the lock of the log's head, or is creating the subject, of whom nobody else can know yet: two
    never make one at a time, and none waits for another's with the lock in hand. A person's key is born with the
    account (`backend.identity.people`), so that nobody's first entry makes one while all others wait.
    """
    upsert = sqlite_insert if session.get_bind().dialect.name == "sqlite" else postgresql_insert
    made: set[str] = session.info.setdefault(_MADE, set())
    wanted = list(subjects)
    for subject in wanted:
        made.add(subject)
        row = {"subject": subject, "key": secrets.token_hex(32), "created_at": clock.now()}
        session.execute(upsert(SubjectKey).values(row).on_conflict_do_nothing())
    return known_keys(session, wanted)


def sealed(value: Any, keys: Mapping[str, bytes | None]) -> Any:
    """The payload with every `Personal` in its sealed form; empty where the subject has been erased."""
    if isinstance(value, Personal):
        return _box(value, keys[value.subject])
    if isinstance(value, Mapping):
        return {name: sealed(inner, keys) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [sealed(inner, keys) for inner in value]
    return value


def sealed_for(value: Any) -> set[str]:
    """Whose values a stored payload holds in sealed form."""
    if _is_box(value):
        return {value["sealed_for"]}
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return {one for part in inner for one in sealed_for(part)}


@dataclass(frozen=True)
class PersonKey:
    """The key of a person, None once destroyed. `erased_at`: the time of the entry that records it, if one does."""

    key: str | None
    erased_at: datetime | None = None


def keys_to_open(session: ReadSession, subjects: Iterable[str]) -> dict[str, PersonKey]:
    """These subjects' keys, read afresh."""
    wanted = sorted(set(subjects))
    found: dict[str, PersonKey] = {}
    recorded = (
        (AuditEntry.seq == SubjectKey.destroyed_by)
        & (AuditEntry.action == Action.PERSON_ERASED.value)
        & (AuditEntry.object_id == SubjectKey.subject)
    )
    for start in range(0, len(wanted), 500):
        some = (
            select(SubjectKey.subject, SubjectKey.key, SubjectKey.destroyed_at, AuditEntry.at)
            .outerjoin(AuditEntry, recorded)
            .where(SubjectKey.subject.in_(wanted[start : start + 500]))
        )
        for row in session.execute(some):
            key = row.key if row.destroyed_at is None else None
            at = clock.from_iso(row.at) if key is None and row.at is not None else None
            found[row.subject] = PersonKey(key, at)
    return found


def opened(value: Any, keys: Mapping[str, PersonKey]) -> Any:
    """A stored payload as people read it. What was erased says since when, what does not open says so."""
    if _is_box(value):
        return _open(value, keys.get(value["sealed_for"]))
    if isinstance(value, dict):
        return {name: opened(inner, keys) for name, inner in value.items()}
    if isinstance(value, list):
        return [opened(inner, keys) for inner in value]
    return value


def opened_name(value: Any, keys: Mapping[str, PersonKey]) -> str | None:
    """A name as an entry holds it, sealed or (of a service) in clear; None where it cannot be read, or is empty."""
    if _is_box(value):
        held = keys.get(value["sealed_for"])
        value = _open(value, held) if held is not None and held.key is not None else None
    return value if isinstance(value, str) and value and value != OTHER_KEY else None


def opens(value: Any, subject: str, held: PersonKey) -> bool:
    """Whether some value of a payload that was sealed for this subject opens under this key, or was never under one."""
    if _is_box(value):
        return value["sealed_for"] == subject and (not value["box"] or _open(value, held) != OTHER_KEY)
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(opens(part, subject, held) for part in inner)


def erased_text(at: datetime) -> str:
    """What stands in the place of something that was erased."""
    return f"erased on {at:%Y-%m-%d %H:%M:%S} UTC, proof intact"


def _box(personal: Personal, key: bytes | None) -> dict[str, str]:
    if key is None:
        return {"sealed_for": personal.subject, "box": ""}
    nonce = os.urandom(_NONCE_BYTES)
    text = json.dumps(personal.value, ensure_ascii=False).encode()
    box = nonce + AESGCM(key).encrypt(nonce, text, personal.subject.encode())
    return {"sealed_for": personal.subject, "box": base64.b64encode(box).decode()}


def _is_box(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == SEALED
        and all(isinstance(one, str) for one in value.values())
    )


def _open(box: dict[str, str], held: PersonKey | None) -> Any:
    if held is None:
        return "cannot be read: the key is missing"
    if held.key is None:
        return erased_text(held.erased_at) if held.erased_at else UNRECORDED
    try:
        content = base64.b64decode(box["box"], validate=True)
        text = AESGCM(bytes.fromhex(held.key)).decrypt(
            content[:_NONCE_BYTES], content[_NONCE_BYTES:], box["sealed_for"].encode()
        )
        return json.loads(text)
    except (ValueError, InvalidTag):
        return OTHER_KEY
