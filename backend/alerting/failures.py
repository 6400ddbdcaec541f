"""Whose failures they are: of one version's model itself, or of what stands around it. From the request-outcome log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from backend import clock
from backend.alerting.answers import end_of_minute
from backend.alerting.tables import Incident
from backend.database.session import ReadSession
from backend.identity.actor import Actor
from backend.serving.outcome_log import outcomes_between

BEFORE: Final = timedelta(hours=1)
_OF_THE_MODEL: Final = "scoring_failed"


@dataclass(frozen=True)
class Failures:
    """Requests from an hour before an incident was opened until it ended.

    failed    that got a 5xx or 429, of all versions
    of_model  of these, on which a model itself failed
    requests  that this version answered or failed
    own       of these, on which its model failed
    """

    failed: int
    of_model: int
    requests: int
    own: int

    @property
    def is_the_model(self) -> bool:
        """Whether most failures are of a model itself: the gateway did answer."""
        return 2 * self.of_model > self.failed

    @property
    def is_the_version(self) -> bool:
        """Whether most failures are of this version's model."""
        return 2 * self.own > self.failed


def failures_around(session: ReadSession, viewer: Actor, incident: Incident, version: int) -> Failures:
    """Raises `NotFound` for a model that the viewer may not see."""
    over = incident.closed_at
    start, end = incident.opened_at - BEFORE, clock.now() if over is None else end_of_minute(over)
    place = (session, viewer, incident.model, incident.environment)
    every = outcomes_between(*place, start=start, end=end)
    mine = outcomes_between(*place, start=start, end=end, version=str(version))
    return Failures(
        every.failed, every.kinds.get(_OF_THE_MODEL, 0), mine.requests, mine.kinds.get(_OF_THE_MODEL, 0)
    )
