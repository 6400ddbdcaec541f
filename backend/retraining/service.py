"""Asking for a retraining: previewed, asked for by people or by a trigger, and begun at once within an envelope."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from sqlalchemy import select

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.governance.asking import (
    Preview,
    draft_change,
    keep_snapshot,
    preview_change,
    refuse_stale,
    send_change,
)
from backend.governance.deciding import start_unless_frozen
from backend.governance.kinds import Asked
from backend.governance.machine import after
from backend.governance.tables import Change
from backend.governance.views import preview_view
from backend.identity.actor import Actor
from backend.identity.reach import allow
from backend.identity.roles import Permission
from backend.retraining.envelope import reasons_outside, spent_in_week
from backend.retraining.plan import Plan, plan_lines
from backend.settings import settings

TWICE: Final = timedelta(minutes=1)


def asked_for(
    model: str, plan: Plan, *, environment: str | None = None, alert_id: int | None = None
) -> Asked:
    """The change that this plan is, in this installation's environment where none is named."""
    return Asked(
        "retrain", environment or settings().environment, model, alert_id=alert_id, subject=plan.as_dict()
    )


def preview_retraining(session: ReadSession, viewer: Actor, asked: Asked, plan: Plan) -> dict[str, Any]:
    """What would be asked for: the plan, its rule and digest, and whether it would wait for a decision, and why."""
    preview = preview_change(session, viewer, asked)
    outside = _outside(session, preview, plan)
    return {
        **preview_view(preview, viewer), "plan": plan.as_dict(), "plan_words": plan_lines(plan),
        "needs_decision": bool(outside), "outside": outside,
    }  # fmt: skip


def request_retraining(
    session: WriteSession,
    actor: Actor,
    asked: Asked,
    plan: Plan,
    *,
    reason: str,
    seen_digest: str | None = None,
    requested_by: str | None = None,
) -> Change:
    """Ask for a retraining. Within the envelope of its rule it goes ahead without a decision, and the log says so.

    seen_digest   of the preview; None: whatever holds now (a script names the whole plan itself)
    requested_by  who wanted it in advance, where a trigger asks
    """
    allow(session, actor, Permission.REQUEST_CHANGE)
    preview = preview_change(session, actor, asked)
    if seen_digest is not None:
        refuse_stale(preview.digest, seen_digest, "the retraining you previewed")
    twin = _asked_a_moment_ago(session, requested_by or actor.person_id, asked, preview.digest, reason)
    if twin is not None:
        return twin
    change = draft_change(
        session, actor, asked, reason=reason, seen_digest=preview.digest, requested_by=requested_by
    )
    outside = _outside(session, preview, plan)
    if outside:
        send_change(session, change)
    else:
        _go_ahead(session, actor, change)
    return change


def _go_ahead(session: WriteSession, actor: Actor, change: Change) -> None:
    """Approved by the rule that people agreed on; it is carried out as any approved change is, after any freeze."""
    change.within_envelope = True
    change.state = after(change.state, "agreed_before", what=f"CHG-{change.id}")
    change.times_approved = 1
    session.flush()
    keep_snapshot(session, change)
    record(
        session, actor, Action.RETRAINING_COVERED, object_kind="change", object_id=change.id,
        payload={"digest": change.digest, "envelope": change.policy["envelope"]}, why=change.reason,
    )  # fmt: skip
    start_unless_frozen(session, change, requested_by=actor.person_row)


def _outside(session: ReadSession, preview: Preview, plan: Plan) -> list[str]:
    model = preview.proposal.asked.model or ""
    return reasons_outside(preview.rule.envelope, plan, spent_in_week(session, model))


def _asked_a_moment_ago(
    session: ReadSession, person_id: str, asked: Asked, digest: str, reason: str
) -> Change | None:
    """The change that this account asked for with the same plan and words, moments ago: a double click."""
    return session.scalars(
        select(Change)
        .where(
            Change.requested_by == person_id, Change.kind == "retrain", Change.request_digest == digest,
            Change.model == asked.model, Change.reason == reason.strip(),
            Change.state.in_(("checking", "waiting", "approved", "executing", "executed")),
            Change.requested_at > clock.now() - TWICE,
        )
        .order_by(Change.id.desc())
        .limit(1)
    ).first()  # fmt: skip
