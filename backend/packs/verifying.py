"""Verifying a pack with the verifier that every pack carries; at home also against the log itself."""

from __future__ import annotations

import hashlib
import json
import runpy
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import select

from backend.audit.actions import Action
from backend.audit.proofs import LogDamaged, root_at
from backend.audit.rows import parsed
from backend.audit.tables import AuditEntry, AuditHead, AuditPayload
from backend.database.session import ReadSession
from backend.errors import BadInput, Conflict
from backend.packs.made import VERIFIER

_MANIFEST: Final = "manifest.json"


class PackAltered(Conflict):
    """The pack is not as it was made; the message says what."""

    title = "The pack is not as it was made"


def verify_body(
    body: bytes, keys: Sequence[str], witnesses: Sequence[str] = (), *, made: bytes | None = None
) -> list[str]:
    """What was found, a line each. made: the file of its making.

    Raises `PackAltered`, and `BadInput` for what is no pack or no key.
    """
    tool = _tool()
    try:
        found: list[str] = tool["verify"](body, list(keys), list(witnesses), made)
    except tool["Altered"] as error:
        raise PackAltered(str(error)) from error
    except tool["NoPack"] as error:
        raise BadInput(str(error)) from error
    return found


def compare_with_log(session: ReadSession, body: bytes) -> str:
    """What the log of this home says of a verified pack: that exactly this one was made, in words.

    A key that was stolen, or that another took over from, goes on making signatures that fit; the log does not name
    what they are under. Raises `PackAltered`.
    """
    data = _tool()["members"](body)[_MANIFEST]
    manifest = json.loads(data)
    head, own = manifest["head"], session.get(AuditHead, 1)
    size = own.size if own is not None else 0
    if head is not None:
        _require_own(session, head, size)
    row = session.execute(
        select(AuditEntry.seq, AuditPayload.payload)
        .outerjoin(AuditPayload, AuditPayload.seq == AuditEntry.seq)
        .where(
            AuditEntry.object_kind == "pack", AuditEntry.object_id == manifest["pack"],
            AuditEntry.action == Action.PACK_MADE.value,
        )
    ).first()  # fmt: skip
    if row is None:
        raise PackAltered(
            f"a key of this home signed it, and its log has no entry that {manifest['pack']} was made: the key was "
            "stolen, or the pack is of another home"
        )
    if row.payload is None:
        return f"entry {row.seq} records that a pack of this name was made; which one, was erased"
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    if parsed(row.payload.encode()).get("manifest") != digest:
        raise PackAltered(f"entry {row.seq} of the log records another pack under this name")
    return f"entry {row.seq} of the log of this home records that exactly this pack was made"


def _require_own(session: ReadSession, head: dict[str, Any], size: int) -> None:
    if head["size"] > size:
        raise PackAltered(
            f"the log of this home has {size} entries, and the pack's head is of {head['size']}"
        )
    try:
        root = root_at(session, head["size"])
    except LogDamaged as error:
        raise PackAltered(f"the log of this home cannot be compared: {error.message}") from error
    if root != head["root"]:
        raise PackAltered(
            f"a key of this home signed it, and the first {head['size']} entries of its log have another root: the key "
            "was stolen, or one of the two histories is false"
        )


def _tool() -> dict[str, Any]:
    return runpy.run_path(str(VERIFIER), run_name="verify_pack")
