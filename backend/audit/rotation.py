"""Changing the key that signs checkpoints. The old key vouches for the new one, and its secret is gone afterwards.

The change is an entry that names the new public key; the first checkpoint that holds this entry is signed by both. From
then on the old key has an end, which is published with it: what it signs later counts nowhere. A
command that is cut short is simply given again: the prepared key is kept until it has taken over. It can be prepared
before, so that witnesses know it when it comes.
"""

from __future__ import annotations

from sqlalchemy import select

from backend.audit.actions import Action
from backend.audit.checkpoints import SignedHead, sign_head
from backend.audit.log import record
from backend.audit.notes import SigningKey, VerifierKey
from backend.audit.signers import (
    KeyUnusable,
    finish_rotation,
    key_path,
    last_signed,
    prepare_next,
    publish_verifier,
    read_key,
    signing,
    take_over,
    verifier_keys,
)
from backend.audit.tables import AuditEntry
from backend.database.session import writing
from backend.identity.actor import Actor
from backend.identity.freshness import require_fresh


def prepare_key() -> VerifierKey:
    """Make the key that the next change will bring, and give its public half: witnesses that know it beside the present
    one take every head through the change. It signs nothing until then. Asked again, the same one.

    Raises `KeyUnusable` as `rotate_key` does.
    """
    known = _known()
    finish_rotation(known)
    return prepare_next(_present(known).verifier.name).verifier


def rotate_key(actor: Actor, *, why: str) -> tuple[VerifierKey, SignedHead]:
    """Make a new key and let it take over. Returns its public half, and the checkpoint that both keys signed.

    Raises `KeyUnusable` where nothing was signed yet, and whatever `sign_head` refuses.
    """
    require_fresh(actor, "rotate the keys of the log")
    known = _known()
    if finish_rotation(known):
        return known[-1], sign_head()
    present = _present(known)
    following = prepare_next(present.verifier.name)
    with writing() as session:
        recorded = session.scalar(
            select(AuditEntry.seq).where(
                AuditEntry.action == Action.KEY_ROTATED.value,
                AuditEntry.object_id == str(following.verifier),
            )
        )
        if recorded is None:
            record(
                session, actor, Action.KEY_ROTATED, object_kind="key", object_id=str(following.verifier), why=why,
                payload={"before": str(present.verifier), "after": str(following.verifier)},
            )  # fmt: skip
    # Both sign while the old key still is the newest public one; the new one is published before it signs alone. The
    # old key ends with the head that was signed last: nobody signs another between reading that and taking over.
    signed = sign_head(also=following)
    with signing():
        last = last_signed()
        publish_verifier(following.verifier, until=last.moment if last is not None else None)
        take_over()
    return following.verifier, signed


def _known() -> list[VerifierKey]:
    known = verifier_keys()
    if not known or not key_path().exists():
        raise KeyUnusable(
            "nothing was signed yet, so there is no key to change; the worker makes the first one"
        )
    return known


def _present(known: list[VerifierKey]) -> SigningKey:
    present = read_key(key_path())
    if known[-1] != present.verifier:
        raise KeyUnusable(f"the key in {key_path()} is not the newest one; put the right one back first")
    return present
