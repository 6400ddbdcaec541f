"""What can be wrong with a change, as facts."""

from __future__ import annotations

from backend.errors import BadInput, Conflict, NotAllowed, NotFound


class ChangeNotFound(NotFound):
    title = "No such change"


class NothingToChange(BadInput):
    title = "Nothing to change"


class NoHealthyVersion(BadInput):
    title = "No version is known to have served healthily"


class ChangeAlreadyOpen(Conflict):
    title = "A change is already open"


class ChangeNotWaiting(Conflict):
    title = "This change no longer waits for decisions"


class DecidedAlready(Conflict):
    title = "You have decided already"


class OwnRequest(NotAllowed):
    title = "Nobody decides on their own request"


class OwnVersion(NotAllowed):
    title = "Nobody decides on a version they trained"


class ApprovalVoid(Conflict):
    """The approval no longer covers what would run. `details["differs"]` names each part that moved."""

    title = "The approval is void"
