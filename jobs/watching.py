"""Watching one stage of a rollout: waiting durably, looking at what was counted, and taking what people say.

The wait is one step of the run, and its end stands in the database: a worker that takes the run over waits only for
what is left. Everything that a look does is one transaction with the check that the run is still ours.
"""

from __future__ import annotations

import time
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any, Final

from backend.database.session import reading, writing
from backend.deployment.segments import Segments
from backend.errors import BadInput
from backend.governance import execution, rollouts
from backend.governance.rollout_analysis import Arm, Comparison, compare
from backend.governance.tables import Change
from backend.identity.actor import system_actor
from backend.monitoring.columns import ModelSpec, parse_spec
from backend.monitoring.performance import read_classes
from backend.registry.tables import Model
from backend.settings import settings
from jobs.ownership import forgive_recoveries
from jobs.runtime import Run

LOOK_S: Final = 0.5
WRITE_S: Final = 5.0  # how often the numbers of a stage are written while nothing happens
COMPARE_S: Final = 30.0  # how often an A/B metric is read from the observation store

ACTOR = system_actor("worker")


def watch_stage(run: Run, change_id: int, number: int) -> dict[str, str]:
    """Wait until the stage is over; gives its verdict (success, failure or skipped) and why."""
    with writing() as session:
        run.require_owned(session)
        forgive_recoveries(session, run.run_id)
        rollouts.begin_watch(session, ACTOR, change_id, number)
    with reading() as session:
        change, row, since = rollouts.watched_since(session, change_id, number)
        rule = rollouts.rule_of(change)
    metric = str(rule.get("metric") or "") if rule.get("strategy") == "ab" and row.role == "canary" else ""
    model, environment = change.model or "", change.environment
    arms = (change.to_version or 0, change.from_version or 0)
    written_at, compared_at, last = 0.0, 0.0, ""
    comparison: Comparison | None = None
    while True:
        run.require_owned()
        now = time.monotonic()
        if metric and now - compared_at >= min(COMPARE_S, max(1.0, float(rule["bake_s"]) / 5)):
            comparison = compare_arms(
                model, environment, metric, *arms, since=since, segments=rule.get("segments") or {}
            )
            compared_at = now
        with reading() as session:
            rollouts.require_going(session.get_one(Change, change_id))
            said = rollouts.waiting_commands(session, change_id)
            seen = rollouts.analyse(session, change_id, number, comparison)
        if said or (seen.verdict or "") != last or now - written_at >= WRITE_S:
            with writing() as session:
                run.require_owned(session)
                over = execution.settle_stage(session, ACTOR, change_id, number, seen)
            if over is not None:
                return over
            written_at, last = now, seen.verdict or ""
        time.sleep(LOOK_S)


def compare_arms(
    model: str, environment: str, metric: str, challenger: int, champion: int, *, since: datetime,
    segments: Segments | None = None,
) -> Comparison | None:  # fmt: skip
    """The metric of both versions over the labelled rows they answered since a moment, of these segments alone; None
    while there are too few.

    Rows count as independent: where many rows share a key that decides who answers, the test is too sure. Which labels
    of a binary model are its positive class, its spec says, as everywhere else; None, too, where nobody can tell.
    """
    from backend.observations.reader import Filter, scan

    with reading() as session:
        spec = parse_spec(session.get_one(Model, model).spec)
    where = Filter(start=since, environments=[environment], roles=["champion", "canary"])
    found: dict[tuple[str, int], Arm] = {}
    columns = ["role", "version", "score", "prediction", "label", "label_status", *(segments or {})]
    rows: Any = scan(settings().observations, model, where, columns=columns)
    known = _of_segments(rows.filter("label_status = 'known'"), segments or {})
    value = _value(metric, spec, known)
    if value is None:
        return None
    for role, version, count, mean, variance in known.aggregate(
        f"role, version, count({value}), avg({value}), coalesce(var_samp({value}), 0)", "role, version"
    ).fetchall():
        if count:
            found[role, version] = Arm(int(count), float(mean), float(variance))
    tried, served = found.get(("canary", challenger)), found.get(("champion", champion))
    return None if tried is None or served is None else compare(metric, tried, served)


def _of_segments(rows: Any, segments: Segments) -> Any:
    import duckdb

    parts = [
        duckdb.ColumnExpression(column).isin(*(duckdb.ConstantExpression(value) for value in values))
        for column, values in segments.items()
    ]
    return rows.filter(reduce(or_, parts)) if parts else rows


def _value(metric: str, spec: ModelSpec, known: Any) -> str | None:
    """What the metric is of one row, in SQL; None where it has no meaning for these rows."""
    if metric == "absolute_error":
        return "abs(try_cast(prediction AS DOUBLE) - try_cast(label AS DOUBLE))"
    if spec.task != "binary":
        return "(prediction = label)::INT" if metric == "accuracy" else None
    labels = [str(row[0]) for row in known.aggregate("label", "label").fetchall()]
    try:
        classes = read_classes(labels, spec.positive, "label") if labels else ()
    except BadInput:
        return None
    positive = ", ".join(
        "'" + label.replace("'", "''") + "'" for label, one in zip(labels, classes, strict=True) if one == 1
    )
    truth = f"(label IN ({positive}))" if positive else "FALSE"
    return {"accuracy": f"((prediction = '1') = {truth})::INT", "brier": f"pow(score - {truth}::INT, 2)"}.get(
        metric
    )
