"""What sets a retraining off by itself: causes are found, held back where they must wait, and open one change each.

A cause is named by what it is (an incident, an alert, a slot of a schedule, a count of labels), so that seeing it again
finds its row. While cool-down or budget hold it back the row says so; it is looked at again until it opened a change or
no longer holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select

from backend import clock
from backend.alerting.tables import Alert
from backend.database.session import ReadSession, WriteSession
from backend.deployment.tables import Deployment
from backend.errors import WarrantError
from backend.governance.tables import Change
from backend.identity.actor import Actor
from backend.identity.tables import Person
from backend.monitoring.columns import ModelSpec, parse_spec
from backend.monitoring.spec_retraining import RetrainingRule, TriggerRule
from backend.monitoring.tables import WindowState
from backend.registry.tables import Model, Version
from backend.retraining.envelope import spent_in_week
from backend.retraining.plan import Cause, Plan, Wish, read_plan
from backend.retraining.running import open_run
from backend.retraining.service import asked_for, request_retraining
from backend.retraining.tables import RetrainingCause, RetrainingRun


@dataclass(frozen=True)
class Found:
    """A cause that holds now. `names`: all by which it may have opened a change already."""

    model: str
    environment: str
    cause: Cause
    alert_id: int | None = None
    names: tuple[str, ...] = ()


def causes_now(session: ReadSession, now: datetime) -> list[Found]:
    """Every cause that holds of any model whose spec names triggers, and that opened no change yet."""
    found: list[Found] = []
    for model in session.scalars(select(Model).order_by(Model.name)):
        if not model.described or not model.spec.get("retraining"):
            continue
        spec = parse_spec(model.spec)
        for environment in _served_in(session, model.name):
            for rule in spec.retraining.triggers if spec.retraining else ():
                found += _causes(session, model, spec, environment, rule, now)
    taken = {
        (one.model, one.environment, one.cause)
        for one in session.scalars(select(RetrainingCause).where(RetrainingCause.change_id.is_not(None)))
    }
    return [
        one
        for one in found
        if not any((one.model, one.environment, name) in taken for name in (one.cause.cause, *one.names))
    ]


def open_caused(session: WriteSession, actor: Actor, found: Found) -> RetrainingCause:
    """Ask for the retraining that a cause wants, once; or note why it has to wait. The row is locked meanwhile."""
    model = session.get_one(Model, found.model, with_for_update=True)
    key = (found.model, found.environment, found.cause.cause)
    row = session.get(RetrainingCause, key)
    if row is not None and row.change_id is not None:
        return row
    if row is None:
        row = RetrainingCause(
            model=found.model, environment=found.environment, cause=found.cause.cause, trigger=found.cause.on,
            text=found.cause.text, seen_at=clock.now(),
        )  # fmt: skip
        session.add(row)
        session.flush()
    rule = parse_spec(model.spec).retraining
    if rule is None:
        row.held_because = "the model's spec no longer names triggers"
        return row
    plan = planned(rule, found.cause)
    held = why_held(session, model, found.environment, rule, plan)
    if held is not None:
        row.held_because = held
        return row
    change = request_retraining(
        session, actor, asked_for(model.name, plan, environment=found.environment, alert_id=found.alert_id), plan,
        reason=f"{found.cause.text} (trigger {found.cause.on} of the model's spec)", requested_by=model.owner_id,
    )  # fmt: skip
    row.change_id, row.held_because = change.id, ""
    return row


def note_refused(session: WriteSession, found: Found, error: WarrantError) -> None:
    """Keep why the change of a cause could not be asked for; it is tried again while the cause holds."""
    key = (found.model, found.environment, found.cause.cause)
    row = session.get(RetrainingCause, key)
    if row is None:
        row = RetrainingCause(
            model=found.model, environment=found.environment, cause=found.cause.cause, trigger=found.cause.on,
            text=found.cause.text, seen_at=clock.now(),
        )  # fmt: skip
        session.add(row)
    row.held_because = error.message


def planned(rule: RetrainingRule, cause: Cause) -> Plan:
    """The plan of the model's spec, as of now, for this reason."""
    return Wish(
        rule.trainer, dict(rule.parameters), window_s=rule.window_s, device=rule.device, cpu_allowed=rule.cpu_allowed,
        wall_s=rule.wall_s, memory_mb=rule.memory_mb, least_labelled=rule.least_labelled, trigger=cause,
        search=rule.search.as_dict() if rule.search is not None else None,
    ).plan()  # fmt: skip


def why_held(
    session: ReadSession, model: Model, environment: str, rule: RetrainingRule, plan: Plan
) -> str | None:
    """Why no trigger may ask for a retraining of this model now, in words; None where one may."""
    owner = session.get(Person, model.owner_id) if model.owner_id is not None else None
    if owner is None:
        return "nobody owns the model: a trigger asks in the name of its owner"
    if owner.disabled_at is not None or (owner.expires_at is not None and owner.expires_at <= clock.now()):
        return "the account of the model's owner is closed: name another owner, in whose name a trigger asks"
    going_on = open_run(session, model.name, environment)
    if going_on is not None:
        return f"{going_on.id} goes on"
    last = session.scalars(
        select(Change)
        .where(
            Change.model == model.name, Change.environment == environment, Change.kind == "retrain",
            Change.state.not_in(("cancelled", "void", "rejected")),
        )
        .order_by(Change.requested_at.desc())
        .limit(1)
    ).first()  # fmt: skip
    if last is not None:
        until = last.requested_at + timedelta(seconds=rule.cooldown_s)
        if clock.now() < until:
            return f"it cools down after CHG-{last.id} until {until:%Y-%m-%d %H:%M:%S UTC}"
    spent = spent_in_week(session, model.name)
    if spent.runs >= rule.runs_per_week:
        return f"{spent.runs} of {rule.runs_per_week} runs of this week are used"
    if spent.hours + plan.hours > rule.hours_per_week:
        return f"{spent.hours:.1f} of {rule.hours_per_week:g} h of this week are used, and it may take {plan.hours:g} h"
    return None


def _causes(
    session: ReadSession, model: Model, spec: ModelSpec, environment: str, rule: TriggerRule, now: datetime
) -> list[Found]:
    if rule.on == "schedule":
        return _by_schedule(session, model.name, environment, rule, now)
    if rule.on == "labels":
        return _by_labels(session, model.name, spec, environment, rule)
    return _by_alert(session, model.name, environment, rule.on)


def _by_schedule(
    session: ReadSession, model: str, environment: str, rule: TriggerRule, now: datetime
) -> list[Found]:
    """Due once `every_s` has gone by since the last one was asked for, by whomever; named by the slot of the clock."""
    last = session.scalar(
        select(func.max(Change.requested_at)).where(
            Change.model == model, Change.environment == environment, Change.kind == "retrain"
        )
    ) or _trained_at(session, model)
    if last is not None and (now - last).total_seconds() < rule.every_s:
        return []
    slot = int(now.timestamp() // rule.every_s)
    started = datetime.fromtimestamp(slot * rule.every_s, tz=now.tzinfo)
    since = (
        f"the last training was {last:%Y-%m-%d %H:%M:%S UTC}" if last is not None else "it was never trained"
    )
    cause = Cause(
        on="schedule",
        cause=f"schedule {clock.to_iso(started)}",
        text=f"every {rule.every_s / 86_400:g} days; {since}",
    )
    return [Found(model, environment, cause)]


def _trained_at(session: ReadSession, model: str) -> datetime | None:
    return session.scalar(select(func.max(Version.trained_at)).where(Version.model == model))


def _by_labels(
    session: ReadSession, model: str, spec: ModelSpec, environment: str, rule: TriggerRule
) -> list[Found]:
    """Labels that are known of windows later than what was trained on last, or was asked for last: a retraining that
    failed or was rejected waits for as many again. One cause for each version, or each such change."""
    newest = session.scalars(
        select(Version).where(Version.model == model).order_by(Version.version.desc()).limit(1)
    ).first()
    if newest is None:
        return []
    to = newest.training.get("as_of") or newest.training.get("to")
    try:
        since = clock.from_iso(str(to))
    except ValueError:
        since = newest.trained_at
    after = f"v{newest.version}"
    asked = _asked_last(session, model, environment)
    if asked is not None and (as_of := read_plan(asked.subject).as_of) > since:
        since, after = as_of, f"CHG-{asked.id}"
    count = session.scalar(
        select(func.sum(WindowState.labels_known)).where(
            WindowState.model == model, WindowState.environment == environment, WindowState.size == spec.window,
            WindowState.start >= since,
        )
    ) or 0  # fmt: skip
    if count < rule.new:
        return []
    cause = Cause(
        on="labels", cause=f"labels after {after}",
        text=f"{count:,} labels are known of what came since the rows of {after}; {rule.new:,} are wanted",
    )  # fmt: skip
    return [Found(model, environment, cause)]


def _asked_last(session: ReadSession, model: str, environment: str) -> Change | None:
    return session.scalars(
        select(Change)
        .where(Change.model == model, Change.environment == environment, Change.kind == "retrain")
        .order_by(Change.requested_at.desc())
        .limit(1)
    ).first()


def _by_alert(session: ReadSession, model: str, environment: str, kind: str) -> list[Found]:
    """All alerts of this kind that fire have one cause: named by the oldest, or by its incident where it has one. While
    any of them, or its incident, has opened a change, that one answers all of them."""
    firing = session.scalars(
        select(Alert)
        .where(
            Alert.model == model, Alert.environment == environment, Alert.kind == kind, Alert.state == "firing",
            Alert.level.in_(("page", "ticket")), Alert.unknown_since.is_(None),
        )
        .order_by(Alert.id)
    ).all()  # fmt: skip
    if not firing:
        return []
    first = firing[0]
    incidents = [f"incident {one.incident_id}" for one in firing if one.incident_id is not None]
    names = (*incidents, *(f"alert {one.id}" for one in firing))
    more = f" and {len(firing) - 1} more" if len(firing) > 1 else ""
    cause = Cause(
        on=kind, cause=names[0], text=f"{first.title[:400]}{more}",
        incident_id=next((one.incident_id for one in firing if one.incident_id is not None), None),
    )  # fmt: skip
    return [Found(model, environment, cause, first.id, names)]


def _served_in(session: ReadSession, model: str) -> list[str]:
    return list(
        session.scalars(
            select(Deployment.environment)
            .where(Deployment.model == model, Deployment.role == "champion", Deployment.ended_at.is_(None))
            .distinct()
            .order_by(Deployment.environment)
        )
    )


def lost_runs(session: ReadSession) -> list[str]:
    """Runs that stand as open, and whose job has failed: its workers died again and again."""
    from backend.queue import JobRun
    from backend.retraining.running import OPEN, job_id

    open_ones = session.scalars(select(RetrainingRun).where(RetrainingRun.state.in_(OPEN))).all()
    return [
        one.id
        for one in open_ones
        if (job := session.get(JobRun, job_id(one))) is not None and job.state == "failed"
    ]


def promotions_told(session: ReadSession) -> list[Alert]:
    """Tickets of promotions that wait no longer."""
    firing = session.scalars(select(Alert).where(Alert.kind == "retraining", Alert.state == "firing")).all()
    return [
        one
        for one in firing
        if (change := session.get(Change, one.details.get("change"))) is None
        or change.state not in ("draft", "checking", "waiting")
    ]
