"""Monitors that people write: making, changing, pausing, deleting and bringing back, each with its audit entry."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from backend import clock
from backend.alerting.service import fingerprint, resolve
from backend.alerting.tables import Alert
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.base import new_id
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput, ChangedSinceSeen, Conflict, NotFound
from backend.governance.direct_edits import refuse_direct_edit
from backend.identity.actor import Actor
from backend.identity.reach import allow, see
from backend.identity.roles import Permission
from backend.monitoring.columns import ModelSpec, parse_spec
from backend.monitoring.monitor_history import MOST_WINDOWS, read_history
from backend.monitoring.monitor_replay import Replay, replay
from backend.monitoring.monitor_tables import MonitorVersion
from backend.monitoring.monitors import Monitor, parse_monitor
from backend.monitoring.rules import parse_rules
from backend.monitoring.tables import WindowState
from backend.queue import JobRun
from backend.registry.service import get_model
from backend.registry.tables import Model

KIND = "monitor"
MOST_MONITORS = 50
LONGEST_WHY = 2000


def create_monitor(
    session: WriteSession, actor: Actor, *, model: str, environment: str, definition: Mapping[str, Any], why: str = ""
) -> MonitorVersion:  # fmt: skip
    """Store a monitor; it is looked at from the next computation on. Raises `BadInput`, or `Conflict` for a name
    that another monitor of the model has."""
    allow(session, actor, Permission.WRITE_MONITORS)
    found = get_model(session, actor, model)
    refuse_direct_edit(session, actor, found, environment)
    monitor = check_definition(found, definition)
    if len(_present(session, model, environment)) >= MOST_MONITORS:
        raise Conflict(f"{model} has {MOST_MONITORS} monitors; delete one that nobody needs")
    row = MonitorVersion(
        key=new_id("mon"), number=1, model=model, environment=environment, name=monitor.name,
        definition=monitor.to_json(), state="active", why=_why(why), made_by=actor.person_row, made_at=clock.now(),
    )  # fmt: skip
    return _add(session, actor, row, Action.MONITOR_CREATED, before=None)


def change_monitor(
    session: WriteSession, actor: Actor, key: str, *, definition: Mapping[str, Any], seen: int, why: str = ""
) -> MonitorVersion:
    """Store another definition as the next version. `seen` is the version that the person looked at."""
    allow(session, actor, Permission.WRITE_MONITORS)
    row = _seen(session, actor, key, seen)
    monitor = check_definition(get_model(session, actor, row.model), definition)
    if monitor.to_json() == row.definition:
        return row
    return _next(session, actor, row, Action.MONITOR_CHANGED, definition=monitor.to_json(), why=why)


def restore_monitor(
    session: WriteSession, actor: Actor, key: str, *, number: int, seen: int, why: str = ""
) -> MonitorVersion:
    """Bring back the definition of an earlier version, as the next one. Brings back a deleted monitor too."""
    allow(session, actor, Permission.WRITE_MONITORS)
    row = _seen(session, actor, key, seen)
    earlier = session.scalars(
        select(MonitorVersion).where(MonitorVersion.key == key, MonitorVersion.number == number)
    ).one_or_none()
    if earlier is None:
        raise NotFound(f"the monitor has no version {number}")
    monitor = check_definition(get_model(session, actor, row.model), earlier.definition)
    return _next(
        session, actor, row, Action.MONITOR_CHANGED, definition=monitor.to_json(), state="active",
        why=why or f"version {number} again",
    )  # fmt: skip


def pause_monitor(
    session: WriteSession, actor: Actor, key: str, *, paused: bool, seen: int, why: str = ""
) -> MonitorVersion:
    """Stop looking, or look again. What fires by it is resolved when it is paused."""
    allow(session, actor, Permission.WRITE_MONITORS)
    row = _seen(session, actor, key, seen)
    state = "paused" if paused else "active"
    if row.state == "deleted":
        raise Conflict("the monitor is deleted; bring back one of its versions instead")
    if row.state == state:
        return row
    action = Action.MONITOR_PAUSED if paused else Action.MONITOR_RESUMED
    changed = _next(session, actor, row, action, state=state, why=why)
    if paused:
        _silence(session, actor, changed, "the monitor was paused")
    return changed


def delete_monitor(
    session: WriteSession, actor: Actor, key: str, *, seen: int, why: str = ""
) -> MonitorVersion:
    """Delete a monitor: its versions stay readable, and each can be brought back. Deleting again does nothing."""
    allow(session, actor, Permission.WRITE_MONITORS)
    row = _seen(session, actor, key, seen)
    if row.state == "deleted":
        return row
    gone = _next(session, actor, row, Action.MONITOR_DELETED, state="deleted", why=why)
    _silence(session, actor, gone, "the monitor was deleted")
    return gone


def list_monitors(
    session: ReadSession, viewer: Actor, model: str, environment: str, *, deleted: bool = False
) -> list[MonitorVersion]:
    """The model's monitors as they are now, by name."""
    get_model(session, viewer, model)
    return _present(session, model, environment, deleted=deleted)


def get_monitor(session: ReadSession, viewer: Actor, key: str) -> MonitorVersion:
    """The present version of a monitor."""
    see(session, viewer)
    row = session.scalars(
        select(MonitorVersion).where(MonitorVersion.key == key, MonitorVersion.superseded_at.is_(None))
    ).one_or_none()
    if row is None:
        raise NotFound("there is no such monitor that you may see")
    get_model(session, viewer, row.model)
    return row


def monitor_versions(
    session: ReadSession, viewer: Actor, key: str, *, limit: int | None = None, offset: int = 0
) -> list[MonitorVersion]:
    """Every version of a monitor, newest first."""
    get_monitor(session, viewer, key)
    query = select(MonitorVersion).where(MonitorVersion.key == key).order_by(MonitorVersion.number.desc())
    return list(session.scalars(query.limit(limit).offset(offset)))


def newest_alerts(session: ReadSession, viewer: Actor, model: str, environment: str) -> dict[str, Alert]:
    """The newest alert of each of a model's monitors, by key."""
    get_model(session, viewer, model)
    mine = fingerprint(model, environment, KIND, "")
    found = session.scalars(
        select(Alert)
        .where(Alert.model == model, Alert.environment == environment, Alert.kind == KIND)
        .order_by(Alert.fired_at, Alert.id)
    )
    return {alert.fingerprint.removeprefix(mine): alert for alert in found}


def looked_at(session: ReadSession, viewer: Actor, model: str, environment: str) -> datetime | None:
    """When monitors of a model were last looked at: its newest computation that ended; None before the first."""
    get_model(session, viewer, model)
    ended = session.scalar(
        select(func.max(JobRun.finished_at)).where(
            JobRun.name == "compute_metrics", JobRun.subject == model, JobRun.state == "succeeded"
        )
    )
    computed = session.scalar(
        select(func.max(WindowState.computed_at)).where(
            WindowState.model == model, WindowState.environment == environment
        )
    )
    return max((one for one in (ended, computed) if one is not None), default=None)


def replay_definition(
    session: ReadSession,
    viewer: Actor,
    *,
    model: str,
    environment: str,
    definition: Mapping[str, Any],
    windows: int = MOST_WINDOWS,
) -> tuple[Monitor, Replay]:
    """When a proposed monitor would have fired over the newest `windows` stored windows. Stores nothing."""
    monitor = check_definition(get_model(session, viewer, model), definition)
    history = read_history(
        session, model, environment, size=monitor.size, figures=monitor.figures, limit=windows
    )
    return monitor, replay(monitor, history)


def check_definition(model: Model, definition: Mapping[str, Any]) -> Monitor:
    """The definition as a value, checked against the model's spec. Raises `BadInput`."""
    return check_against(parse_spec(model.spec), definition)


def check_against(spec: ModelSpec, definition: Mapping[str, Any]) -> Monitor:
    """The same for a spec that is parsed already: parsing takes longer than checking."""
    columns = [column.name for column in spec.columns] + [
        rule.text for rule in parse_rules(spec.rules, spec.columns)
    ]
    return parse_monitor(definition, sizes=spec.sizes, min_rows=spec.min_rows, columns=columns)


def sizes_of(model: Model) -> tuple[str, ...]:
    """The sizes of the windows that are computed of a model; the first is the trend's."""
    return parse_spec(model.spec).sizes


def _present(
    session: ReadSession, model: str, environment: str, *, deleted: bool = False
) -> list[MonitorVersion]:
    query = select(MonitorVersion).where(
        MonitorVersion.model == model, MonitorVersion.environment == environment,
        MonitorVersion.superseded_at.is_(None),
    )  # fmt: skip
    if not deleted:
        query = query.where(MonitorVersion.state != "deleted")
    return list(session.scalars(query.order_by(MonitorVersion.name)))


def _seen(session: WriteSession, actor: Actor, key: str, seen: int) -> MonitorVersion:
    """The present version, locked, if it is the one that was looked at."""
    there = get_monitor(session, actor, key)
    refuse_direct_edit(session, actor, get_model(session, actor, there.model), there.environment)
    row = session.scalars(
        select(MonitorVersion)
        .where(MonitorVersion.key == key, MonitorVersion.superseded_at.is_(None))
        .with_for_update()
    ).one_or_none()
    if row is None or row.number != seen:
        raise ChangedSinceSeen("somebody has changed this monitor since you looked at it", seen=seen)
    return row


def _next(
    session: WriteSession, actor: Actor, row: MonitorVersion, action: Action, *, why: str, state: str | None = None,
    definition: dict[str, Any] | None = None,
) -> MonitorVersion:  # fmt: skip
    now = clock.now()
    row.superseded_at = now
    session.flush()
    new = MonitorVersion(
        key=row.key, number=row.number + 1, model=row.model, environment=row.environment,
        name=(definition or row.definition)["name"], definition=definition or row.definition,
        state=state or row.state, why=_why(why), made_by=actor.person_row, made_at=now,
    )  # fmt: skip
    return _add(session, actor, new, action, before=row)


def _add(
    session: WriteSession, actor: Actor, row: MonitorVersion, action: Action, *, before: MonitorVersion | None
) -> MonitorVersion:
    taken = session.scalars(
        select(MonitorVersion.key).where(
            MonitorVersion.model == row.model, MonitorVersion.environment == row.environment,
            MonitorVersion.name == row.name, MonitorVersion.superseded_at.is_(None),
            MonitorVersion.state != "deleted", MonitorVersion.key != row.key,
        )
    ).first()  # fmt: skip
    clash = f"{row.model} has a monitor named {row.name!r}; give this one another name"
    if taken is not None and row.state != "deleted":
        raise Conflict(clash)
    session.add(row)
    try:
        session.flush()
    except IntegrityError as error:
        raise Conflict(f"{clash}, or look again: somebody else has just changed it") from error
    record(
        session, actor, action, object_kind="monitor", object_id=row.key, why=row.why,
        payload={"model": row.model, "environment": row.environment, "version": row.number, "state": row.state,
                 "definition": row.definition, "before": None if before is None else before.definition},
    )  # fmt: skip
    return row


def _silence(session: WriteSession, actor: Actor, row: MonitorVersion, why: str) -> None:
    """Resolve what fires by a monitor that no longer looks."""
    mine = fingerprint(row.model, row.environment, KIND, row.key)
    for alert in session.scalars(select(Alert).where(Alert.fingerprint == mine, Alert.state == "firing")):
        resolve(session, actor, alert, why=why, final=True)


def _why(why: str) -> str:
    if len(why) > LONGEST_WHY:
        raise BadInput(f"why: write at most {LONGEST_WHY} characters", field="why")
    return why.strip()
