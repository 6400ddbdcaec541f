"""A home into which a backup was put in part: nothing may start on it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from backend.errors import Conflict

RESTORING: Final = (
    ".restoring"  # a restore works in this folder of the home, and takes it away as its last act
)


class RestoreCutShort(Conflict):
    """A restore is under way, or ended before it was done."""

    title = "A restore is not finished"


def require_whole(home: Path) -> None:
    """Raise `RestoreCutShort` while a part of a backup lies in this home."""
    if (home / RESTORING).is_dir():
        raise RestoreCutShort(
            f"a restore into {home} is under way or was cut short, so nothing starts on it; if it was cut short, empty "
            "the folder (and the database, where it is PostgreSQL), then restore again"
        )
