"""What an approval of a change binds to of a version's card."""

from __future__ import annotations

from pathlib import Path

from backend.cards.document import source_digest, source_of
from backend.cards.versions import approved_card
from backend.database.session import ReadSession
from backend.errors import NotFound
from backend.governance.digests import digest_of
from backend.registry.artefacts import file_digest
from backend.registry.tables import Version


def bound_card(session: ReadSession, version: Version) -> str | None:
    """The digest of the card that holds: the file it came with, and the approved version where there is one.

    A draft is nobody's word yet, and approving the very text of the file alters no text: neither changes anything here.
    Digests are taken of file and text themselves, not of
    what was noted about them. None: the file is gone.
    """
    path = Path(version.card_path)
    if not path.is_file():
        return None
    file = file_digest(path)
    approved = approved_card(session, version.model, version.version)
    if approved is None or approved.text == _source(path):
        return file
    return digest_of({"file": file, "approved": source_digest(approved.text), "number": approved.number})


def _source(path: Path) -> str | None:
    try:
        return source_of(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def card_text(session: ReadSession, version: Version) -> str:
    """The text of the card that holds: the approved version, else the file. Raises `NotFound` without either."""
    approved = approved_card(session, version.model, version.version)
    if approved is not None:
        return approved.text
    try:
        return Path(version.card_path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise NotFound(f"the card of version {version.version} is gone: {error}") from error
