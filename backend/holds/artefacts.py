"""What a hold keeps of the files of a version.

Warrant deletes no registered artefact; its own copies, which gateway and jobs load from, it clears away, but for those
on hold. Others can delete what they keep elsewhere: held files are looked at every day, and what is gone or altered is
a finding.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from backend.database.session import ReadSession
from backend.errors import WarrantError
from backend.holds.tables import EVERYTHING, Hold
from backend.registry.artefacts import artefact_digest, local_folder
from backend.registry.tables import Version


@dataclass(frozen=True)
class HeldArtefact:
    """The files of a version that is on hold. name: as the hold names it, model/version."""

    name: str
    model: str
    uri: str
    digest: str

    @property
    def problem(self) -> str:
        """Why the files are not what was recorded; empty where they are, or cannot be read here. Reads them all."""
        folder = local_folder(self.uri, self.digest)
        if folder is None:
            return f"nothing is at {self.uri}" if "://" not in self.uri.removeprefix("file://") else ""
        try:
            found = artefact_digest(folder)
        except (WarrantError, OSError) as error:
            return str(error)
        return (
            ""
            if found == self.digest
            else f"they are {found[:19]}\u2026, and {self.digest[:19]}\u2026 was recorded"
        )


def held_artefacts(session: ReadSession) -> list[HeldArtefact]:
    """Every version whose files are on hold, by name."""
    names = set(
        session.scalars(select(Hold.object_id).where(Hold.kind == "artefact", Hold.released_at.is_(None)))
    )
    if not names:
        return []
    rows = session.scalars(select(Version).order_by(Version.model, Version.version))
    return [
        HeldArtefact(f"{row.model}/{row.version}", row.model, row.uri, row.artefact_digest)
        for row in rows
        if EVERYTHING in names or f"{row.model}/{row.version}" in names
    ]
