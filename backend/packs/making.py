"""The file of a pack's making: what shows who has no account here that the log records exactly this pack.

The entry of the making names the digest of the manifest. The file has that entry's receipt in the newest signed head,
so that it is under the present key whichever key the pack is under, and its payload with the salt, which the leaf
binds.
Nothing in it identifies anybody: who asked stands with an opaque id.
"""

from __future__ import annotations

import json

from sqlalchemy import select

from backend.audit.receipts import receipt
from backend.audit.tables import AuditPayload
from backend.database.session import ReadSession
from backend.identity.actor import Actor
from backend.packs.service import NotMadeYet, PackGone, get_pack


def making_of(session: ReadSession, viewer: Actor, pack_id: str) -> str:
    """The file, as JSON with `receipt`, `salt` and `payload`. `tools/verify_pack.py` takes it with `--made`.

    Raises `NotFound`, `NotMadeYet`, `backend.audit.receipts.NotSignedYet` until the next head is signed, and `PackGone`
    where the entry's payload was erased.
    """
    pack = get_pack(session, viewer, pack_id)
    if pack.entry is None:
        raise NotMadeYet(f"pack {pack_id} is not made yet, so no entry records its making")
    row = session.execute(
        select(AuditPayload.salt, AuditPayload.payload).where(AuditPayload.seq == pack.entry)
    ).one_or_none()
    if row is None:
        raise PackGone(
            f"what entry {pack.entry} says of the making of {pack_id} was erased; have it made again"
        )
    found = receipt(session, viewer, pack.entry, newest=True)
    return f"{json.dumps({'receipt': found, 'salt': row.salt, 'payload': row.payload}, indent=1)}\n"
