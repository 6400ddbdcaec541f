"""Letting packs go: after a time, or because of an erasure that the pack would outlive; unless a hold keeps them.

A pack is a copy. When somebody whom it names is erased, or on request a payload of the log that it holds, it is handed
out no more from that moment on, and its file goes with the next run of the job. Its row and its entries stay. A file
that no offered row names, left by a run that failed or was killed for good, goes too.
"""

from __future__ import annotations

import re
from typing import Final

from sqlalchemy import select

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.holds.service import held
from backend.identity.actor import Actor
from backend.packs.keeping import folder, why_not_kept
from backend.packs.tables import EvidencePack
from backend.queue import JobRun

_FILE: Final = re.compile(r"\.?(pack_[0-9a-f]+)\.zip(\.draft)?")


def forget_packs(session: WriteSession, actor: Actor) -> int:
    """Remove the files of packs that are to go. Gives how many; safe to repeat."""
    rows = session.scalars(
        select(EvidencePack).where(EvidencePack.made_at.is_not(None), EvidencePack.forgotten_at.is_(None))
    )
    count = 0
    for pack in rows.all():
        why = why_not_kept(session, pack)
        if not why:
            continue
        (folder() / pack.file).unlink(missing_ok=True)
        pack.forgotten_at, pack.forgotten_because, pack.people = clock.now(), why, []
        session.flush()
        record(session, actor, Action.PACK_FORGOTTEN, object_kind="pack", object_id=pack.id, why=why,
               payload={"digest": pack.digest, "manifest": pack.manifest})  # fmt: skip
        count += 1
    _sweep(session)
    return count


def _sweep(session: ReadSession) -> None:
    """Remove files that no offered row names and no run is writing. Nobody could take them; they are copies still."""
    offered = set(
        session.scalars(
            select(EvidencePack.file).where(
                EvidencePack.made_at.is_not(None), EvidencePack.forgotten_at.is_(None)
            )
        )
    )
    written = set(
        session.scalars(
            select(EvidencePack.id)
            .join(JobRun, JobRun.id == EvidencePack.run_id)
            .where(EvidencePack.made_at.is_(None), JobRun.state.in_(("queued", "running")))
        )
    )
    for path in folder().iterdir():
        named = _FILE.fullmatch(path.name)
        if named is None or path.name in offered or named[1] in written:
            continue
        if held(session, "pack", named[1]) is None:
            path.unlink(missing_ok=True)
