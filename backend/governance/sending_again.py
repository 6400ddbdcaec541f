"""Sending a change again to those who asked for changes: as it would be sent now, and doing so."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.governance import errors
from backend.governance.asking import (
    Preview,
    asked_of,
    checked_text,
    excludable,
    locked,
    preview_change,
    refuse_stale,
    require_requester,
    send_change,
    shown_digest,
    signed_digest,
)
from backend.governance.digests import digest_of
from backend.governance.evaluations import EVALUATIONS
from backend.governance.kinds import kind_of
from backend.governance.policies import stored_rule
from backend.governance.reading import get_change
from backend.governance.request_record import refuse_altered, text_of_request
from backend.governance.tables import Change
from backend.identity.actor import Actor
from backend.identity.reach import allow


def preview_again(session: ReadSession, viewer: Actor, change_id: int) -> Preview:
    """A draft as it would be sent again now, with the digest to send it with: for who asked for it."""
    change = get_change(session, viewer, change_id)
    require_requester(session, viewer, change, "send it again")
    require_draft(change)
    return preview_change(session, viewer, asked_of(change))


def resubmit_change(
    session: WriteSession, actor: Actor, change_id: int, *, reason: str, seen_digest: str
) -> Change:
    """Send a change again to whom changes were asked of. Everything bound is taken anew; who asked for it may."""
    change = locked(session, actor, change_id)
    allow(session, actor, kind_of(change.kind).right)
    kind_of(change.kind).require_person(actor, "send again")
    require_requester(session, actor, change, "send it again")
    refuse_altered(change, session.scalar(select(text_of_request(change.id))))
    require_draft(change)
    preview = preview_change(session, actor, asked_of(change))
    if not preview.rule.allowed:
        raise errors.NotAllowedByPolicy(f"{preview.rule.because} (rule {preview.entry.name!r})")
    refuse_stale(preview.digest, seen_digest, f"CHG-{change_id}")
    change.revision += 1
    change.reason = checked_text(reason, "reason", required=True)
    change.policy = stored_rule(preview.policy, preview.entry)
    tries = {name: value for name, value in change.evidence.items() if name == EVALUATIONS}
    change.bound, change.evidence = preview.bound, {**preview.proposal.evidence, **tries}
    change.gates, change.gates_at = [], None
    change.summary, change.request_digest = preview.proposal.summary, preview.digest
    after = preview.proposal.after
    change.trained_by, change.data_owner = (after.trained_by, after.data_owner) if after else (None, None)
    change.expires_at, change.reminded_at = clock.now() + timedelta(hours=preview.rule.lifetime_h), None
    change.digest = signed_digest(change)
    send_change(session, change)
    record(
        session, actor, Action.CHANGE_RESUBMITTED, object_kind="change", object_id=change.id,
        payload={"revision": change.revision, "digest": change.request_digest, "bound": change.bound,
                 "summary": change.summary, "evidence": digest_of(change.evidence), "policy": change.policy,
                 "shown": shown_digest(change), "signed": change.digest,
                 "expires_at": clock.to_iso(change.expires_at), **excludable(change)},
        why=change.reason,
    )  # fmt: skip
    return change


def require_draft(change: Change) -> None:
    """`ChangeNotWaiting` where nobody asked for changes to it, or its time is over."""
    state = "expired" if change.state == "draft" and clock.now() >= change.expires_at else change.state
    if state != "draft":
        raise errors.ChangeNotWaiting(f"CHG-{change.id} is {state}; only a draft is sent")
