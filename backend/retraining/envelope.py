"""What a policy approved in advance: whether a retraining lies within the envelope of its rule, and what was spent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import or_, select

from backend import clock
from backend.database.session import ReadSession
from backend.governance.policy_rules import Envelope
from backend.governance.tables import Change
from backend.retraining.plan import Plan, read_plan
from backend.retraining.tables import RetrainingRun, RetrainingStep

WEEK = timedelta(days=7)


@dataclass(frozen=True)
class Spent:
    """What retraining one model cost within a week, counting all that runs under way may still take."""

    runs: int
    hours: float


def spent_in_week(
    session: ReadSession, model: str, *, but: int | None = None, now: datetime | None = None
) -> Spent:
    """Of the runs asked for in the last seven days, or begun again since then, and of what is approved and not begun.

    but   without this change
    """
    since = (now or clock.now()) - WEEK
    runs = session.execute(
        select(RetrainingRun.id, RetrainingRun.state, RetrainingRun.plan, RetrainingStep.seconds)
        .outerjoin(
            RetrainingStep, (RetrainingStep.run_id == RetrainingRun.id) & (RetrainingStep.name == "train")
        )
        .where(
            RetrainingRun.model == model,
            or_(
                RetrainingRun.requested_at > since, RetrainingRun.finished_at > since,
                RetrainingRun.finished_at.is_(None),
            ),
            RetrainingRun.change_id.is_distinct_from(but),
        )
    ).all()  # fmt: skip
    waiting = session.scalars(
        select(Change.subject).where(
            Change.model == model, Change.kind == "retrain", Change.state.in_(("approved", "executing")),
            Change.id.is_distinct_from(but),
        )
    ).all()  # fmt: skip
    hours = sum(
        read_plan(plan).hours if state in ("queued", "running") else (seconds or 0.0) / 3600
        for _, state, plan, seconds in runs
    )
    return Spent(len(runs) + len(waiting), hours + sum(read_plan(subject).hours for subject in waiting))


def reasons_outside(envelope: Envelope | None, plan: Plan, spent: Spent) -> list[str]:
    """Each reason why this retraining needs a decision, in words; empty where the envelope covers it."""
    if envelope is None:
        return ["the rule has no envelope"]
    found = []
    if plan.trainer not in envelope.trainers:
        found.append(f"the trainer {plan.trainer} is not one of {', '.join(envelope.trainers)}")
    if plan.device not in envelope.devices:
        found.append(f"it runs on a {plan.device}, and the envelope is for {' and '.join(envelope.devices)}")
    if envelope.triggers and plan.trigger.on not in envelope.triggers:
        found.append(f"the envelope is not for what is asked for by {plan.trigger.on.replace('_', ' ')}")
    if plan.hours > envelope.hours:
        found.append(f"it may take {plan.hours:g} h, and the envelope allows {envelope.hours:g} h")
    if plan.memory_mb > envelope.memory_mb:
        found.append(f"it may use {plan.memory_mb:,} MB, and the envelope allows {envelope.memory_mb:,} MB")
    if spent.runs + 1 > envelope.runs_per_week:
        found.append(f"{spent.runs} of {envelope.runs_per_week} runs of this week are used")
    if spent.hours + plan.hours > envelope.hours_per_week:
        found.append(
            f"{spent.hours:.1f} h of this week are used, and {plan.hours:g} h more would be over "
            f"{envelope.hours_per_week:g} h"
        )
    return found


def envelope_of(rule: dict[str, Any]) -> Envelope | None:
    """The envelope of a rule as it is stored with a change."""
    found = rule.get("envelope")
    return Envelope.model_validate(found) if found is not None else None


def why_outside(session: ReadSession, change: Change) -> list[str]:
    """Why the rule under which a change was asked for does not cover it (any more), in words."""
    if change.kind != "retrain" or change.model is None:
        return ["it is no retraining of a model, which alone an envelope covers"]
    return reasons_outside(
        envelope_of(change.policy),
        read_plan(change.subject),
        spent_in_week(session, change.model, but=change.id),
    )


def why_not_again(session: ReadSession, change: Change) -> list[str]:
    """Why a run that was approved in advance alone is not begun again: what it took so far counts."""
    if not change.within_envelope or change.model is None:
        return []
    others, all_of_them = (spent_in_week(session, change.model, but=but) for but in (change.id, None))
    return reasons_outside(
        envelope_of(change.policy), read_plan(change.subject), Spent(others.runs, all_of_them.hours)
    )
