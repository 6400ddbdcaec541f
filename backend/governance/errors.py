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


class ChangeAltered(Conflict):
    """The stored change is not the one that was asked for. `details["differs"]` names each part."""

    title = "This change is not as it was asked for"


class PolicyAltered(Conflict):
    """The stored revision of the policy is not the document that was put in force."""

    title = "The policy is not as it was put in force"


class GateFailed(Conflict):
    """A required gate says no. `details["gates"]` names each."""

    title = "A required gate failed"


class GateInconclusive(Conflict):
    """A required gate could not tell. Whoever approves accepts it by name, or it is evaluated again."""

    title = "A required gate is inconclusive"


class NotAllowedByPolicy(NotAllowed):
    title = "The policy does not allow this change"


class OwnData(NotAllowed):
    title = "Nobody decides on a version trained on data they own"


class ReviewOutstanding(Conflict):
    """A break-glass change of the same team has not been reviewed by somebody else."""

    title = "A break-glass change waits for its review"


class WayBackClosed(Conflict):
    """The return that was approved in advance cannot be used any more; says why."""

    title = "This way back is closed"


class RolloutNotRunning(Conflict):
    """The rollout is not where this could be told to it; says where it is."""

    title = "The rollout does not wait for this"


class ChangeOvertaken(Conflict):
    """A change that could not wait aborted this one; its run does nothing more."""

    title = "Another change took over"


class OnlyByChange(NotAllowed):
    """The policy lets this be altered only by a change that somebody else approves."""

    title = "Changed only by an approved change"


class ReturnCannotScore(Conflict):
    """The version to return to does not score the rows that are asked about now; nothing was moved."""

    title = "The earlier version cannot score what is asked now"
