"""A change as plain data for pages, API and CLI: the same words everywhere."""

from __future__ import annotations

from typing import Any

from backend import clock
from backend.database.session import ReadSession
from backend.errors import WarrantError
from backend.governance.service import Preview, refuse_excluded
from backend.governance.tables import Change
from backend.identity.actor import Actor
from backend.identity.people import names_of
from backend.identity.roles import Permission


def change_summary(session: ReadSession, change: Change) -> dict[str, Any]:
    """One row of a list."""
    names = names_of(session, {change.requested_by})
    approvals = sum(decision.verdict == "approve" for decision in change.decisions)
    return {
        "id": change.id,
        "ref": f"CHG-{change.id}",
        "kind": change.kind,
        "model": change.model,
        "environment": change.environment,
        "from_version": change.from_version,
        "to_version": change.to_version,
        "state": _state(change),
        "step": change.step,
        "reason": change.reason,
        "requested_by": names[change.requested_by],
        "requested_at": change.requested_at,
        "expires_at": change.expires_at,
        "finished_at": change.finished_at,
        "approvals": approvals,
        "approvals_needed": sum(change.policy["roles"].values()),
        "incident_id": change.incident_id,
        "alert_id": change.alert_id,
        "digest": change.digest,
        "outcome": change.outcome,
    }


def _state(change: Change) -> str:
    late = change.state == "waiting" and clock.now() >= change.expires_at
    return "expired" if late else change.state


def change_detail(session: ReadSession, viewer: Actor, change: Change) -> dict[str, Any]:
    """Everything about one change, and whether this viewer can decide on it (or why not)."""
    people = {change.requested_by, *(decision.person_id for decision in change.decisions)}
    trainer = change.evidence["after"]["trained_by"]
    names = names_of(session, people | ({trainer} if trainer else set()))
    return {
        **change_summary(session, change),
        "policy": change.policy,
        "bound": change.bound,
        "evidence": change.evidence,
        "trained_by": names.get(trainer) if trainer else None,
        "run_id": change.run_id,
        "decisions": [
            {
                "person": names[decision.person_id],
                "verdict": decision.verdict,
                "comment": decision.comment,
                "role": decision.role,
                "seen_digest": decision.seen_digest,
                "decided_at": decision.decided_at,
            }
            for decision in change.decisions
        ],
        "cannot_decide": why_not_decide(session, viewer, change),
        "can_cancel": change.state == "waiting" and change.requested_by in viewer.people,
    }


def why_not_decide(session: ReadSession, viewer: Actor, change: Change) -> str | None:
    """Why this viewer cannot decide on the change, in words, or None when they can."""
    if _state(change) != "waiting":
        return f"it is {_state(change)}"
    if any(decision.person_id == viewer.person_id for decision in change.decisions):
        return "you have decided already"
    try:
        viewer.require(Permission.DECIDE_CHANGE)
        refuse_excluded(session, viewer, change)
    except WarrantError as error:
        return error.message
    return None


def preview_view(preview: Preview) -> dict[str, Any]:
    """A change before it is asked for."""
    return {
        "kind": preview.kind,
        "model": preview.model,
        "environment": preview.environment,
        "from_version": preview.from_version,
        "to_version": preview.to_version,
        "policy": preview.policy,
        "bound": preview.bound,
        "evidence": preview.evidence,
        "digest": preview.digest,
        "candidates": [
            {"version": c.version, "healthy": c.healthy, "because": c.because} for c in preview.candidates
        ],
    }
