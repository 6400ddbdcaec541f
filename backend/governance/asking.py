"""Asking for a change: preview, request, withdraw, and what happens when its time is over."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from sqlalchemy import Select, select
from sqlalchemy.orm import QueryableAttribute, defer

from backend import clock
from backend.alerting.tables import Alert, Incident
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput, ChangedSinceSeen, NotAllowed
from backend.governance import errors, machine
from backend.governance.digests import digest_of
from backend.governance.kinds import Asked, Proposal, kind_of, kinds
from backend.governance.places import require_environment
from backend.governance.policies import ActivePolicy, active_policy, rule_digest, stored_rule
from backend.governance.policy_document import Entry
from backend.governance.policy_rules import Rule
from backend.governance.segment_plan import refuse_segments_of
from backend.governance.tables import Change, Snapshot
from backend.identity.actor import Actor, system_actor
from backend.identity.reach import allow, narrow, see
from backend.identity.roles import Permission
from backend.identity.tables import Person
from backend.queue import CHECK_GATES, request_job
from backend.registry.recorded import refuse_other_people, refuse_other_tier

LONGEST_TEXT = 4000
TWICE = timedelta(minutes=1)  # so long the same request is taken for one that arrived twice
GOVERNANCE = system_actor("governance")


@dataclass(frozen=True)
class Preview:
    """A change as it would be asked for: what the requester reads, and the digest they then post."""

    proposal: Proposal
    policy: ActivePolicy
    entry: Entry

    @property
    def rule(self) -> Rule:
        return self.entry.rule

    @property
    def bound(self) -> dict[str, str]:
        """Everything an approval would cover, but evidence and gates, which are taken when it is sent."""
        rule = stored_rule(self.policy, self.entry)
        return {**self.proposal.bound, "policy": rule_digest(rule)}

    @property
    def digest(self) -> str:
        return request_digest(self.proposal.asked, self.bound)


def request_digest(asked: Asked, bound: dict[str, str]) -> str:
    """Of what is asked for: kind, place and every part that is bound then."""
    return digest_of(
        {"kind": asked.kind, "model": asked.model, "environment": asked.environment, "bound": bound}
    )


def signed_digest(change: Change) -> str:
    """What a decision signs: what was asked for, who does not decide, the evidence that was shown, and what the gates
    said."""
    return digest_of(
        {
            "request": change.request_digest, "revision": change.revision, "people": excludable(change),
            "evidence": digest_of(change.evidence), "gates": digest_of(change.gates),
        }
    )  # fmt: skip


def excludable(change: Change) -> dict[str, str | None]:
    """Whom a rule can exclude from deciding: part of what is signed, and of the log's entry of the request."""
    return {
        "requested_by": change.requested_by,
        "trained_by": change.trained_by,
        "data_owner": change.data_owner,
    }


def preview_change(session: ReadSession, viewer: Actor, asked: Asked) -> Preview:
    """Collect difference, policy and digests of a change without asking for it: for who could ask for one (a data
    subject's change is asked for under a right of its own)."""
    see(session, viewer)
    kind = kind_of(asked.kind)
    allow(session, viewer, kind.right)
    if not asked.everywhere:
        require_environment(session, asked.environment)
    proposal = kind.propose(session, viewer, asked)
    if proposal.model is not None:
        refuse_other_tier(session, proposal.model)
    if proposal.after is not None:
        refuse_other_people(session, proposal.after)
    policy = active_policy(session)
    entry = policy.document.entry_for(
        asked.kind, proposal.tier, asked.environment, other_tier=proposal.other_tier
    )
    if asked.kind == "promote" and proposal.model is not None:
        refuse_segments_of(entry, proposal.asked, proposal.model, replaces=proposal.before is not None)
    return Preview(proposal, policy, entry)


def request_change(
    session: WriteSession, actor: Actor, asked: Asked, *, reason: str, seen_digest: str
) -> Change:
    """Ask for a change. `seen_digest` is the preview's: if anything bound has moved since, it is refused. What arrives
    twice, as a click can, is asked for once: the second gives the change that the first made."""
    allow(session, actor, Permission.REQUEST_CHANGE)
    elsewhere = kind_of(asked.kind).asked_for
    if elsewhere:
        raise BadInput(f"a change of kind {asked.kind} is asked for {elsewhere}", field="kind")
    twin = _asked_a_moment_ago(session, actor, asked, reason=reason, digest=seen_digest)
    if twin is not None:
        return twin
    change = draft_change(session, actor, asked, reason=reason, seen_digest=seen_digest)
    send_change(session, change)
    return change


def _asked_a_moment_ago(
    session: ReadSession, actor: Actor, asked: Asked, *, reason: str, digest: str
) -> Change | None:
    """The open change that this account asked for with the same words on the same preview, moments ago."""
    return session.scalars(
        select(Change)
        .where(
            Change.requested_by == actor.person_id, Change.kind == asked.kind, Change.request_digest == digest,
            Change.reason == reason.strip(), Change.alert_id.is_not_distinct_from(asked.alert_id),
            Change.state.in_(("checking", "waiting")), Change.requested_at > clock.now() - TWICE,
        )
        .order_by(Change.id.desc())
        .limit(1)
    ).first()  # fmt: skip


def draft_change(
    session: WriteSession,
    actor: Actor,
    asked: Asked,
    *,
    reason: str,
    seen_digest: str,
    overtakes: bool = False,
    aborts: bool = False,
    requested_by: str | None = None,
) -> Change:
    """A change that has been written down and not been sent. One that `overtakes` voids those that wait; one that
    `aborts` may also be asked for while a rollout is executed: the caller then aborts it (`executing_rivals`).

    `requested_by`: who asked for it in advance, where nobody acts now.
    """
    kind_of(asked.kind).require_person(actor, "ask for")
    reason = checked_text(reason, "reason", required=True)
    preview = preview_change(session, actor, asked)
    if not preview.rule.allowed:
        raise errors.NotAllowedByPolicy(f"{preview.rule.because} (rule {preview.entry.name!r})")
    refuse_stale(preview.digest, seen_digest, "the change you previewed")
    _make_room(session, asked, overtakes=overtakes, aborts=aborts)
    incident = _incident_answered(session, asked)
    proposal, now = preview.proposal, clock.now()
    change = Change(
        kind=asked.kind, model=asked.model, environment=asked.environment,
        from_version=proposal.from_version, to_version=proposal.to_version,
        from_cutoff=proposal.from_cutoff, to_cutoff=proposal.to_cutoff, subject=proposal.asked.subject,
        summary=proposal.summary, state="draft", requested_by=requested_by or actor.person_id, requested_at=now,
        reason=reason,
        trained_by=proposal.after.trained_by if proposal.after else None,
        data_owner=proposal.after.data_owner if proposal.after else None,
        incident_id=incident.id if incident else None, alert_id=asked.alert_id,
        policy=stored_rule(preview.policy, preview.entry), bound=preview.bound, gates=[],
        evidence=proposal.evidence, request_digest=preview.digest, digest="",
        expires_at=now + timedelta(hours=preview.rule.lifetime_h),
    )  # fmt: skip
    session.add(change)
    session.flush()
    change.digest = signed_digest(change)
    record(
        session, actor, Action.CHANGE_REQUESTED, object_kind="change", object_id=change.id,
        payload={"kind": change.kind, "model": change.model, "environment": change.environment,
                 "summary": change.summary, "digest": change.request_digest, "bound": change.bound,
                 "from_version": change.from_version, "to_version": change.to_version,
                 "evidence": digest_of(change.evidence), "policy": change.policy, "shown": shown_digest(change),
                 "signed": change.digest, "expires_at": clock.to_iso(change.expires_at), **excludable(change)},
        why=reason,
    )  # fmt: skip
    return change


def _incident_answered(session: ReadSession, asked: Asked) -> Incident | None:
    """The open incident that this change is asked for from, by one of its alerts or by its number: executed, it closes
    it. Only what moves what serves can end an incident, and only for who says so."""
    if not kind_of(asked.kind).rollout:
        return None
    query = select(Incident).where(
        Incident.model == asked.model, Incident.environment == asked.environment, Incident.state == "open"
    )
    if asked.alert_id is not None:
        query = query.join(Alert, Alert.incident_id == Incident.id)
        query = query.where(Alert.id == asked.alert_id, Alert.model == asked.model)
    elif asked.incident_id is not None:
        query = query.where(Incident.id == asked.incident_id)
    else:
        return None
    return session.scalars(query).one_or_none()


def _make_room(session: WriteSession, asked: Asked, *, overtakes: bool, aborts: bool) -> None:
    """One open change of what serves at a time, and one of each other kind of a model; break-glass and an agreed
    return void those that wait."""
    aborted = {one.id for one in executing_rivals(session, asked)} if aborts else set()
    for one in session.scalars(_rivals(asked).with_for_update()).all():
        if one.id in aborted or expire_if_late(session, one):
            continue
        if overtakes and one.state != "executing":
            void_change(session, one, ["it was overtaken by a change that could not wait"])
            continue
        first = "abort its rollout" if one.state == "executing" else "decide on it or cancel it"
        raise errors.ChangeAlreadyOpen(
            f"CHG-{one.id} ({one.summary}) is {machine.WORDS[one.state]}; {first} first",  # type: ignore[index]
            change=one.id,
        )


def executing_rivals(session: ReadSession, asked: Asked) -> list[Change]:
    """The rollouts that are being executed and that this change would abort, were it one that cannot wait."""
    query = _rivals(asked).where(Change.state == "executing")
    if isinstance(session, WriteSession):
        query = query.with_for_update()
    return [one for one in session.scalars(query) if kind_of(one.kind).rollout]


def _rivals(asked: Asked) -> Select[Change]:
    names = [name for name, kind in kinds().items() if kind.rollout or name == "retire"]
    if asked.kind not in names:
        names = [] if kind_of(asked.kind).beside_others else [asked.kind]
    return select(Change).where(
        Change.model.is_(None) if asked.model is None else Change.model == asked.model,
        Change.environment == asked.environment, Change.state.in_(machine.OPEN), Change.kind.in_(names),
    ).order_by(Change.id)  # fmt: skip


def send_change(session: WriteSession, change: Change) -> None:
    """From a draft to the gates, or straight to those who decide where the rule names none."""
    if change.policy["gates"]:
        change.state = machine.after(change.state, "submit", what=f"CHG-{change.id}")
        ask_gates(session, change)
    else:
        change.state = machine.after(change.state, "submit_unchecked", what=f"CHG-{change.id}")
        keep_snapshot(session, change)
    session.flush()


def ask_gates(session: WriteSession, change: Change) -> None:
    """Queue the evaluation of the gates of this revision, once."""
    request_job(
        session, CHECK_GATES, subject=f"CHG-{change.id}",
        arguments={"change_id": change.id, "revision": change.revision},
        run_id=f"gates-{change.id}-{change.revision}", requested_by=change.requested_by,
    )  # fmt: skip


def reopen(change: Change, event: Literal["recheck", "retract"]) -> None:
    """Out of the approval, where it had one: the run that was queued for that finds nothing to do. Where decisions no
    longer count, whoever gave one is reminded again."""
    change.state = machine.after(change.state, event, what=f"CHG-{change.id}")
    change.run_id, change.step = None, ""
    if event == "recheck":
        change.reminded_at = None


def asked_of(change: Change) -> Asked:
    """What a stored change asks for, to be proposed again."""
    return Asked(
        kind=change.kind, environment=change.environment, model=change.model,
        to_version=None if change.kind == "cutoff" else change.to_version,
        to_cutoff=change.to_cutoff,
        alert_id=change.alert_id, subject=change.subject,
    )  # fmt: skip


def cancel_change(session: WriteSession, actor: Actor, change_id: int, *, reason: str) -> Change:
    """Withdraw a change that no worker has begun. Only who asked for it may, or whose account did."""
    change = locked(session, actor, change_id)
    allow(session, actor, kind_of(change.kind).right_to_cancel)
    require_requester(session, actor, change, f"cancel it; {_other_way(change)}")
    change.state = machine.after(change.state, "cancel", what=f"CHG-{change_id}")
    change.finished_at = clock.now()
    change.outcome = checked_text(reason, "reason", required=False)
    session.flush()
    record(session, actor, Action.CHANGE_CANCELLED, object_kind="change", object_id=change.id, why=reason)
    return change


def is_requester(session: ReadSession, actor: Actor, change: Change) -> bool:
    """Whether this person, or an account of theirs, asked for the change; or the owner of the account that acts."""
    if change.requested_by in actor.people:
        return True
    return session.scalar(select(Person.owner_id).where(Person.id == change.requested_by)) == actor.person_id


def _other_way(change: Change) -> str:
    """How somebody else stops it, as far as they can."""
    if change.is_urgent and change.state == "approved":
        return "it goes ahead without a decision, and a worker takes it up now"
    if change.state in ("draft", "waiting", "approved"):
        return "who may decide on it can reject it"
    if change.state == "checking":
        return "who may decide on it can reject it once its gates are evaluated"
    return f"it is {machine.WORDS[change.state]}"  # type: ignore[index]


def require_requester(session: ReadSession, actor: Actor, change: Change, what: str) -> None:
    """`NotAllowed` where neither this person nor an account of theirs asked for it."""
    if not is_requester(session, actor, change):
        raise NotAllowed(f"only who asked for CHG-{change.id}, or owns the account that did, can {what}")


def void_change(session: WriteSession, change: Change, differs: list[str]) -> None:
    """End a change whose approval (or request) no longer covers what would run; `differs` says each reason."""
    change.state = machine.after(change.state, "void", what=f"CHG-{change.id}")
    change.finished_at = clock.now()
    change.outcome = "the approval no longer covers what would run: " + "; ".join(differs)
    session.flush()
    record(
        session, GOVERNANCE, Action.CHANGE_VOID, object_kind="change", object_id=change.id,
        payload={"differs": differs}, why=change.outcome,
    )  # fmt: skip


def expire_if_late(session: WriteSession, change: Change) -> bool:
    """Close a change whose time is over. Called wherever one is about to be acted on, and by the schedule."""
    if not machine.can(change.state, "expire") or clock.now() < change.expires_at:
        return False
    change.state = machine.after(change.state, "expire")
    change.finished_at = clock.now()
    change.outcome = f"nobody completed it before {change.expires_at:%Y-%m-%d %H:%M:%S UTC}"
    session.flush()
    record(
        session, GOVERNANCE, Action.CHANGE_EXPIRED, object_kind="change", object_id=change.id,
        why=change.outcome,
    )  # fmt: skip
    return True


def expire_late_changes(session: WriteSession) -> int:
    """Expire every change whose time is over; gives how many."""
    late = session.scalars(
        select(Change)
        .where(Change.state.in_(machine.OPEN), Change.expires_at <= clock.now())
        .with_for_update()
    ).all()
    return sum(expire_if_late(session, change) for change in late)


def keep_snapshot(session: WriteSession, change: Change) -> None:
    """Store what is shown of this change now under the digest that is signed, once."""
    if session.scalar(select(Snapshot.digest).where(Snapshot.digest == change.digest)) is None:
        session.add(
            Snapshot(
                digest=change.digest,
                change_id=change.id,
                document=shown_of(change),
                created_at=clock.now(),
            )
        )
        session.flush()


def shown_of(change: Change) -> dict[str, Any]:
    """Everything a decider is shown of a change, as plain data. A signature covers what was asked for, the evidence
    and the gates; an entry of the log covers all of it (`shown_digest`)."""
    return {
        "schema": 2, "kind": change.kind, "model": change.model, "environment": change.environment,
        "summary": change.summary, "reason": change.reason, "revision": change.revision,
        "from_version": change.from_version, "to_version": change.to_version,
        "from_cutoff": change.from_cutoff, "to_cutoff": change.to_cutoff,
        "policy": change.policy, "bound": change.bound, "gates": change.gates, "evidence": change.evidence,
        "request_digest": change.request_digest, "digest": change.digest,
        "requested_by": change.requested_by, "trained_by": change.trained_by, "data_owner": change.data_owner,
    }  # fmt: skip


def shown_digest(change: Change) -> str:
    """Of everything that is shown of a change now. Entries carry it, so that what is kept of it cannot be altered."""
    return digest_of(shown_of(change))


def locked(
    session: WriteSession, actor: Actor, change_id: int, *, without: tuple[QueryableAttribute[Any], ...] = ()
) -> Change:
    """The change, locked for this transaction, if this actor may see it; columns in `without` are read when needed."""
    narrow(session, actor)  # before anything is read: a change of another team is not there
    query = select(Change).where(Change.id == change_id).options(*(defer(column) for column in without))
    change = session.scalars(query.with_for_update()).one_or_none()
    if change is None:
        raise errors.ChangeNotFound(f"there is no change CHG-{change_id} that you may see")
    if change.model is not None:
        see(session, actor)  # the model exists: a foreign key holds it
    return change


def refuse_stale(current: str, seen: str, what: str) -> None:
    """`ChangedSinceSeen` unless the digest that was seen is the object's."""
    if current != seen:
        raise ChangedSinceSeen(
            f"{what} changed since you looked: you saw {seen[:19]}…, it is now {current[:19]}…. Look again, then act",
            seen=seen, current=current,
        )  # fmt: skip


def checked_text(value: str, field: str, *, required: bool) -> str:
    """Text that people will read, without white space around it."""
    value = value.strip()
    if required and not value:
        raise BadInput(f"write a {field}: others will read it", field=field)
    if len(value) > LONGEST_TEXT:
        raise BadInput(
            f"the {field} has {len(value)} characters; at most {LONGEST_TEXT} are kept", field=field
        )
    return value
