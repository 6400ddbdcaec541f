"""Runs, their steps and what sets them off, as plain data for pages, API and CLI: the same words everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import select

from backend import clock
from backend.alerting.tables import Alert
from backend.database.session import ReadSession
from backend.governance.tables import Change
from backend.identity.actor import Actor
from backend.identity.people import names_of
from backend.identity.reach import see
from backend.identity.roles import Permission
from backend.monitoring.columns import parse_spec
from backend.registry.service import get_model
from backend.retraining.envelope import spent_in_week
from backend.retraining.plan import plan_lines, read_plan
from backend.retraining.running import OPEN, get_run, steps_of
from backend.retraining.steps import STEPS
from backend.retraining.tables import RetrainingCause, RetrainingRun, RetrainingStep

STATE_WORDS: Final = {
    "queued": "waits for a worker", "running": "running", "succeeded": "done", "failed": "failed",
    "cancelled": "cancelled", "finished": "done", "waiting": "not begun",
}  # fmt: skip


def list_runs(
    session: ReadSession,
    viewer: Actor,
    *,
    model: str | None = None,
    limit: int = 50,
    before: datetime | None = None,
) -> list[dict[str, Any]]:
    """The newest first; those asked for before a moment, where one is given."""
    see(session, viewer)
    query = select(RetrainingRun).order_by(RetrainingRun.requested_at.desc(), RetrainingRun.id).limit(limit)
    if model is not None:
        query = query.where(RetrainingRun.model == model)
    if before is not None:
        query = query.where(RetrainingRun.requested_at < before)
    found = session.scalars(query).all()
    names = names_of(session, {run.requested_by for run in found})
    return [_summary(run, names, steps_of(session, run.id)) for run in found]


def run_view(session: ReadSession, viewer: Actor, run_id: str) -> dict[str, Any]:
    """One run with all its steps, what it cost, and what this viewer can do about it."""
    run = get_run(session, viewer, run_id)
    steps = steps_of(session, run.id)
    names = names_of(session, {run.requested_by, run.cancel_asked_by})
    change = session.get_one(Change, run.change_id)
    alert = session.get(Alert, change.alert_id) if change.alert_id is not None else None
    may = viewer.may(Permission.REQUEST_CHANGE)
    return {
        **_summary(run, names, steps),
        "plan": run.plan, "plan_words": plan_lines(read_plan(run.plan)), "reason": change.reason,
        "steps": [_step(name, steps.get(name)) for name in STEPS],
        "alert": {"id": alert.id, "title": alert.title} if alert is not None else None,
        "incident_id": read_plan(run.plan).trigger.incident_id or (alert.incident_id if alert else None),
        "cancel_asked_at": run.cancel_asked_at, "cancel_reason": run.cancel_reason,
        "cancel_asked_by": names.get(run.cancel_asked_by) if run.cancel_asked_by else None,
        "can_cancel": may and run.state in OPEN and run.cancel_asked_at is None,
        "can_resume": may and run.state == "failed",
    }  # fmt: skip


def triggers_view(session: ReadSession, viewer: Actor, model: str) -> dict[str, Any]:
    """What the model's spec says of retraining, what the week has cost, and the causes that were seen."""
    found = get_model(session, viewer, model)
    rule = parse_spec(found.spec).retraining if found.described else None
    spent = spent_in_week(session, model)
    causes = session.scalars(
        select(RetrainingCause)
        .where(RetrainingCause.model == model)
        .order_by(RetrainingCause.seen_at.desc())
        .limit(50)
    )
    return {
        "model": model,
        "declared": found.spec.get("retraining") if rule is not None else None,
        "triggers": [
            {"on": one.on, "every_s": one.every_s or None, "new": one.new or None} for one in rule.triggers
        ]
        if rule is not None
        else [],
        "cooldown_s": rule.cooldown_s if rule is not None else None,
        "week": {
            "runs": spent.runs, "hours": spent.hours,
            "most_runs": rule.runs_per_week if rule is not None else None,
            "most_hours": rule.hours_per_week if rule is not None else None,
        },
        "causes": [
            {"cause": one.cause, "environment": one.environment, "trigger": one.trigger, "text": one.text,
             "seen_at": one.seen_at, "held_because": one.held_because, "change_id": one.change_id}
            for one in causes
        ],
    }  # fmt: skip


def _summary(run: RetrainingRun, names: dict[str, str], steps: dict[str, RetrainingStep]) -> dict[str, Any]:
    plan = read_plan(run.plan)
    done = sum(step.state == "finished" for step in steps.values())
    now = next((name for name in STEPS if name in steps and steps[name].state == "running"), None)
    share = (done + (steps[now].progress if now else 0.0)) / len(STEPS)
    return {
        "id": run.id, "model": run.model, "environment": run.environment, "state": run.state,
        "state_words": "being cancelled" if run.state in OPEN and run.cancel_asked_at else STATE_WORDS[run.state],
        "change_id": run.change_id, "trainer": plan.trainer, "device": plan.device, "queue": run.queue,
        "trigger": plan.trigger.on, "trigger_text": plan.trigger.text, "requested_by": names[run.requested_by],
        "requested_at": run.requested_at, "started_at": run.started_at, "finished_at": run.finished_at,
        "step": STEPS[now] if now else "", "progress": 1.0 if run.state == "succeeded" else share,
        "parent": run.parent, "version": run.version, "promote_change_id": run.promote_change_id,
        "outcome": run.outcome, "cost": _cost(steps.values()),
    }  # fmt: skip


def _cost(steps: Any) -> dict[str, Any]:
    """What the steps that began took, all together; the peak is the worst of them."""
    known: Sequence[RetrainingStep] = list(steps)
    return {
        "seconds": sum(_seconds(step) for step in known),
        "gpu_seconds": sum(step.gpu_seconds for step in known),
        "peak_memory_bytes": max((step.peak_memory_bytes or 0 for step in known), default=0) or None,
    }


def _seconds(step: RetrainingStep) -> float:
    going_on = (clock.now() - step.started_at).total_seconds() if step.state == "running" else 0.0
    return step.seconds + max(going_on, 0.0)


def _step(name: str, step: RetrainingStep | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": name,
        "title": STEPS[name],
        "state": "waiting",
        "state_words": "not begun",
    }
    if step is None:
        return found | {
            "progress": 0.0, "attempts": 0, "started_at": None, "finished_at": None, "seconds": 0.0, "gpu_seconds": 0.0,
            "peak_memory_bytes": None, "log": [], "curve": [], "result": {},
        }  # fmt: skip
    return found | {
        "state": step.state, "state_words": STATE_WORDS[step.state], "progress": step.progress,
        "attempts": step.attempts, "started_at": step.started_at, "finished_at": step.finished_at,
        "seconds": _seconds(step), "gpu_seconds": step.gpu_seconds, "peak_memory_bytes": step.peak_memory_bytes,
        "log": step.log, "curve": step.curve, "result": step.result,
    }  # fmt: skip
