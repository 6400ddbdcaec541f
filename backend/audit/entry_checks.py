"""What is wrong with one entry by itself: its hash, its leaf, its generated columns, its payload."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from backend.audit.merkle import leaf_hash
from backend.audit.rows import StoredEntry

MEMBERS: Final = frozenset(
    {"v", "seq", "at", "actor", "actor_kind", "acting_for", "session", "request", "action", "object_kind",
     "object_id", "commitment"}
)  # fmt: skip
_HASH: Final = re.compile(rb"[0-9a-f]{64}")
_AT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


@dataclass(frozen=True)
class Problem:
    """The first thing that is not as it was recorded. `seq` is None where it is not about one entry."""

    message: str
    seq: int | None = None


class Altered(Exception):
    """Something is not as it was recorded; `problem` says what."""

    def __init__(self, message: str, seq: int | None = None) -> None:
        super().__init__(message)
        self.problem = Problem(message, seq)


def entry_problem(entry: StoredEntry) -> Problem | None:
    """What is wrong with this entry by itself. None: nothing."""
    try:
        check_entry(entry)
    except Altered as altered:
        return altered.problem
    return None


def check_entry(entry: StoredEntry) -> None:
    """Raise `Altered` with the first thing that is wrong with this entry by itself.

    Whether the erasure of a payload was recorded is not asked here.
    """
    if entry.leaf is None or entry.leaf_hash is None:
        reject(entry, "has no leaf or no hash")
    if not _HASH.fullmatch(entry.leaf_hash):
        reject(entry, "the stored hash is not 64 lower-case hexadecimal digits")
    if leaf_hash(entry.leaf).hex().encode() != entry.leaf_hash:
        reject(entry, "the leaf's hash differs from the stored one")
    if entry.kinds and set(entry.kinds.split()) - {"text", "null"}:
        reject(entry, f"a cell is stored as something other than text ({entry.kinds.strip()})")
    _check_leaf(entry, entry.leaf)
    _check_payload(entry)


def _check_leaf(entry: StoredEntry, leaf: bytes) -> None:
    fields = entry.fields
    # For an object of strings, small integers and nulls this is RFC 8785, and many times faster.
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    if not fields or canonical.encode("utf-8", "surrogatepass") != leaf:
        reject(entry, "the leaf is not canonical JSON")
    if fields.keys() != MEMBERS or repr(fields["v"]) != "1":
        reject(entry, "the leaf has other members than an entry of version 1")
    if type(fields["seq"]) is not int or fields["seq"] != entry.seq:
        reject(entry, f"the leaf says that it is entry {fields['seq']}")
    optional = {"acting_for", "session", "request"}
    for name in MEMBERS - {"v", "seq"}:
        if not isinstance(fields[name], str) and not (name in optional and fields[name] is None):
            reject(entry, f"the leaf's {name} is not text")
    if not _AT.fullmatch(fields["at"]):
        reject(entry, "the leaf's time is not written as the log writes times")
    for name, stored in entry.generated.items():
        if stored != fields[name].encode("utf-8", "surrogatepass"):
            reject(entry, f"the column {name} differs from the leaf")


def _check_payload(entry: StoredEntry) -> None:
    if entry.erased_by is not None:
        if entry.has_payload:
            reject(entry, f"its payload was erased by entry {entry.erased_by}, and is there again")
        return
    if not entry.has_payload:
        reject(entry, "its payload is missing")
    if entry.salt is None or not _HASH.fullmatch(entry.salt) or entry.payload is None:
        reject(entry, "its payload's salt is not 64 lower-case hexadecimal digits, or the payload is empty")
    commitment = hashlib.sha256(bytes.fromhex(entry.salt.decode()) + entry.payload).hexdigest()
    if commitment != entry.fields["commitment"]:
        reject(entry, "the payload does not match its commitment")


def reject(entry: StoredEntry, reason: str) -> NoReturn:
    """Raise `Altered` that names the entry."""
    fields = entry.fields
    known = [str(fields[name])[:80] for name in ("action", "at") if isinstance(fields.get(name), str)]
    label = f" ({', '.join(known)})" if known else ""
    raise Altered(f"entry {entry.seq}{label}: {reason}", entry.seq)


# Text that JSON writes as it is: most leaves hold nothing else, and one look at such a leaf tells all its members.
_TEXT: Final = rb'"([ !#-\[\]-~]*)"'
_OR_NULL: Final = rb'(?:"[ !#-\[\]-~]*"|null)'
_PLAIN: Final = re.compile(
    rb'\{"acting_for":' + _OR_NULL + rb',"action":' + _TEXT + rb',"actor":' + _TEXT
    + rb',"actor_kind":"[ !#-\[\]-~]*","at":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z)","commitment":"([0-9a-f]{64})"'
    + rb',"object_id":' + _TEXT + rb',"object_kind":' + _TEXT + rb',"request":' + _OR_NULL
    + rb',"seq":(0|[1-9]\d*),"session":' + _OR_NULL + rb',"v":1\}'
)  # fmt: skip


def plain_hash(row: Any, seq: int) -> str | None:
    """The leaf hash (hex) of entry `seq` from a row of `rows.plain_rows` that holds nothing out of the ordinary.

    None says nothing: `check_entry` then looks at the row in full. What passes here passes there.
    """
    (
        number,
        leaf,
        stored,
        at,
        actor,
        action,
        kind,
        object_id,
        salt,
        payload,
        payload_seq,
        all_text,
        erased_by,
    ) = row
    if number != seq or payload_seq != seq or not all_text or erased_by is not None:
        return None
    columns: tuple[Any, ...] = (action, actor, at, object_id, kind)
    try:
        if type(leaf) is bytes:  # SQLite gives the bytes that are stored, PostgreSQL text
            stored, salt = stored.decode("ascii"), salt.decode("ascii")
        else:
            leaf, payload = leaf.encode(), payload.encode()
            columns = tuple([one.encode() for one in columns])
        salted = bytes.fromhex(salt)
    except (AttributeError, TypeError, ValueError):
        return None
    found = _PLAIN.fullmatch(leaf)
    if found is None or type(payload) is not bytes:
        return None
    action_said, actor_said, at_said, commitment, id_said, kind_said, seq_said = found.groups()
    hashed = hashlib.sha256(b"\x00" + leaf).hexdigest()
    good = (
        hashed == stored
        and columns == (action_said, actor_said, at_said, id_said, kind_said)
        and seq_said == b"%d" % seq
        and len(salted) == 32
        and salted.hex() == salt
        and hashlib.sha256(salted + payload).hexdigest().encode() == commitment
    )
    return hashed if good else None
