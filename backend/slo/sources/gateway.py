"""Availability and latency from the gateways' own log of what became of requests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from backend.database.session import ReadSession
from backend.errors import BadInput
from backend.identity.actor import Actor
from backend.serving.outcome_log import outcomes_by_step
from backend.serving.outcomes import Outcomes
from backend.slo.burn_rates import Counts
from backend.slo.objectives import Latency, Objective
from backend.slo.slots import Slot
from backend.slo.sources import GATEWAY, Asked, Reading, as_budgeted, steps_of


def count_requests(session: ReadSession, viewer: Actor, asked: Asked) -> Reading:
    """Requests of the objective's model, in slots. One answered with a 5xx or 429 is bad; any other 4xx was served."""
    objective, slots = asked.objective, []
    try:
        for start, end, length in steps_of(asked):
            found = outcomes_by_step(
                session, viewer, objective.model, objective.environment,
                start=datetime.fromtimestamp(start, UTC), end=datetime.fromtimestamp(end, UTC),
                step=timedelta(seconds=length),
            )  # fmt: skip
            slots += [Slot(int(at.timestamp()), length, _counts(objective, seen)) for at, seen in found]
    except BadInput as error:
        return Reading((), GATEWAY, error.message)
    return Reading(as_budgeted(objective, slots), GATEWAY)


def _counts(objective: Objective, seen: Outcomes) -> Counts:
    total = float(seen.requests)
    if isinstance(objective.sli, Latency):
        return Counts(float(seen.within(float(objective.sli.threshold_ms) / 1000)), total, seen.observed_s)
    return Counts(total - seen.failed, total, seen.observed_s)
