"""Where the file of a pack lies, until when it is kept, and why one goes: asked before each showing and handing out.

A pack is a copy with a time of its own. Retention that empties payloads of the log later leaves a pack that was made
before; the erasure of a person whom it names, and that of a payload which somebody asked for, take it away.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from sqlalchemy import select

from backend import clock
from backend.audit.actions import Action
from backend.audit.erasure import erased_on_request
from backend.audit.tables import AuditEntry, SubjectKey
from backend.data_rights.tables import DataRequest, DataRule
from backend.database.session import ReadSession
from backend.durable import durable_folder
from backend.holds.service import open_holds
from backend.holds.tables import EVERYTHING, Hold
from backend.packs.log_extract import ENTRIES
from backend.packs.tables import EvidencePack
from backend.settings import settings

KEPT_DAYS: Final = 365
_ERASED: Final = "a payload of the log that it holds was erased on request"
_PERSON: Final = "somebody whom it named was erased"
_ROWS: Final = "rows that a report in it may draw were erased"


@dataclass(frozen=True)
class Kept:
    """For how many days a pack is kept from its making on, and what says so."""

    days: int
    because: str


@dataclass(frozen=True)
class Standing:
    """`until` is when its time is over, None before it is made. `gone` says why it is not handed out, empty: it is."""

    until: datetime | None
    because: str
    held: bool
    gone: str


def folder() -> Path:
    """Where the files lie; nobody but its owner looks in."""
    found: Path = durable_folder(settings().resolved_home() / "packs")
    found.chmod(0o700)
    return found


def standing_of(session: ReadSession, packs: Sequence[EvidencePack]) -> dict[str, Standing]:
    """How each pack stands now, by its id."""
    days = payload_days(session)
    holds = {kind: open_holds(session, kind) for kind in ("pack", "log", "person")}
    return {one.id: _standing(session, one, kept_for(one, days), _held(one, holds)) for one in packs}


def why_not_kept(session: ReadSession, pack: EvidencePack) -> str:
    """Why the file of a pack that was offered goes, or would have gone by now; empty while it is kept."""
    return standing_of(session, [pack])[pack.id].gone


def why_outdated(session: ReadSession, pack: EvidencePack) -> str:
    """What was erased on request since the moment of the record from which the pack was made; empty where nothing was.

    Asked of numbers of the log and not of times: an erasure that committed while the pack was being written, or a
    clock that was set back, is later than the snapshot all the same.
    """
    since = pack.log_size or 0
    later = set(session.scalars(select(SubjectKey.subject).where(SubjectKey.destroyed_by >= since)))
    if later & set(pack.people):
        return _PERSON
    if _erased_of_models(session, pack, since) and _holds_reports(folder() / pack.file):
        return _ROWS
    if pack.clear:
        erased = erased_on_request(session, since=since)
        if erased and erased & _payloads_in(folder() / pack.file):
            return _ERASED
    return ""


def payload_days(session: ReadSession) -> dict[str, int]:
    """For how many days the rule of each model that has one keeps payloads of the log."""
    rows = session.execute(select(DataRule.model, DataRule.payloads_days))
    return {model: days for model, days in rows if days is not None}


def kept_for(pack: EvidencePack, payload_days: dict[str, int]) -> Kept:
    """What the settings say of all packs; else a year, and with payloads no longer than the log keeps such payloads."""
    chosen = settings().keep_packs_days
    if chosen is not None:
        return Kept(chosen, "the settings say so of all packs")
    limits = [Kept(KEPT_DAYS, "nothing else is set")]
    if pack.clear:
        house = settings().audit_keep_payloads_days
        if house is not None:
            limits.append(Kept(house, "it holds payloads, which the log keeps no longer"))
        limits += [
            Kept(days, f"it holds payloads, which the rule of {model} keeps no longer")
            for model, days in sorted(payload_days.items())
            if pack.model in (None, model)
        ]
    return min(limits, key=lambda one: one.days)


def _standing(session: ReadSession, pack: EvidencePack, kept: Kept, held: bool) -> Standing:
    because = f"kept for {kept.days} days: {kept.because}"
    if pack.made_at is None:
        return Standing(None, because, held, "")
    until = pack.made_at + timedelta(days=kept.days)
    if pack.forgotten_at is not None:
        return Standing(until, because, held, pack.forgotten_because)
    over = f"its time was over at {until:%Y-%m-%d %H:%M:%S} UTC, {because}" if until <= clock.now() else ""
    return Standing(until, because, held, "" if held else why_outdated(session, pack) or over)


def _held(pack: EvidencePack, holds: dict[str, list[Hold]]) -> bool:
    """Whether a hold is on the pack itself, on the log of its model (of any, where it is about no single one), or on
    somebody whom it names."""
    logs = holds["log"] if pack.model is None else _on(holds["log"], [pack.model])
    return bool(logs or _on(holds["pack"], [pack.id]) or (pack.people and _on(holds["person"], pack.people)))


def _on(holds: list[Hold], names: Collection[str]) -> list[Hold]:
    return [one for one in holds if one.object_id == EVERYTHING or one.object_id in names]


def _erased_of_models(session: ReadSession, pack: EvidencePack, since: int) -> bool:
    """Whether rows of a model of the pack were erased since then."""
    query = (
        select(DataRequest.id)
        .join(AuditEntry, AuditEntry.object_id == DataRequest.id)
        .where(
            AuditEntry.action == Action.DATA_ERASED, AuditEntry.seq >= since, DataRequest.about == "rows",
            *([DataRequest.model == pack.model] if pack.model is not None else ()),
        )
        .limit(1)
    )  # fmt: skip
    return session.scalar(query) is not None


def _holds_reports(path: Path) -> bool:
    """Whether rows are drawn in it: reports are the only files of a pack that show any."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(one.startswith("reports/") and not one.endswith(".csv") for one in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def _payloads_in(path: Path) -> set[int]:
    """Numbers of the entries whose payload the file holds."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(ENTRIES) as lines:
            found = (json.loads(line) for line in lines)
            return {one["seq"] for one in found if one.get("payload") is not None}
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return set()
