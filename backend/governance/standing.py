"""Whether an approval still covers what would run: asked before anything moves, and again before every later stage."""

from __future__ import annotations

from sqlalchemy import select

from backend import clock
from backend.audit.change_checks import unrecorded_changes
from backend.database.session import ReadSession
from backend.deployment.service import champion
from backend.deployment.tables import Deployment
from backend.errors import WarrantError
from backend.governance.account_record import accounts_otherwise, counted_by
from backend.governance.asking import Preview, asked_of, preview_change, signed_digest
from backend.governance.deciding import quorum_reached, refused_gates
from backend.governance.evidence import RETURN_PARTS, bind_version
from backend.governance.excepted import bound_exceptions
from backend.governance.external_checks import lost_reports
from backend.governance.policies import ActivePolicy, active_policy, rule_digest, stored_rule, why_forbidden
from backend.governance.reviews import owed_before
from backend.governance.tables import Change, Review, WayBack
from backend.governance.urgent import way_back_differs
from backend.identity.actor import system_actor
from backend.identity.sessions import actor_of
from backend.identity.tables import Person
from backend.registry.tables import Model, Version
from backend.retraining.envelope import why_outside

GOVERNANCE = system_actor("governance")

WORDS = {
    "artefact": "the model's files changed", "reference": "the reference data changed",
    "card": "the model card changed", "metrics": "the recorded metrics or training data changed",
    "policy": "the policy changed", "replaces": "another policy is in force",
    "target": "what serves now, the cut-off, the tier or the model's spec changed",
    "model": "the model's tier or spec changed", "serves": "something else serves now",
    "request": "the data request is another one", "plan": "what is to be trained changed",
    "parent": "another version serves now, to be compared with",
}  # fmt: skip


def what_differs(session: ReadSession, change: Change, *, begun: bool = False) -> list[str]:
    """Each reason why the approval is void, in words; empty when it holds. `begun`: of a rollout under way, which
    neither goes back nor stands still for a freeze, for a review that is owed since, or because somebody who
    approved or reported was disabled or lost the role.

    First the row itself: what is stored of it gives the digests that were asked for and signed, and the log has entries
    of the request and of each decision that say the same. Then every digest is taken afresh from the files and the
    record, and compared with what was asked for. How the change came to be approved is derived again from what is
    stored: a quorum on the signed digest, or break-glass, or a return that was agreed with its promotion.
    """
    if change.digest != signed_digest(change):
        return ["the stored evidence, gate results or people are not the ones that were signed"]
    unrecorded = [one.title for one in unrecorded_changes(session, [change.id])]
    if unrecorded:
        return unrecorded
    unapproved = _why_unapproved(session, change, begun=begun)
    if unapproved:
        return unapproved
    try:
        now = preview_change(session, GOVERNANCE, asked_of(change))
    except WarrantError as error:
        return [error.message]
    if not now.rule.allowed:
        return [now.rule.because]
    return (
        _people_differ(change, now, begun=begun)
        + _way_back_differs(change, now)
        + _differing(change, now.bound)
    )


def _people_differ(change: Change, now: Preview, *, begun: bool) -> list[str]:
    """Who could be excluded is part of what was signed; what goes ahead without decisions excludes nobody."""
    after = now.proposal.after
    if begun or change.break_glass or change.way_back_id is not None or after is None:
        return []
    same = (after.trained_by, after.data_owner) == (change.trained_by, change.data_owner)
    return [] if same else ["who trained the version or owns its data is somebody else by the record"]


def _way_back_differs(change: Change, now: Preview) -> list[str]:
    """What moved of the version that a promotion replaces: the return to it is approved under the same digest, and an
    approval of a way back that nobody could take is not what was signed."""
    agreed = change.evidence.get("way_back")
    if change.kind != "promote" or not agreed or not change.policy.get("way_back_days"):
        return []
    bound = (now.proposal.evidence.get("way_back") or {}).get("bound", {})
    return [
        f"{WORDS[part].removesuffix(' changed')} of v{agreed['to_version']} changed: the way back to it was agreed"
        for part in RETURN_PARTS
        if bound.get(part) != agreed["bound"][part]
    ]


def _why_unapproved(session: ReadSession, change: Change, *, begun: bool) -> list[str]:
    if change.way_back_id is not None:
        way = session.get_one(WayBack, change.way_back_id)
        if way.used_by != change.id:
            return ["the agreed return was taken with another change"]
        same = (way.model, way.environment, way.to_version, way.to_cutoff)
        if same != (change.model, change.environment, change.to_version, change.to_cutoff):
            return ["it is not the return that was agreed"]
        return way_back_differs(session, GOVERNANCE, way, taken_by=change.id)
    if change.within_envelope:
        return why_outside(session, change) or ([] if begun else _frozen(change, active_policy(session)))
    if change.break_glass:
        review = session.get(Review, change.id)
        return [] if review is not None else ["the glass was broken without a review being owed"]
    if not quorum_reached(change):
        return ["the approvals do not reach the policy's quorum"]
    if any(d.verdict == "approve" and d.seen_digest != change.digest for d in change.counted):
        return ["a decision was given on another digest"]
    if any(d.verdict == "reject" for d in change.counted):
        return ["somebody rejected it"]
    accepted = {gate for d in change.counted if d.verdict == "approve" for gate in d.accepted}
    failed, unclear = refused_gates(change, accepted, bound_exceptions(session, change))
    if failed or unclear:
        return [f"gate {gate} has not passed" for gate in (*failed, *unclear)]
    if begun:
        return []
    lost = _approvals_lost(session, change) or lost_reports(session, change)
    if lost:
        return lost
    owed = owed_before(session, change)
    if owed is not None:
        return [owed]
    return _frozen(change, active_policy(session))


def _frozen(change: Change, policy: ActivePolicy) -> list[str]:
    frozen = policy.document.frozen_until(change.kind, change.environment, clock.now())
    return [f"the freeze {frozen[0].name} began"] if frozen is not None else []


def _approvals_lost(session: ReadSession, change: Change) -> list[str]:
    """Approvals by accounts that are disabled, or that no longer have the role by which they counted; without names,
    since this goes into the log, where no erasure reaches one."""
    lost = []
    for given in change.counted:
        if given.verdict != "approve":
            continue
        giver = session.get_one(Person, given.person_id)
        entitled = session.get_one(Person, given.on_behalf_of) if given.on_behalf_of else giver
        owners = [session.get_one(Person, one.owner_id) for one in (giver, entitled) if one.owner_id]
        role = given.role.replace("_", " ")
        if any(one.disabled_at is not None for one in (giver, entitled, *owners)):
            lost.append(f"whoever approved it as {role} has been disabled since")
        elif given.role not in actor_of(entitled, session_id=None).roles_about(change.model):
            lost.append(f"whoever approved it as {role} no longer has the role {role}")
    needed = [
        one
        for decision in change.counted
        if decision.verdict == "approve"
        for one in counted_by(decision.person_id, decision.on_behalf_of, decision.role)
    ]
    return lost or accounts_otherwise(session, needed, model=change.model)


def why_not_allowed(session: ReadSession, change: Change) -> str | None:
    """Why the rule that is in force now allows no such change at all; None where it does. One small question."""
    if change.model is None:
        return None
    return why_forbidden(session, change.kind, session.get_one(Model, change.model), change.environment)


def what_differs_since_switch(session: ReadSession, change: Change) -> list[str]:
    """The same once the (tried) version is the champion: the parts of the version, its target and its rule."""
    refused = why_not_allowed(session, change)
    if refused is not None:
        return [refused]
    model, version = (
        session.get_one(Model, change.model),
        session.get_one(Version, (change.model, change.to_version)),
    )
    serving = champion(session, model.name, change.environment)
    if serving is None or serving.change_id != change.id or change.to_cutoff is None:
        return ["something else serves now"]
    policy = active_policy(session)
    entry = policy.document.entry_for(change.kind, model.tier, change.environment)
    try:
        now = bind_version(
            session, model, version, _replaced(session, change, serving), kind=change.kind,
            environment=change.environment, cutoff=change.to_cutoff, segments=change.subject.get("segments", {}),
        )  # fmt: skip
    except WarrantError as error:
        return [error.message]
    now["policy"] = rule_digest(stored_rule(policy, entry))
    return _differing(change, now)


def what_differs_now(session: ReadSession, change: Change) -> list[str]:
    """`what_differs` of what is approved; of what is being executed what its next stage asks, and once its version is
    the champion what the end of it asks."""
    if change.state != "executing":
        return what_differs(session, change)
    serving = champion(session, change.model, change.environment) if change.model is not None else None
    if serving is not None and serving.change_id == change.id:
        return what_differs_since_switch(session, change)
    return what_differs(session, change, begun=True)


def _replaced(session: ReadSession, change: Change, serving: Deployment) -> Deployment | None:
    """The champion that this change's own took over from."""
    if change.from_version is None:
        return None
    return session.scalars(
        select(Deployment)
        .where(
            Deployment.model == serving.model,
            Deployment.environment == serving.environment,
            Deployment.role == "champion",
            Deployment.id < serving.id,
        )
        .order_by(Deployment.id.desc())
        .limit(1)
    ).one_or_none()


def _differing(change: Change, now: dict[str, str]) -> list[str]:
    return [
        f"{WORDS.get(part, part + ' changed')} (signed {signed[:19]}…, now {now.get(part, 'nothing')[:19]}…)"
        for part, signed in sorted(change.bound.items())
        if now.get(part, "nothing") != signed
    ]
