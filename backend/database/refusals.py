"""A database that cannot do what it is asked, in words: its disk is full, it cannot be written, it is away."""

from __future__ import annotations

from typing import Final

from sqlalchemy.exc import DBAPIError

from backend.errors import Unavailable

DISK_FULL: Final = "53100"
READ_ONLY: Final = "25006"


class DatabaseRefuses(Unavailable):
    title = "The database cannot do that now"


def unavailable(error: DBAPIError) -> DatabaseRefuses:
    """What somebody is told whose request the database could not carry out. The whole transaction was taken back, but
    where the connection was lost: then nobody knows, for it may have been lost after the commit."""
    state = getattr(error.orig, "sqlstate", None)
    said = str(error.orig)
    if state == DISK_FULL or "disk is full" in said:
        reason = "the disk of the database is full; whoever runs Warrant has to free some space"
    elif state == READ_ONLY or "readonly" in said or "read-only" in said:
        reason = "the database cannot be written; whoever runs Warrant has to look at its disk and its server"
    else:
        return DatabaseRefuses(
            "the database does not answer; look in a minute whether it was done, and try again"
        )
    return DatabaseRefuses(f"{reason}. Nothing was changed")
