"""Monitors in the live path: the replay's last state decides whether an alert fires now.

Only the version that serves raises something. An alert ends when the replay ends it, or when the monitor no longer
looks; windows that could not be judged leave it.
"""

from __future__ import annotations

from contextlib import suppress

from sqlalchemy import select

from backend.alerting.service import Firing, fingerprint, fire, resolve
from backend.alerting.tables import Alert
from backend.database.session import ReadSession, WriteSession
from backend.deployment.service import champion
from backend.deployment.tables import Deployment
from backend.errors import BadInput
from backend.identity.actor import Actor
from backend.monitoring.columns import parse_spec
from backend.monitoring.monitor_history import read_history
from backend.monitoring.monitor_replay import History, Replay, replay
from backend.monitoring.monitor_tables import MonitorVersion
from backend.monitoring.monitors import MOST_POINTS, Figure, Monitor
from backend.monitoring.monitors_service import KIND, check_against, list_monitors
from backend.monitoring.track_service import read_track_record
from backend.registry.tables import Model

LOOKED_BACK = 2 * MOST_POINTS


def evaluate_monitors(session: WriteSession, actor: Actor, *, model: Model, environment: str) -> list[Alert]:
    """Fire, refresh and resolve the alerts of a model's monitors; gives those that fire now.

    A monitor that no longer fits the model's spec is passed over, and the page of monitors says so.
    """
    serving = champion(session, model.name, environment)
    if serving is None:
        return []
    firing: list[Alert] = []
    spec = parse_spec(model.spec)
    monitors: list[tuple[MonitorVersion, Monitor]] = []
    for row in list_monitors(session, actor, model.name, environment):
        if row.state == "active":
            with suppress(BadInput):
                monitors.append((row, check_against(spec, row.definition)))
    # One reading for all monitors of a size, as fifty look at the same windows.
    looked: dict[str, set[Figure]] = {}
    for _, monitor in monitors:
        looked.setdefault(monitor.size, set()).update(monitor.figures)
    histories = {
        size: read_history(
            session, model.name, environment, size=size, figures=tuple(sorted(figures)), limit=LOOKED_BACK
        )
        for size, figures in looked.items()
    }
    for row, monitor in monitors:
        history = histories[monitor.size]
        found = replay(monitor, history)
        if _fires(found, history, model, serving):
            firing.append(
                fire(session, actor, _firing(session, actor, row, monitor, found, history, model, serving))
            )
            continue
        mine = fingerprint(model.name, environment, KIND, row.key)
        for alert in session.scalars(select(Alert).where(Alert.fingerprint == mine, Alert.state == "firing")):
            ended = found.firings[-1].ended if found.firings else ""
            resolve(session, actor, alert, why=f"{monitor.name}: {ended or 'within its limits'}")
    return firing


def _fires(found: Replay, history: History, model: Model, serving: Deployment) -> bool:
    """Whether it fires in the newest window, by the version that serves and since the model is watched."""
    if not found.fires_now:
        return False
    newest = history.windows[-1]
    return (
        found.firings[-1].version == serving.version
        and newest.end > model.created_at
        and newest.end > serving.started_at
    )


def _firing(
    session: ReadSession, viewer: Actor, row: MonitorVersion, monitor: Monitor, found: Replay, history: History,
    model: Model, serving: Deployment,
) -> Firing:  # fmt: skip
    level, title = monitor.level, found.latest
    trusted = _trusted(session, viewer, monitor, model.name, row.environment, serving.version)
    if level == "page" and not monitor.may_page(trusted=trusted):
        level, title = "ticket", f"{title}; a ticket, because this estimator has been wrong"
    at = found.latest_at
    window = history.windows[at]
    trace = next((one for one in found.traces if one.is_beyond(at)), found.traces[0])
    figure, value, limit = trace.condition.figure, trace.number(at), trace.limit(at)
    return Firing(
        model=model.name, environment=row.environment, version=serving.version, kind=KIND, level=level, title=title,
        subject=row.key, since=found.firings[-1].start.start,
        details={
            "monitor": row.key, "monitor_version": row.number, "name": monitor.name, "kind": figure.kind,
            "column": figure.column, "statistic": figure.statistic, "segment": figure.segment, "value": value,
            "threshold": limit, "window": window.start.isoformat(), "window_end": window.end.isoformat(),
            "size": monitor.size, "columns": sorted({one.figure.column for one in monitor.conditions} - {""}),
        },
    )  # fmt: skip


def _trusted(
    session: ReadSession, viewer: Actor, monitor: Monitor, model: str, environment: str, version: int
) -> frozenset[str]:
    """Of the metrics whose estimates the monitor looks at, those whose estimates may page: right on the version's
    reference, and not wrong since."""
    metrics = {one.statistic for one in monitor.figures if one.kind == "estimated"}
    return frozenset(
        metric
        for metric in metrics
        if read_track_record(
            session, viewer, model, environment, version=version, size=monitor.size, metric=metric
        ).may_page
    )
