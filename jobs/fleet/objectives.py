"""What the fleet's models promise: that requests are answered, and that performance keeps to its limit.

Requests are drawn, hour by hour, over the windows' rows; windows within their limit are counted as they are of any
model. All are judged as they stood when the fleet ends.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from sqlalchemy import func, select

from backend.database.session import ReadSession, WriteSession, reading, writing
from backend.monitoring.performance import PRIMARY
from backend.slo.burn_rates import Counts
from backend.slo.evaluation import judge_all, readings_due, store_judgements, store_readings
from backend.slo.objectives import Kind
from backend.slo.objectives_service import define_objective
from backend.slo.openslo import parse_openslo
from backend.slo.slots import HOUR, Slot
from backend.slo.sources import GATEWAY, Asked, Reading
from backend.slo.sources.store import count_stored
from backend.slo.tables import ObjectiveState
from jobs.fleet.figures import start_of
from jobs.fleet.governed import ACTOR, WHY
from jobs.fleet.plan import FleetPlan, ModelPlan, plan_model

AT_ONCE: Final = 100
MOST_DAYS: Final = 31
FAILING_EVERY: Final = 40
_DOCUMENT: Final = """apiVersion: openslo/v1
kind: SLO
metadata:
  name: {model}-answers
  displayName: Requests are answered
  annotations: {{warrant/environment: {environment}}}
spec:
  service: {model}
  indicator:
    metadata: {{name: {model}-answers}}
    spec:
      ratioMetric:
        counter: true
        bad: {{metricSource: {{type: Warrant, spec: {{events: failed_requests}}}}}}
        total: {{metricSource: {{type: Warrant, spec: {{events: requests}}}}}}
  timeWindow: [{{duration: 28d, isRolling: true}}]
  budgetingMethod: Occurrences
  objectives: [{{target: 0.995}}]
---
apiVersion: openslo/v1
kind: SLO
metadata:
  name: {model}-holds
  displayName: Performance keeps to its limit
  annotations: {{warrant/environment: {environment}}}
spec:
  service: {model}
  indicator:
    metadata: {{name: {model}-holds}}
    spec:
      ratioMetric:
        counter: true
        good:
          metricSource:
            type: Warrant
            spec: {{events: windows_within_limit, metric: {metric}, points: realised, size: 1d}}
        total: {{metricSource: {{type: Warrant, spec: {{events: windows}}}}}}
  timeWindow: [{{duration: 28d, isRolling: true}}]
  budgetingMethod: Occurrences
  objectives: [{{target: 0.9}}]
"""


def promise(session: WriteSession, one: ModelPlan, environment: str) -> None:
    """The model's objectives, not counted yet."""
    text = _DOCUMENT.format(model=one.name, environment=environment, metric=PRIMARY[one.task])
    for objective in parse_openslo(text, file="seed-fleet"):
        define_objective(session, ACTOR, objective=objective, why=WHY)


def count_objectives(plan: FleetPlan) -> None:
    """Count and judge what is not counted yet."""
    places = {plan_model(plan, index).name: index for index in range(plan.models)}
    with reading() as session:
        known = set(session.scalars(select(ObjectiveState.objective)))
        asked = [one for one in readings_due(session, ACTOR, now=plan.until) if one.key not in known]
    for first in range(0, len(asked), AT_ONCE):
        some = asked[first : first + AT_ONCE]
        with reading() as session:
            found = {one.key: _read(session, plan, places, one) for one in some}
        with writing() as session:
            store_readings(session, ACTOR, some, found, now=plan.until)
    with reading() as session:
        waiting = select(func.count()).where(ObjectiveState.judged_at.is_(None))
        judged = judge_all(session, ACTOR, now=plan.until) if session.scalar(waiting) else []
    with writing() as session:
        store_judgements(session, ACTOR, judged, now=plan.until)


def _read(session: ReadSession, plan: FleetPlan, places: dict[str, int], asked: Asked) -> Reading:
    if asked.objective.sli.kind is Kind.AVAILABILITY:
        return Reading(tuple(_requests(plan, plan_model(plan, places[asked.objective.model]))), GATEWAY)
    return count_stored(session, ACTOR, asked)


def _requests(plan: FleetPlan, one: ModelPlan) -> list[Slot]:
    """Answered and failed requests of the last days, by the hour."""
    draw = np.random.default_rng([plan.seed, one.index, 2])
    slots = []
    days = min(plan.days, MOST_DAYS)
    failing = one.index % FAILING_EVERY == 13
    for age in range(days - 1, -1, -1):
        begins = int(start_of(plan, plan.days - 1 - age).timestamp())
        totals = draw.poisson(one.rows / 24, 24)
        bad = draw.binomial(totals, 0.06 if failing and age < 2 else 0.0005)
        slots += [
            Slot(
                begins + hour * HOUR,
                HOUR,
                Counts(float(totals[hour] - bad[hour]), float(totals[hour]), float(HOUR)),
            )
            for hour in range(24)
        ]
    return slots
