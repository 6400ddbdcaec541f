"""What does not wait for a decision: a return that was approved with its promotion, and breaking the glass."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select

from backend import clock
from backend.audit.actions import Action
from backend.audit.change_checks import unrecorded_changes
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.deployment.service import champion
from backend.errors import NotAllowed, WarrantError
from backend.governance import errors, machine
from backend.governance.account_record import refuse_otherwise
from backend.governance.agreed_returns import agreed_otherwise, days_agreed, finished_times
from backend.governance.asking import Preview, draft_change, keep_snapshot, preview_change, signed_digest
from backend.governance.digests import digest_of
from backend.governance.evidence import RETURN_PARTS, bind_return
from backend.governance.kinds import Asked
from backend.governance.overtaking import abort_executing
from backend.governance.policies import active_policy, why_forbidden
from backend.governance.policy_rules import Freeze
from backend.governance.reviews import open_review
from backend.governance.tables import Change, WayBack
from backend.identity.actor import Actor
from backend.identity.freshness import require_fresh
from backend.identity.reach import allow
from backend.identity.roles import Permission
from backend.queue import EXECUTE_CHANGE, request_job
from backend.registry.service import get_model, get_version


def break_glass(
    session: WriteSession, actor: Actor, asked: Asked, *, reason: str, seen_digest: str
) -> Change:
    """Act at once, without approval, where the rule allows it to one of this person's roles.

    What waits for the same model is void, and a rollout that is executed is aborted. Doing it twice is once. The
    change owes a review by somebody else, and until that is given the team gets no ordinary release approved.
    """
    allow(session, actor, Permission.REQUEST_CHANGE)
    preview = preview_change(session, actor, asked)
    why_not = why_not_break_glass(actor, preview)
    if why_not is not None:
        raise NotAllowed(why_not)
    rule = preview.rule.break_glass
    assert rule is not None  # noqa: S101 - else there was a reason why not
    role = next(one for one in rule.roles if one in actor.roles_about(asked.model))
    refuse_otherwise(session, [(actor.person_id, role)], model=asked.model)
    signed_in_at = require_fresh(actor, "break the glass", tokens=preview.rule.tokens)
    again = _broken_already(session, actor, asked, seen_digest)
    if again is not None:
        return again
    change = draft_change(
        session, actor, asked, reason=reason, seen_digest=seen_digest, overtakes=True, aborts=True
    )
    abort_executing(session, actor, change, how="broke the glass")
    change.break_glass = True
    _start(session, actor, change, "break_glass")
    review = open_review(session, change, within_h=rule.review_within_h)
    record(
        session, actor, Action.GLASS_BROKEN, object_kind="change", object_id=change.id,
        payload={"digest": change.digest, "review_due": clock.to_iso(review.due_at)}
        | ({"signed_in_at": clock.to_iso(signed_in_at)} if signed_in_at else {}),
        why=reason,
    )  # fmt: skip
    return change


def _broken_already(session: WriteSession, actor: Actor, asked: Asked, seen_digest: str) -> Change | None:
    """The same break-glass of the same person, while it is under way: a double click."""
    return session.scalars(
        select(Change).where(
            Change.model == asked.model, Change.environment == asked.environment, Change.break_glass.is_(True),
            Change.requested_by == actor.person_id, Change.request_digest == seen_digest,
            Change.state.in_(("approved", "executing")),
        )
    ).first()  # fmt: skip


def why_not_break_glass(actor: Actor, preview: Preview) -> str | None:
    """Why this person cannot act without approval, in words, or None when they can."""
    rule, kind = preview.rule.break_glass, preview.proposal.asked.kind
    if rule is None or kind not in rule.kinds:
        return f"the rule {preview.entry.name!r} does not allow breaking the glass for a {kind}"
    if not set(rule.roles) & actor.roles_about(preview.proposal.asked.model):
        return f"breaking the glass is allowed to: {', '.join(rule.roles)}"
    if actor.kind != "person":
        return "a person breaks the glass; a service account does not"
    return None


def agree_way_back(session: WriteSession, change: Change, deployment_id: int) -> WayBack | None:
    """Open the return that was approved with a promotion, once it is executed; None where none was agreed.

    What was done by breaking the glass can be undone so, too, while it may stand and `UNDONE_DAYS` more.
    """
    bound = change.evidence.get("way_back")
    days = days_agreed(change)
    if change.from_version is None or not days or not bound:
        return None
    known = session.scalars(select(WayBack).where(WayBack.change_id == change.id)).one_or_none()
    if known is not None:
        return known
    now = clock.now()
    assert change.model is not None and change.from_cutoff is not None  # noqa: S101 - a promotion has both
    assert change.to_version is not None  # noqa: S101
    way = WayBack(
        change_id=change.id, model=change.model, environment=change.environment, from_version=change.to_version,
        to_version=change.from_version, to_cutoff=change.from_cutoff, bound=bound["bound"],
        deployment_id=deployment_id, opened_at=now, expires_at=now + timedelta(days=days),
    )  # fmt: skip
    session.add(way)
    session.flush()
    return way


def open_way_back(session: ReadSession, viewer: Actor, model: str, environment: str) -> WayBack | None:
    """The return that is agreed for what serves now, if it can still be taken."""
    get_model(session, viewer, model)
    serving = champion(session, model, environment)
    if serving is None:
        return None
    way = session.scalars(select(WayBack).where(WayBack.deployment_id == serving.id)).one_or_none()
    if way is None or way.expires_at is None or clock.now() >= way.expires_at:
        return None
    return way if taken_with(session, way) is None else None


def taken_with(session: ReadSession, way: WayBack) -> int | None:
    """The change that took the return, or is taking it; None also where one tried and came to nothing: a gateway that
    did not follow, or a store that was away, takes nobody's way back away."""
    if way.used_by is None:
        return None
    tried = session.get_one(Change, way.used_by)
    return None if tried.state in machine.FINISHED and tried.state != "executed" else tried.id


def way_back_view(session: ReadSession, viewer: Actor, model: str, environment: str) -> dict[str, Any] | None:
    """The agreed return of what serves as people see it: the digest to take it by, and why it cannot be taken."""
    way = open_way_back(session, viewer, model, environment)
    if way is None:
        return None
    return {
        "id": way.id, "change_id": way.change_id, "model": model, "environment": environment,
        "from_version": way.from_version, "to_version": way.to_version, "to_cutoff": way.to_cutoff,
        "expires_at": way.expires_at, "digest": way_back_digest(way),
        "differs": _why_not_now(session, viewer, way),
    }  # fmt: skip


def way_back_differs(
    session: ReadSession, viewer: Actor, way: WayBack, *, taken_by: int | None = None
) -> list[str]:
    """Each reason why the return is no longer what was agreed; empty when it holds (for the change that takes it)."""
    serving = champion(session, way.model, way.environment)
    if serving is None or (serving.id, serving.version) != (way.deployment_id, way.from_version):
        return ["something else serves now than the version it returns from"]
    if way.expires_at is None or clock.now() >= way.expires_at:
        return [f"it was agreed until {way.expires_at:%Y-%m-%d %H:%M:%S UTC}"]
    taken = way.used_by if taken_by is not None else taken_with(session, way)
    if taken != taken_by:
        return [f"it was taken with CHG-{taken}"]
    altered = _why_not_agreed(session, way)
    if altered:
        return altered
    forbidden = why_forbidden(session, "rollback", get_model(session, viewer, way.model), way.environment)
    if forbidden is not None:
        return [forbidden]
    try:
        now = bind_return(session, get_version(session, viewer, way.model, way.to_version))
    except WarrantError as error:
        return [error.message]
    words = {"artefact": "the model's files", "reference": "its reference data", "card": "its card",
             "metrics": "its recorded metrics"}  # fmt: skip
    return [
        f"{words[part]} changed since it was agreed" for part in RETURN_PARTS if now[part] != way.bound[part]
    ]


def _why_not_agreed(session: ReadSession, way: WayBack) -> list[str]:
    """What of the row was not agreed with the change that it undoes, or of that change is not what was signed."""
    change = session.get_one(Change, way.change_id)
    unsigned = f"what is stored of CHG-{change.id}, with which it was agreed, is not what was signed"
    altered = [unsigned] if change.digest != signed_digest(change) else []
    altered += [one.title for one in unrecorded_changes(session, [change.id])]
    finished_at = finished_times(session, [change.id]).get(change.id)
    return altered or agreed_otherwise(way, change, change.evidence.get("way_back"), finished_at)


def _why_not_now(session: ReadSession, viewer: Actor, way: WayBack) -> list[str]:
    """`way_back_differs`, and a freeze that does not except returns; one that is under way goes on in it."""
    frozen = _frozen(session, way)
    told = (
        f"the freeze {frozen[0].name} excepts no return until {frozen[1]:%Y-%m-%d %H:%M:%S UTC}"
        if frozen
        else ""
    )
    return way_back_differs(session, viewer, way) + [told] * bool(told)


def _frozen(session: ReadSession, way: WayBack) -> tuple[Freeze, datetime] | None:
    return active_policy(session).document.frozen_until("rollback", way.environment, clock.now())


def take_way_back(
    session: WriteSession,
    actor: Actor,
    way_back_id: int,
    *,
    reason: str,
    seen_digest: str,
    alert_id: int | None = None,
    incident_id: int | None = None,
) -> Change:
    """Return as agreed: one person, at once. Refused after its time, on a difference, when it was taken, and in a
    freeze that does not except the kind `rollback`.

    `seen_digest` is of the way back as it was shown (`way_back_digest`). That the old version still scores the last
    rows is checked by the run before anything moves. `alert_id`: the alert that it answers; its incident is closed, or
    where there is none that of `incident_id`.
    """
    allow(session, actor, Permission.REQUEST_CHANGE)
    if actor.kind != "person":
        raise NotAllowed("a person takes an agreed return; a service account does not")
    way = session.scalars(select(WayBack).where(WayBack.id == way_back_id).with_for_update()).one_or_none()
    if way is None:
        raise errors.WayBackClosed(f"there is no agreed return {way_back_id}")
    model = get_model(session, actor, way.model)
    forbidden = why_forbidden(session, "rollback", model, way.environment)
    if forbidden is not None:
        raise errors.NotAllowedByPolicy(forbidden)
    differs = _why_not_now(session, actor, way)
    if differs:
        raise errors.WayBackClosed(
            f"{'; '.join(differs)}. Ask for a rollback instead, or break the glass", differs=differs
        )
    if way_back_digest(way) != seen_digest:
        raise errors.WayBackClosed("it is not the return you were shown; look again")
    return _take(session, actor, way, reason=reason, alert_id=alert_id, incident_id=incident_id)


def return_on_breach(
    session: WriteSession, actor: Actor, way_back_id: int, *, reason: str, alert_id: int | None = None
) -> Change:
    """Return as agreed because a condition of the promotion broke: the approval covers it, and nobody has to act.

    Asked for by who asked for the promotion, in advance. `WayBackClosed` where it is no longer what was agreed.
    """
    way = session.scalars(select(WayBack).where(WayBack.id == way_back_id).with_for_update()).one()
    differs, frozen = _why_not_now(session, actor, way), _frozen(session, way)
    if differs:
        opens_at = clock.to_iso(frozen[1]) if frozen else None
        raise errors.WayBackClosed("; ".join(differs), differs=differs, opens_at=opens_at)
    agreed_with = session.get_one(Change, way.change_id)
    return _take(session, actor, way, reason=reason, requested_by=agreed_with.requested_by, alert_id=alert_id)


def _take(
    session: WriteSession,
    actor: Actor,
    way: WayBack,
    *,
    reason: str,
    alert_id: int | None,
    incident_id: int | None = None,
    requested_by: str | None = None,
) -> Change:
    asked = Asked(
        "rollback",
        way.environment,
        way.model,
        way.to_version,
        way.to_cutoff,
        alert_id,
        incident_id=incident_id,
    )
    preview = preview_change(session, actor, asked)
    change = draft_change(
        session, actor, asked, reason=reason, seen_digest=preview.digest, overtakes=True,
        aborts=requested_by is None, requested_by=requested_by,
    )  # fmt: skip
    if requested_by is None:  # what takes it by itself aborts nothing that people approved
        abort_executing(session, actor, change, how="took the agreed return")
    change.way_back_id, way.used_by = way.id, change.id
    _start(session, actor, change, "agreed_before")
    record(
        session, actor, Action.RETURN_TAKEN, object_kind="change", object_id=change.id,
        payload={"way_back": way.id, "agreed_with": way.change_id, "digest": way_back_digest(way)}, why=reason,
    )  # fmt: skip
    return change


def way_back_digest(way: WayBack) -> str:
    """What a person who takes the return has seen."""
    return digest_of(
        {"change": way.change_id, "model": way.model, "environment": way.environment,
         "to_version": way.to_version, "to_cutoff": repr(way.to_cutoff), "bound": way.bound}
    )  # fmt: skip


def _start(session: WriteSession, actor: Actor, change: Change, event: Any) -> None:
    change.digest = signed_digest(change)
    change.state = machine.after(change.state, event, what=f"CHG-{change.id}")
    change.run_id = f"change-{change.id}"
    session.flush()
    keep_snapshot(session, change)
    request_job(
        session, EXECUTE_CHANGE, subject=f"CHG-{change.id}", arguments={"change_id": change.id},
        run_id=change.run_id, requested_by=actor.person_row,
    )  # fmt: skip
