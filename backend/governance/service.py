"""Changes: asking, deciding, cancelling. Execution is in `execution`.

waiting ──approve (quorum)──► approved ──worker──► executing ──► executed
   │                             │                     └───────► failed   (production restored)
   ├─reject──► rejected          ├─bound part moved──► void
   ├─cancel──► cancelled         └─too late──► expired
   └─too late─► expired
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import select

from backend import clock
from backend.alerting.tables import Alert, Incident
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.deployment.service import champion
from backend.errors import BadInput, ChangedSinceSeen, NotAllowed, NotFound
from backend.governance import errors
from backend.governance.digests import digest_of
from backend.governance.evidence import binding, evidence
from backend.governance.health import ServedVersion, earlier_versions, last_healthy
from backend.governance.policies import KINDS, policy_for
from backend.governance.tables import Change, Decision
from backend.identity.actor import Actor
from backend.identity.roles import Permission
from backend.queue import EXECUTE_CHANGE, request_job
from backend.registry.service import get_model, get_version

OPEN_STATES = ("waiting", "approved", "executing")
LONGEST_TEXT = 4000


@dataclass(frozen=True)
class Preview:
    """A change as it would be asked for: what the requester reads, and the digest they then post."""

    kind: str
    model: str
    environment: str
    from_version: int | None
    to_version: int
    policy: dict[str, Any]
    bound: dict[str, str]
    evidence: dict[str, Any]
    digest: str
    candidates: tuple[ServedVersion, ...]


def preview_change(
    session: ReadSession,
    viewer: Actor,
    *,
    kind: str,
    model: str,
    environment: str,
    to_version: int | None = None,
    alert_id: int | None = None,
) -> Preview:
    """Collect diff, policy and digests of a change without asking for it.

    A rollback without `to_version` proposes the last version that served healthily; where none is known to
    have done so `NoHealthyVersion` says what is known of each.
    """
    viewer.require(Permission.READ_MODELS)
    if kind not in KINDS:
        raise BadInput(f"a change is one of {', '.join(KINDS)}, not {kind!r}", field="kind")
    found = get_model(session, viewer, model)
    serving = champion(session, model, environment)
    candidates = tuple(earlier_versions(session, viewer, model, environment)) if kind == "rollback" else ()
    why = ""
    if kind == "rollback":
        if serving is None:
            raise errors.NothingToChange(
                f"nothing serves {model} in {environment}; there is nothing to roll back"
            )
        if to_version is None:
            healthy = last_healthy(list(candidates))
            if healthy is None:
                known = (
                    "; ".join(f"version {c.version}: {c.because}" for c in candidates)
                    or "no version served before"
                )
                raise errors.NoHealthyVersion(f"{known}. Name the version to return to yourself, if you must")
            to_version = healthy.version
        chosen = next((c for c in candidates if c.version == to_version), None)
        if chosen is None and to_version != serving.version:
            raise BadInput(
                f"version {to_version} never served {model} in {environment}; ask for a promotion instead",
                field="to_version",
            )
        why = chosen.because if chosen else ""
    if to_version is None:
        raise BadInput("a promotion names the version to promote", field="to_version")
    if serving is not None and serving.version == to_version:
        raise errors.NothingToChange(f"{model} version {to_version} already serves in {environment}")
    after = get_version(session, viewer, model, to_version)
    before = get_version(session, viewer, model, serving.version) if serving else None
    alert = session.get(Alert, alert_id) if alert_id is not None else None
    if alert_id is not None and (alert is None or alert.model != model):
        raise NotFound(f"there is no alert {alert_id} of {model}")
    policy = policy_for(kind, found.tier, environment)
    bound = binding(found, after, serving, kind=kind, environment=environment)
    return Preview(
        kind=kind, model=model, environment=environment, from_version=serving.version if serving else None,
        to_version=to_version, policy=policy, bound=bound, digest=_digest(kind, model, environment, bound),
        evidence=evidence(
            session, found, before, after, environment=environment, alert=alert, why_target=why
        ),
        candidates=candidates,
    )  # fmt: skip


def _digest(kind: str, model: str, environment: str, bound: dict[str, str]) -> str:
    return digest_of({"kind": kind, "model": model, "environment": environment, "bound": bound})


def request_change(
    session: WriteSession,
    actor: Actor,
    *,
    kind: str,
    model: str,
    environment: str,
    reason: str,
    seen_digest: str,
    to_version: int | None = None,
    alert_id: int | None = None,
) -> Change:
    """Ask for a change. `seen_digest` is the preview's: if anything bound has moved since, it is refused."""
    actor.require(Permission.REQUEST_CHANGE)
    reason = _text(reason, "reason", required=True)
    preview = preview_change(
        session,
        actor,
        kind=kind,
        model=model,
        environment=environment,
        to_version=to_version,
        alert_id=alert_id,
    )
    _refuse_stale(preview.digest, seen_digest, "the change you previewed")
    already = session.scalars(
        select(Change).where(
            Change.model == model, Change.environment == environment, Change.state.in_(OPEN_STATES)
        ).with_for_update()
    ).first()  # fmt: skip
    if already is not None and expire_if_late(session, already):
        already = None
    if already is not None:
        raise errors.ChangeAlreadyOpen(
            f"CHG-{already.id} ({already.kind} to version {already.to_version}) is {already.state} for {model} in "
            f"{environment}; decide on it or cancel it first",
            change=already.id,
        )
    incident = session.scalars(
        select(Incident).where(
            Incident.model == model, Incident.environment == environment, Incident.state == "open"
        )
    ).one_or_none()
    now = clock.now()
    change = Change(
        kind=kind, model=model, environment=environment, from_version=preview.from_version,
        to_version=preview.to_version, requested_by=actor.person_id, requested_at=now, reason=reason,
        incident_id=incident.id if incident else None, alert_id=alert_id, policy=preview.policy,
        bound=preview.bound, evidence=preview.evidence, digest=preview.digest,
        expires_at=now + timedelta(hours=preview.policy["lifetime_h"]),
    )  # fmt: skip
    session.add(change)
    session.flush()
    record(
        session, actor, Action.CHANGE_REQUESTED, object_kind="change", object_id=change.id,
        payload={"kind": kind, "model": model, "environment": environment, "from": preview.from_version,
                 "to": preview.to_version, "digest": preview.digest, "bound": preview.bound,
                 "evidence": digest_of(preview.evidence), "policy": preview.policy},
        why=reason,
    )  # fmt: skip
    return change


def decide(
    session: WriteSession, actor: Actor, change_id: int, *, verdict: str, comment: str, seen_digest: str
) -> Change:
    """Approve or reject, on exactly the digest that was seen.

    The approval that completes the quorum queues the execution in the same transaction. The same decision
    sent twice is one decision; a different one is `DecidedAlready`.
    """
    actor.require(Permission.DECIDE_CHANGE)
    if verdict not in ("approve", "reject"):
        raise BadInput(f"a decision is approve or reject, not {verdict!r}", field="verdict")
    change = _locked(session, actor, change_id)
    comment = _text(comment, "comment", required=verdict in change.policy["comment_required_to"])
    refuse_excluded(session, actor, change)
    mine = next((decision for decision in change.decisions if decision.person_id == actor.person_id), None)
    if mine is not None:
        if mine.verdict == verdict and mine.seen_digest == seen_digest:
            return change
        raise errors.DecidedAlready(
            f"you decided to {mine.verdict} CHG-{change_id} at {mine.decided_at:%H:%M UTC}"
        )
    _refuse_stale(change.digest, seen_digest, f"CHG-{change_id}")
    if change.state != "waiting" or expire_if_late(session, change):
        raise errors.ChangeNotWaiting(f"CHG-{change_id} is {change.state}; it takes no more decisions")
    role = next(role for role in change.policy["roles"] if role in actor.roles)
    decision = Decision(
        change_id=change.id, person_id=actor.person_id, verdict=verdict, comment=comment,
        seen_digest=seen_digest, role=role, decided_at=clock.now(),
    )  # fmt: skip
    change.decisions.append(decision)
    session.flush()
    if verdict == "reject":
        change.state, change.finished_at = "rejected", decision.decided_at
    elif quorum_reached(change):
        change.state = "approved"
        change.run_id = f"change-{change.id}"
        request_job(
            session, EXECUTE_CHANGE, subject=f"CHG-{change.id}", arguments={"change_id": change.id},
            run_id=change.run_id, requested_by=actor.person_id,
        )  # fmt: skip
    session.flush()
    record(
        session, actor, Action.CHANGE_APPROVED if verdict == "approve" else Action.CHANGE_REJECTED,
        object_kind="change", object_id=change.id,
        payload={"decision": decision.id, "digest": seen_digest, "role": role, "state": change.state}, why=comment,
    )  # fmt: skip
    return change


def quorum_reached(change: Change) -> bool:
    """Whether each role the policy names has as many approvals as it asks for."""
    return all(
        sum(d.verdict == "approve" and d.role == role for d in change.decisions) >= wanted
        for role, wanted in change.policy["roles"].items()
    )


def refuse_excluded(session: ReadSession, actor: Actor, change: Change) -> None:
    """Invariant 5: not the requester, not the trainer, not through a service account; and only named roles."""
    if change.requested_by in actor.people or _owner_of(session, change.requested_by) in actor.people:
        raise errors.OwnRequest(f"you asked for CHG-{change.id}; somebody else has to decide on it")
    trainer = change.evidence["after"]["trained_by"]
    if trainer is not None and (trainer in actor.people or _owner_of(session, trainer) in actor.people):
        raise errors.OwnVersion(
            f"you trained version {change.to_version}; somebody else has to decide on CHG-{change.id}"
        )
    if not any(role in actor.roles for role in change.policy["roles"]):
        raise NotAllowed(f"CHG-{change.id} is decided by: {', '.join(change.policy['roles'])}")


def _owner_of(session: ReadSession, person_id: str) -> str | None:
    from backend.identity.tables import Person

    person = session.get(Person, person_id)
    return person.owner_id if person else None


def cancel_change(session: WriteSession, actor: Actor, change_id: int, *, reason: str) -> Change:
    """Withdraw a change that waits. Only who asked for it may."""
    actor.require(Permission.CANCEL_CHANGE)
    change = _locked(session, actor, change_id)
    if change.requested_by not in actor.people:
        raise NotAllowed(
            f"only who asked for CHG-{change_id} can cancel it; you can reject it if you may decide"
        )
    if change.state != "waiting":
        raise errors.ChangeNotWaiting(f"CHG-{change_id} is {change.state} and can no longer be cancelled")
    change.state, change.finished_at, change.outcome = (
        "cancelled",
        clock.now(),
        _text(reason, "reason", required=False),
    )
    session.flush()
    record(session, actor, Action.CHANGE_CANCELLED, object_kind="change", object_id=change.id, why=reason)
    return change


def expire_if_late(session: WriteSession, change: Change) -> bool:
    """Close a change whose time is over. Called wherever one is about to be acted on, and by the schedule."""
    if change.state not in ("waiting", "approved") or clock.now() < change.expires_at:
        return False
    from backend.identity.actor import system_actor

    change.state, change.finished_at = "expired", clock.now()
    change.outcome = f"nobody completed it before {change.expires_at:%Y-%m-%d %H:%M UTC}"
    session.flush()
    record(
        session, system_actor("governance"), Action.CHANGE_EXPIRED, object_kind="change", object_id=change.id,
        why=change.outcome,
    )  # fmt: skip
    return True


def expire_late_changes(session: WriteSession) -> int:
    """Expire every change whose time is over; gives how many."""
    late = session.scalars(
        select(Change).where(Change.state == "waiting", Change.expires_at <= clock.now()).with_for_update()
    ).all()
    return sum(expire_if_late(session, change) for change in late)


def get_change(session: ReadSession, viewer: Actor, change_id: int) -> Change:
    viewer.require(Permission.READ_MODELS)
    change = session.get(Change, change_id)
    if change is None:
        raise errors.ChangeNotFound(f"there is no change CHG-{change_id} that you may see")
    get_model(session, viewer, change.model)
    return change


def list_changes(
    session: ReadSession,
    viewer: Actor,
    *,
    model: str | None = None,
    states: tuple[str, ...] = (),
    limit: int = 200,
    before: int | None = None,
) -> list[Change]:
    """Changes, newest first; `before` is the id after which to go on."""
    viewer.require(Permission.READ_MODELS)
    query = select(Change).order_by(Change.id.desc()).limit(limit)
    if model is not None:
        query = query.where(Change.model == model)
    if states:
        query = query.where(Change.state.in_(states))
    if before is not None:
        query = query.where(Change.id < before)
    return list(session.scalars(query))


def waiting_for(session: ReadSession, viewer: Actor) -> list[Change]:
    """The viewer's inbox: changes that wait for a decision this person can take, most urgent first."""
    if not viewer.may(Permission.DECIDE_CHANGE):
        return []
    inbox = []
    for change in list_changes(session, viewer, states=("waiting",)):
        if clock.now() >= change.expires_at or any(d.person_id == viewer.person_id for d in change.decisions):
            continue
        try:
            refuse_excluded(session, viewer, change)
        except NotAllowed:
            continue
        inbox.append(change)
    return sorted(inbox, key=lambda change: change.expires_at)


def _locked(session: WriteSession, actor: Actor, change_id: int) -> Change:
    change = session.scalars(select(Change).where(Change.id == change_id).with_for_update()).one_or_none()
    if change is None:
        raise errors.ChangeNotFound(f"there is no change CHG-{change_id} that you may see")
    get_model(session, actor, change.model)
    return change


def _refuse_stale(current: str, seen: str, what: str) -> None:
    if current != seen:
        raise ChangedSinceSeen(
            f"{what} changed since you looked: you saw {seen[:19]}…, it is now {current[:19]}…. Look again, then act",
            seen=seen, current=current,
        )  # fmt: skip


def _text(value: str, field: str, *, required: bool) -> str:
    value = value.strip()
    if required and not value:
        raise BadInput(f"write a {field}: others will read it", field=field)
    if len(value) > LONGEST_TEXT:
        raise BadInput(
            f"the {field} has {len(value)} characters; at most {LONGEST_TEXT} are kept", field=field
        )
    return value
