"""A change as plain data for pages, API and CLI: the same words everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backend import clock
from backend.assurance.exceptions import exception_views, list_exceptions
from backend.assurance.reading import assurance_named
from backend.database.session import ReadSession
from backend.governance import machine
from backend.governance.asking import Preview, is_requester
from backend.governance.authority import who_can_decide, why_not_decide
from backend.governance.deciding import own_approval, refused_gates, why_not_reject
from backend.governance.digests import digest_of
from backend.governance.excepted import bound_exceptions, why_not_here
from backend.governance.kinds import kind_of
from backend.governance.policies import stored_rule
from backend.governance.reconciling import tellings_of
from backend.governance.request_record import what_was_altered
from backend.governance.reviews import is_owed, why_not_review
from backend.governance.settling import why_not_recheck
from backend.governance.tables import Change, Review, WayBack
from backend.governance.time_boxes import stands_until
from backend.governance.urgent import taken_with, why_not_break_glass
from backend.identity.actor import Actor
from backend.identity.people import names_of


def change_summaries(session: ReadSession, changes: Sequence[Change]) -> list[dict[str, Any]]:
    """The rows of a list, with one question for all names."""
    names = names_of(session, {change.requested_by for change in changes})
    return [_summary(change, names) for change in changes]


def change_summary(session: ReadSession, change: Change) -> dict[str, Any]:
    """One row of a list."""
    return _summary(change, names_of(session, {change.requested_by}))


def _summary(change: Change, names: dict[str, str]) -> dict[str, Any]:
    approvals = sum(decision.verdict == "approve" for decision in change.counted)
    state = _state(change)
    return {
        "id": change.id,
        "ref": f"CHG-{change.id}",
        "kind": change.kind,
        "model": change.model,
        "environment": change.environment,
        "summary": change.summary,
        "from_version": change.from_version,
        "to_version": change.to_version,
        "from_cutoff": change.from_cutoff,
        "to_cutoff": change.to_cutoff,
        "state": state,
        "state_words": machine.WORDS[state],  # type: ignore[index]
        "step": change.step,
        "reason": change.reason,
        "requested_by": names[change.requested_by],
        "requested_at": change.requested_at,
        "expires_at": change.expires_at,
        "reminded_at": change.reminded_at if state == "waiting" else None,
        "finished_at": change.finished_at,
        "approvals": approvals,
        "approvals_needed": sum(change.policy["roles"].values()),
        "break_glass": change.break_glass,
        "way_back_id": change.way_back_id,
        "incident_id": change.incident_id,
        "alert_id": change.alert_id,
        "digest": change.digest,
        "outcome": change.outcome,
    }


def _state(change: Change) -> str:
    late = machine.can(change.state, "expire") and clock.now() >= change.expires_at
    return "expired" if late else change.state


def change_detail(session: ReadSession, viewer: Actor, change: Change) -> dict[str, Any]:
    """Everything about one change, and whether this viewer can decide on it (or why not)."""
    people = {change.requested_by, change.trained_by, change.data_owner}
    people |= {
        person for decision in change.decisions for person in (decision.person_id, decision.on_behalf_of)
    }
    review = session.get(Review, change.id) if change.break_glass else None
    if review is not None:
        people.add(review.reviewed_by)
    names = names_of(session, people)
    accepted = {gate for d in change.counted if d.verdict == "approve" for gate in d.accepted}
    excepted = bound_exceptions(session, change)
    failed, unclear = refused_gates(change, accepted, excepted)
    mine, kind = is_requester(session, viewer, change), kind_of(change.kind)
    state = _state(change)
    return {
        **change_summary(session, change),
        "revision": change.revision,
        "subject": change.subject,
        "policy": change.policy,
        "bound": {
            **change.bound,
            "evidence": digest_of(change.evidence),
            "gate results": digest_of(change.gates),
        },
        "request_digest": change.request_digest,
        "gates": change.gates,
        "gates_at": change.gates_at,
        "gates_failed": failed if change.gates else [],
        "gates_unclear": unclear if change.gates else [],
        "exceptions": [
            {**one, "not_here": why_not_here(session, change, one["gate"]) if one["counts"] else None}
            for one in exception_views(
                session,
                list_exceptions(session, viewer, model=change.model, standing=True) if change.model else [],
            )
            if any(gate["gate"] == one["gate"] for gate in change.policy["gates"])
        ],
        "gates_excepted": sorted(excepted),
        "evidence": change.evidence,
        "assurance": assurance_named(session, change.evidence.get("assurance")),
        "trained_by": names.get(change.trained_by) if change.trained_by else None,
        "data_owner": names.get(change.data_owner) if change.data_owner else None,
        "run_id": change.run_id,
        "decisions": [
            {
                "person": names[decision.person_id],
                "on_behalf_of": names.get(decision.on_behalf_of) if decision.on_behalf_of else None,
                "verdict": decision.verdict,
                "comment": decision.comment,
                "role": decision.role,
                "seen_digest": decision.seen_digest,
                "accepted": decision.accepted,
                "counts": decision.revision == change.revision and decision.retracted_at is None,
                "retracted_at": decision.retracted_at,
                "retracted_because": decision.retracted_because,
                "decided_at": decision.decided_at,
                "signed_in_at": decision.signed_in_at,
            }
            for decision in change.decisions
        ],
        "review": {**_review(session, review, names), "stands_until": stands_until(session, change, review)}
        if review is not None
        else None,
        "cannot_review": why_not_review(viewer, change)
        if review is not None and is_owed(session, review)
        else None,
        "way_back": _way_back_of(session, change),
        "targets": [
            {
                "target": row.target,
                "told_again_at": row.told_again_at,
                "told_again": row.told_again,
                "settled_at": row.settled_at,
                "problem": row.problem,
            }
            for row in tellings_of(session, change.id)
        ],
        "cannot_decide": why_not_decide(session, viewer, change) or _not_as_asked(session, change),
        "can_still_decide": who_can_decide(session, change) if state == "waiting" else [],
        "can_retract": state in ("waiting", "approved")
        and not change.is_urgent
        and own_approval(session, viewer, change) is not None,
        "cannot_reject": why_not_reject(session, viewer, change),
        "can_cancel": mine
        and machine.can(state, "cancel")
        and viewer.may_about(kind.right_to_cancel, change.model),
        "can_resubmit": mine and state == "draft" and viewer.may_about(kind.right, change.model),
        "can_recheck": state in ("waiting", "approved")
        and bool(change.policy["gates"])
        and why_not_recheck(session, viewer, change) is None,
    }


def _not_as_asked(session: ReadSession, change: Change) -> str | None:
    altered = what_was_altered(session, change)
    return f"it is not as it was asked for: {'; '.join(altered)}" if altered else None


def _review(session: ReadSession, review: Review, names: dict[str, str]) -> dict[str, Any]:
    verdict = None if is_owed(session, review) else review.verdict
    return {
        "due_at": review.due_at, "verdict": verdict, "comment": review.comment,
        "reviewed_by": names.get(review.reviewed_by) if review.reviewed_by else None,
        "reviewed_at": review.reviewed_at,
    }  # fmt: skip


def _way_back_of(session: ReadSession, change: Change) -> dict[str, Any] | None:
    """The return agreed with this promotion: in words before it is executed, with its time afterwards. None of another
    kind: only a promotion agrees on one."""
    from sqlalchemy import select

    if change.kind != "promote":
        return None
    way = session.scalars(select(WayBack).where(WayBack.change_id == change.id)).one_or_none()
    days = float(change.policy.get("way_back_days") or 0)
    agreed = change.evidence.get("way_back")
    if way is None:
        return {"to_version": agreed["to_version"], "days": days} if agreed and days else None
    return {
        "id": way.id, "to_version": way.to_version, "days": days, "expires_at": way.expires_at,
        "used_by": taken_with(session, way),
    }  # fmt: skip


def preview_view(preview: Preview, viewer: Actor) -> dict[str, Any]:
    """A change before it is asked for."""
    proposal = preview.proposal
    return {
        "kind": proposal.asked.kind,
        "model": proposal.asked.model,
        "environment": proposal.asked.environment,
        "summary": proposal.summary,
        "from_version": proposal.from_version,
        "to_version": proposal.to_version,
        "from_cutoff": proposal.from_cutoff,
        "to_cutoff": proposal.to_cutoff,
        "policy": stored_rule(preview.policy, preview.entry),
        "bound": preview.bound,
        "evidence": proposal.evidence,
        "digest": preview.digest,
        "candidates": [
            {"version": c.version, "cutoff": c.cutoff, "healthy": c.healthy, "because": c.because}
            for c in proposal.candidates
        ],
        "cannot_break_glass": why_not_break_glass(viewer, preview),
    }
