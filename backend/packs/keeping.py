"""Where the file of a pack lies, and whether it is kept: asked before it is offered, handed out or let go."""

from __future__ import annotations

import json
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Final

from sqlalchemy import select

from backend import clock
from backend.audit.tables import AuditErasure, SubjectKey
from backend.database.session import ReadSession
from backend.durable import durable_folder
from backend.holds.service import held, open_holds
from backend.packs.log_extract import ENTRIES
from backend.packs.tables import EvidencePack
from backend.settings import settings

KEPT: Final = timedelta(days=365)
_ERASED: Final = "what it holds was erased from the log"
_PERSON: Final = "somebody whom it named was erased"
_TIME: Final = "it was kept long enough"


def folder() -> Path:
    """Where the files lie; nobody but its owner looks in."""
    found: Path = durable_folder(settings().resolved_home() / "packs")
    found.chmod(0o700)
    return found


def why_not_kept(session: ReadSession, pack: EvidencePack) -> str:
    """Why the file of a pack that was offered goes, or would have gone by now; empty while it is kept."""
    if pack.made_at is None:
        return ""
    over = pack.made_at + kept_for(pack) <= clock.now()
    why = why_outdated(session, pack) or (_TIME if over else "")
    return why if why and why_held(session, pack) is None else ""


def why_outdated(session: ReadSession, pack: EvidencePack) -> str:
    """What was erased since the moment of the record from which the pack was made; empty where nothing was.

    Asked of numbers of the log and not of times: an erasure that committed while the pack was being written, or a
    clock that was set back, is later than the snapshot all the same.
    """
    since = pack.log_size or 0
    later = set(session.scalars(select(SubjectKey.subject).where(SubjectKey.destroyed_by >= since)))
    if later & set(pack.people):
        return _PERSON
    if pack.clear:
        erased = set(session.scalars(select(AuditErasure.seq).where(AuditErasure.recorded_by >= since)))
        if erased and erased & _payloads_in(folder() / pack.file):
            return _ERASED
    return ""


def why_held(session: ReadSession, pack: EvidencePack) -> str | None:
    """The reason of a hold on the pack itself, on the log of its model (of any, where it is about no single one), or
    on somebody whom it names."""
    logs = open_holds(session, "log", pack.model) if pack.model else open_holds(session, "log")
    people = (held(session, "person", one) for one in pack.people)
    found = held(session, "pack", pack.id) or next(iter(logs), None) or next((p for p in people if p), None)
    return found.reason if found is not None else None


def kept_for(pack: EvidencePack) -> timedelta:
    """A pack with payloads is kept no longer than the house keeps payloads."""
    days = settings().audit_keep_payloads_days
    return KEPT if days is None or not pack.clear else min(KEPT, timedelta(days=days))


def _payloads_in(path: Path) -> set[int]:
    """Numbers of the entries whose payload the file holds."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(ENTRIES) as lines:
            found = (json.loads(line) for line in lines)
            return {one["seq"] for one in found if one.get("payload") is not None}
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return set()
