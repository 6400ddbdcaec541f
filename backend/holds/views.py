"""Holds as pages show them: what each keeps now, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from backend.audit.findings import HELD_LOST
from backend.audit.tables import AuditFinding
from backend.database.session import ReadSession
from backend.holds.artefacts import held_artefacts
from backend.holds.tables import EVERYTHING, Hold
from backend.holds.windows import windows_of
from backend.identity.people import names_of


def hold_views(session: ReadSession, holds: Sequence[Hold]) -> list[dict[str, Any]]:
    """Plain data for pages, with who placed each by name, what it keeps, and what of that is gone (`lost`)."""
    names = names_of(session, {one.placed_by for one in holds})
    open_artefacts = any(one.kind == "artefact" and one.released_at is None for one in holds)
    files = {one.name: one.digest for one in held_artefacts(session)} if open_artefacts else {}
    lost = dict(
        session.execute(
            select(AuditFinding.subject, AuditFinding.title).where(
                AuditFinding.kind == HELD_LOST, AuditFinding.state == "open"
            )
        ).all()
    ) if open_artefacts else {}  # fmt: skip
    return [
        {"id": one.id, "kind": one.kind, "object_id": one.object_id, "model": one.model,
         "incident_id": one.incident_id, "reason": one.reason, "placed_by": names[one.placed_by],
         "placed_at": one.placed_at, "released_at": one.released_at, "released_because": one.released_because,
         "keeps": _keeps(session, one, files) if one.released_at is None else "",
         "lost": [text for name, text in sorted(lost.items()) if _is_of(one, name)]}
        for one in holds
    ]  # fmt: skip


def _is_of(hold: Hold, name: str) -> bool:
    return hold.kind == "artefact" and hold.released_at is None and hold.object_id in (name, EVERYTHING)


def _keeps(session: ReadSession, hold: Hold, files: dict[str, str]) -> str:
    every, model = hold.object_id == EVERYTHING, hold.model or hold.object_id
    if hold.kind == "artefact":
        if every:
            return f"the files of {len(files):,} versions; looked at every day"
        return f"files {files.get(hold.object_id, '')[:19]}\u2026; looked at every day"
    if hold.kind == "windows":
        many, counted = windows_of(session, None if every else model)
        cut = "; those of N rows are cut anew when rows go: hold the predictions too" if counted else ""
        return f"{many:,} computed windows with profiles and points, which do not shrink, and counts of trials{cut}"
    if hold.kind == "predictions":
        return "every row that is stored" if every else f"every row of {model}, its shadows and explanations"
    if hold.kind == "log":
        return (
            "the text of all entries, and whom they name" if every else f"the text of entries about {model}"
        )
    if hold.kind == "pack":
        return "the file, also when somebody in it is erased"
    return "the account and the text of entries about it, or the rows of a data subject"
