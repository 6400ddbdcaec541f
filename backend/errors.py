"""Every error Warrant raises on purpose, in one tree.

    WarrantError                 something a person can act on
    ├── NotFound           404   the object is not there, or the viewer may not know that it is
    ├── NotAllowed         403   signed in, but the role lacks the permission
    ├── NotSignedIn        401
    ├── BadInput           422   the request is wrong; nothing was changed
    ├── Conflict           409   the request was right, the world has moved
    │   └── ChangedSinceSeen     the digest the person saw is no longer the object's
    ├── TooMany            429   slow down
    └── Unavailable        503   a dependency is away; try again

Feature packages add their own facts below these. Pages, API and CLI each render the tree in one place.
"""

from __future__ import annotations

from typing import Any

from backend.addresses import without_credentials


class WarrantError(Exception):
    """Base of all. `message` says what, where and what to do; `details` is machine-readable."""

    status = 500
    title = "Warrant error"
    exit_code = 2

    def __init__(self, message: str, **details: Any) -> None:
        message = without_credentials(message)  # shown, stored and logged from here on
        super().__init__(message)
        self.message = message
        self.details = details


class NotFound(WarrantError):
    status = 404
    title = "Not found"


class NotAllowed(WarrantError):
    status = 403
    title = "Not allowed"


class NotSignedIn(WarrantError):
    status = 401
    title = "Not signed in"


class BadInput(WarrantError):
    status = 422
    title = "Bad input"


class Conflict(WarrantError):
    status = 409
    title = "Conflict"


class ChangedSinceSeen(Conflict):
    title = "Changed since you looked"


class TooMany(WarrantError):
    status = 429
    title = "Too many requests"


class Unavailable(WarrantError):
    status = 503
    title = "Unavailable"
