"""Counts what objectives are about since the last look, and judges them: budgets, states and alerts."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from backend import clock
from backend.database.session import ReadSession, WriteSession, reading, writing
from backend.identity.actor import Actor
from backend.queue import EVALUATE_SLOS
from backend.settings import settings
from jobs.runtime import Run, reason_of, workflow

if TYPE_CHECKING:
    from backend.slo.sources import Asked, Reading

log = logging.getLogger("warrant.jobs")

STEPS = ("count", "judge")


@workflow(EVALUATE_SLOS)
def evaluate_slos(run: Run) -> None:
    """One look at every objective. A source that is away leaves its objectives as they were, and says so."""
    run.progress(0.1, "counting what objectives are about")
    counted = run.step("count", lambda: count_due(run.actor, own=run.require_owned))
    run.progress(0.6, f"judging {counted} objectives")
    run.step("judge", lambda: judge_due(run.actor, own=run.require_owned))


def count_due(
    actor: Actor, *, now: datetime | None = None, own: Callable[[WriteSession], None] = lambda _: None
) -> int:
    """Read each objective's source and store what it counted. Returns how many objectives there are.

    own  called first in each write transaction: stops an execution that has lost its run
    """
    from backend.slo.evaluation import readings_due, store_readings
    from backend.slo.sources import PROMETHEUS, Reading, source_of
    from backend.slo.sources.prometheus import count_in_prometheus

    now = now or clock.now()
    url = settings().prometheus_url
    found: dict[str, Reading] = {}
    with reading() as session:
        asked = readings_due(session, actor, now=now)
        sources = {one.key: source_of(one.objective.sli.kind, prometheus=bool(url)) for one in asked}
        for one in asked:
            if sources[one.key] != PROMETHEUS:
                found[one.key] = _counted(session, actor, one, sources[one.key])
    elsewhere = [one for one in asked if sources[one.key] == PROMETHEUS]
    if url and elsewhere:
        found |= count_in_prometheus(url, elsewhere)
    elif elsewhere:
        problem = "it asks a Prometheus, and none is configured: set WARRANT_PROMETHEUS_URL"
        found |= {one.key: Reading((), PROMETHEUS, problem) for one in elsewhere}
    with writing() as session:
        own(session)
        store_readings(session, actor, asked, found, now=now)
    return len(asked)


def _counted(session: ReadSession, actor: Actor, asked: Asked, source: str) -> Reading:
    """One that cannot be counted says why, and holds up no other: they are judged, and page."""
    from backend.slo.sources import GATEWAY, Reading
    from backend.slo.sources.gateway import count_requests
    from backend.slo.sources.store import count_stored

    try:
        return (count_requests if source == GATEWAY else count_stored)(session, actor, asked)
    except SQLAlchemyError:
        raise
    except Exception as error:
        log.exception("objective %s cannot be counted; the others go on", asked.key)
        return Reading((), source, f"it cannot be counted: {reason_of(error)}")


def judge_due(
    actor: Actor, *, now: datetime | None = None, own: Callable[[WriteSession], None] = lambda _: None
) -> dict[str, int]:
    """Judge by what is stored. Returns how many objectives are in each state."""
    from backend.slo.evaluation import judge_all, store_judgements

    now = now or clock.now()
    with reading() as session:
        judged = judge_all(session, actor, now=now)
    with writing() as session:
        own(session)
        return store_judgements(session, actor, judged, now=now)
