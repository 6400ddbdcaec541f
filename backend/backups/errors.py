"""What can be wrong with a backup, its key or the place it is restored to."""

from __future__ import annotations

from backend.errors import BadInput, Conflict, Unavailable


class KeyUnusable(BadInput):
    """There is no key of backups, it is none, or it is not the one that this backup was made with."""

    title = "The key of the backups cannot be used"


class BackupDamaged(BadInput):
    """The file is cut off, was altered, is no backup, or does not hold what its manifest names."""

    title = "The backup cannot be used"


class NotEmpty(Conflict):
    """The home, the database or another place already holds something. Nothing was changed."""

    title = "Not empty"


class BackupFailed(Unavailable):
    """What was to be saved changed or went away meanwhile, or cannot be read. No backup was made."""

    title = "No backup was made"
