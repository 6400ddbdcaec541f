"""Deciding on a change: what a decision needs, when the quorum is reached, and what follows.

Who may decide is in `backend.governance.authority`. Fifty people who decide at once wait for each other at the head of
the audit log: what a decision reads comes in two questions, and the entry is appended last.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

from sqlalchemy import bindparam, exists, select
from sqlalchemy.orm import aliased, defer, lazyload
from sqlalchemy.orm.attributes import set_committed_value

from backend import clock
from backend.assurance.exceptions import is_excepted, why_not_granted
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.base import new_id
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput, NotAllowed
from backend.governance import errors, machine
from backend.governance.account_record import counted_by, refuse_otherwise
from backend.governance.asking import (
    checked_text,
    expire_if_late,
    keep_snapshot,
    refuse_stale,
    reopen,
    shown_digest,
)
from backend.governance.authority import (
    Authority,
    authority_over,
    decision_of,
    held_owners,
    recount,
    why_not_decide,
)
from backend.governance.excepted import bound_exceptions
from backend.governance.external_checks import refuse_reports
from backend.governance.high_risk import require_fresh_decision
from backend.governance.kinds import kind_of
from backend.governance.policies import active_policy
from backend.governance.request_record import refuse_altered, text_of_request
from backend.governance.reviews import outstanding_reviews, owed_before
from backend.governance.tables import Change, Decision, Snapshot
from backend.identity.actor import Actor
from backend.identity.reach import allow, narrow
from backend.identity.roles import Permission
from backend.identity.tables import Person
from backend.queue import EXECUTE_CHANGE, request_job
from backend.registry.tables import Model

VERDICTS = ("approve", "reject", "ask", "retract")


def decide(
    session: WriteSession,
    actor: Actor,
    change_id: int,
    *,
    verdict: str,
    comment: str,
    seen_digest: str,
    accept: Collection[str] = (),
) -> Change:
    """Approve, reject or ask for changes, on exactly the digest that was seen; or retract an approval of one's own.

    What is approved can still be rejected, and an approval of it be retracted, until a worker has begun it; a draft
    that was sent back can be rejected, also by who asked for changes to it.
    `accept` names inconclusive gates that an approval takes upon itself; that needs a comment. The approval that
    completes the quorum queues the execution in the same transaction, or leaves it to the schedule while a freeze
    holds. The same decision sent twice is one decision; a different one, or other words, is
    `DecidedAlready`.
    """
    if verdict not in VERDICTS:
        raise BadInput(f"a decision is one of {', '.join(VERDICTS)}, not {verdict!r}", field="verdict")
    change, is_kept, may_lean, told, tier = _locked(session, actor, change_id)
    if verdict in ("approve", "ask"):  # what stops a change is never refused because it was altered
        refuse_altered(change, told)
    if verdict == "retract":
        return _retract(session, actor, change, comment, seen_digest)
    kind_of(change.kind).require_person(actor, "decide on")
    authority = authority_over(session, actor, change)
    if verdict in ("approve", "ask"):
        refuse_otherwise(
            session, counted_by(actor.person_id, authority.on_behalf_of, authority.role), model=change.model
        )
    signed_in_at = require_fresh_decision(actor, change, tier, verdict)
    needs_comment = verdict == "ask" or verdict in change.policy["comment_required_to"] or bool(accept)
    comment = checked_text(comment, "comment", required=needs_comment)
    mine = decision_of(session, actor, authority, _standing(change, verdict))
    if mine is not None:
        same = (mine.verdict, mine.seen_digest, mine.person_id) == (verdict, seen_digest, actor.person_id)
        if same and (mine.comment, set(mine.accepted)) == (
            comment,
            set(accept) if verdict == "approve" else set(),
        ):
            return change
        if same:
            raise errors.DecidedAlready(
                f"you decided to {verdict} CHG-{change_id} at {mine.decided_at:%H:%M:%S UTC}; that stays with the "
                "comment it had, and what you sent now changed nothing"
            )
        raise errors.DecidedAlready(
            f"{'you' if mine.person_id == actor.person_id else 'the person you act for, or somebody for them,'} "
            f"decided to {mine.verdict} CHG-{change_id} at {mine.decided_at:%H:%M:%S UTC}"
            + ("; retract that first" if own_approval(session, actor, change) is mine else "")
        )
    refuse_stale(change.digest, seen_digest, f"CHG-{change_id}")
    excepted: dict[str, int] = {}
    _require_open(session, change, verdict)
    if verdict == "approve":
        excepted = bound_exceptions(session, change) if may_lean else {}
        _refuse_gates(session, change, accept, excepted)
        _refuse_outstanding(session, change)
        refuse_reports(session, actor, authority.on_behalf_of, change)
    if not is_kept:
        keep_snapshot(session, change)
    decision = Decision(
        id=new_id("dec"), change_id=change.id, revision=change.revision, person_id=actor.person_id,
        on_behalf_of=authority.on_behalf_of, verdict=verdict, comment=comment, seen_digest=seen_digest,
        accepted=sorted(accept) if verdict == "approve" else [], role=authority.role, decided_at=clock.now(),
        signed_in_at=signed_in_at,
    )  # fmt: skip
    with session.no_autoflush:
        change.decisions.append(decision)
        moved = recount(session, change) if verdict == "approve" else {}
        _follow(session, actor, change, verdict)
    record(
        session, actor, _ACTIONS[verdict], object_kind="change", object_id=change.id,
        payload={"decision": decision.id, "digest": seen_digest, "role": decision.role, "state": change.state,
                 "on_behalf_of": authority.on_behalf_of, "accepted": decision.accepted,
                 "exceptions": _leaned_on(change, excepted)}
        | ({"recounted": moved} if moved else {})
        | ({"signed_in_at": clock.to_iso(signed_in_at)} if signed_in_at else {})
        | ({} if is_kept else {"shown": shown_digest(change)}),
        why=comment,
    )  # fmt: skip
    return change


def _standing(change: Change, verdict: str) -> list[Decision]:
    """The decisions beside which nobody gives another one. Once changes were asked for, only a rejection is."""
    if verdict == "reject" and any(one.verdict == "ask" for one in change.counted):
        return [one for one in change.counted if one.verdict == "reject"]
    return change.counted


def _require_open(session: WriteSession, change: Change, verdict: str) -> None:
    """`ChangeNotWaiting` where a change takes no such decision now."""
    late = expire_if_late(session, change)
    if not late and (
        change.state == "waiting"
        or (verdict in ("reject", "retract") and is_stoppable(change))
        or (verdict == "reject" and change.state == "draft")
    ):
        return
    state = machine.WORDS[change.state]  # type: ignore[index]
    hint = "; it can be rejected, or an approval of it retracted" if is_stoppable(change) else ""
    if change.state == "draft":
        hint = "; it can be rejected, and is decided on once it was sent again"
    if change.state == "executing" and kind_of(change.kind).rollout:
        hint = "; its rollout can be aborted"
    raise errors.ChangeNotWaiting(f"CHG-{change.id} is {state}; it takes no decisions{hint}")


def is_stoppable(change: Change) -> bool:
    """Whether those who decide can still stop it: approved by them, and taken up by no worker."""
    return change.state == "approved" and not change.is_urgent


def why_not_reject(session: ReadSession, viewer: Actor, change: Change) -> str | None:
    """Why this viewer cannot reject the change now, in words; None where they can, also what is approved already, or
    a draft that was sent back."""
    sent_back = change.state == "draft"
    if not (is_stoppable(change) or sent_back) or clock.now() >= change.expires_at:
        return why_not_decide(session, viewer, change)
    try:
        kind_of(change.kind).require_person(viewer, "decide on")
        authority = authority_over(session, viewer, change)
    except NotAllowed as error:
        return error.message
    given = None if sent_back else decision_of(session, viewer, authority, change.counted)
    return None if given is None else "you have decided already; retract your approval to stop it"


def own_approval(
    session: ReadSession, actor: Actor, change: Change, *, retracted: bool = False
) -> Decision | None:
    """The approval of this revision by this person, or by somebody for them; of those that count, or were retracted."""
    given = [
        one
        for one in change.decisions
        if one.verdict == "approve"
        and one.revision == change.revision
        and (one.retracted_at is not None) == retracted
    ]
    return decision_of(session, actor, Authority(""), given)


def _retract(session: WriteSession, actor: Actor, change: Change, comment: str, seen_digest: str) -> Change:
    """Take back one's own approval: it needs no right to decide any more, and a reason. Twice is once."""
    comment = checked_text(comment, "comment", required=True)
    if not actor.is_in_scope(Permission.DECIDE_CHANGE):
        allow(session, actor, Permission.DECIDE_CHANGE)  # says that the token was not made for it
    mine = own_approval(session, actor, change)
    if mine is None:
        if own_approval(session, actor, change, retracted=True) is not None:
            return change
        raise NotAllowed(
            f"CHG-{change.id} has no approval of yours that counts: there is none that you could retract"
        )
    refuse_stale(change.digest, seen_digest, f"CHG-{change.id}")
    _require_open(session, change, "retract")
    mine.retracted_at, mine.retracted_because = clock.now(), comment
    reopen(change, "retract")
    session.flush()
    record(
        session, actor, Action.APPROVAL_RETRACTED, object_kind="change", object_id=change.id,
        payload={"decision": mine.id, "digest": seen_digest, "role": mine.role, "state": change.state}, why=comment,
    )  # fmt: skip
    return change


_REQUESTER, _TRAINER, _DATA_OWNER, _GIVER, _LENDER = (aliased(Person) for _ in range(5))
_LOCK: Final = (
    select(
        Change, _REQUESTER.owner_id, _TRAINER.owner_id, _DATA_OWNER.owner_id,
        select(Person.owner_id).where(Person.id == bindparam("actor")).scalar_subquery(),
        exists().where(Snapshot.digest == Change.digest), is_excepted(Change.model), text_of_request(Change.id),
        select(Model.tier).where(Model.name == Change.model).scalar_subquery(),
    )
    .outerjoin(_REQUESTER, _REQUESTER.id == Change.requested_by)
    .outerjoin(_TRAINER, _TRAINER.id == Change.trained_by)
    .outerjoin(_DATA_OWNER, _DATA_OWNER.id == Change.data_owner)
    .where(Change.id == bindparam("change"))
    .options(defer(Change.evidence), defer(Change.subject), lazyload(Change.decisions))
    .execution_options(populate_existing=True)
    .with_for_update(of=Change)
)  # fmt: skip
_GIVEN: Final = (
    select(Decision, _GIVER.owner_id, _LENDER.owner_id)
    .outerjoin(_GIVER, _GIVER.id == Decision.person_id)
    .outerjoin(_LENDER, _LENDER.id == Decision.on_behalf_of)
    .where(Decision.change_id == bindparam("change"))
    .order_by(Decision.decided_at)
)


class _Locked(NamedTuple):
    change: Change
    is_kept: bool
    may_lean: bool
    told: str | None
    tier: str | None


def _locked(session: WriteSession, actor: Actor, change_id: int) -> _Locked:
    """The change, locked for this transaction, with its decisions and who owns the accounts that its rules ask about;
    whether what is shown of it is kept already, whether its model may have an exception from a gate, the text of the
    entry that asks for it, and the tier of its model.

    The decisions are read after the lock was had: who held it before may have decided. Who owns an account never
    changes and no snapshot is removed, so the first question may ask for these before it waits for the lock. An
    exception that was granted while it waited is not seen, and the approval that needed it is refused, not lost.
    """
    narrow(session, actor)  # before anything is read: a change of another team is not there
    asked = {"change": change_id, "actor": actor.person_id, "now": clock.now()}
    row = session.execute(_LOCK, asked).one_or_none()
    if row is None:
        raise errors.ChangeNotFound(f"there is no change CHG-{change_id} that you may see")
    change: Change = row[0]
    if change.model is not None:
        allow(session, actor, Permission.READ_MODELS)  # the model exists: a foreign key holds it
    owners = held_owners(session)
    accounts = (change.requested_by, change.trained_by, change.data_owner, actor.person_id)
    owners.update({one: owner for one, owner in zip(accounts, row[1:5], strict=True) if one})
    given = []
    for decision, giver_owner, lender_owner in session.execute(_GIVEN, {"change": change_id}):
        given.append(decision)
        owners[decision.person_id] = giver_owner
        if decision.on_behalf_of:
            owners[decision.on_behalf_of] = lender_owner
    set_committed_value(change, "decisions", given)
    return _Locked(change, bool(row[5]), bool(row[6]), row[7], row[8])


_ACTIONS = {
    "approve": Action.CHANGE_APPROVED,
    "reject": Action.CHANGE_REJECTED,
    "ask": Action.CHANGES_ASKED_FOR,
}


def _follow(session: WriteSession, actor: Actor, change: Change, verdict: str) -> None:
    """What a decision brings about."""
    what = f"CHG-{change.id}"
    if verdict == "reject":
        change.state, change.finished_at = machine.after(change.state, "reject", what=what), clock.now()
        change.step = ""
    elif verdict == "ask":
        change.state = machine.after(change.state, "ask_for_changes", what=what)
    elif quorum_reached(change):
        change.state = machine.after(change.state, "approve", what=what)
        change.times_approved += 1
        start_unless_frozen(session, change, requested_by=actor.person_row)


def start_unless_frozen(session: WriteSession, change: Change, *, requested_by: str | None) -> bool:
    """Queue the execution of an approved change that the caller has locked, once; False while a freeze holds."""
    frozen = active_policy(session).document.frozen_until(change.kind, change.environment, clock.now())
    if frozen is not None and not change.break_glass:
        freeze, until = frozen
        change.step = f"frozen ({freeze.name}) until {until:%Y-%m-%d %H:%M:%S UTC}; it starts then"
        return False
    owed = owed_before(session, change)
    if owed is not None:  # the glass was broken while a freeze held it
        change.step = f"{owed}; it starts once somebody has"
        return False
    again = f"-{change.times_approved}" if change.times_approved > 1 else ""
    change.run_id, change.step = f"change-{change.id}{again}", ""
    request_job(
        session, EXECUTE_CHANGE, subject=f"CHG-{change.id}", arguments={"change_id": change.id},
        run_id=change.run_id, requested_by=requested_by, once=True,
    )  # fmt: skip
    return True


def start_thawed_changes(session: WriteSession) -> int:
    """Queue what was approved during a freeze that is over; gives how many."""
    held = session.scalars(
        select(Change).where(Change.state == "approved", Change.run_id.is_(None)).with_for_update()
    ).all()
    return sum(
        start_unless_frozen(session, change, requested_by=change.requested_by)
        for change in held
        if not expire_if_late(session, change)
    )


def quorum_reached(change: Change) -> bool:
    """Whether each role the policy names has as many approvals of this revision as it asks for."""
    return all(
        sum(d.verdict == "approve" and d.role == role for d in change.counted) >= wanted
        for role, wanted in change.policy["roles"].items()
    )


def refused_gates(
    change: Change, accepted: Collection[str], excepted: Collection[str] = ()
) -> tuple[list[str], list[str]]:
    """(required gates that failed, required gates that are inconclusive and that nobody accepted).

    `excepted` gates stand in the way of nothing: the results name an exception from them, and it counts now.
    """
    required = [result for result in change.gates if result["required"] and result["gate"] not in excepted]
    asked = {gate["gate"] for gate in change.policy["gates"] if gate["required"]} - set(excepted)
    absent = sorted(asked - {result["gate"] for result in required})
    failed = [result["gate"] for result in required if result["verdict"] == "fail"]
    unclear = [
        result["gate"]
        for result in required
        if result["verdict"] not in ("pass", "fail") and result["gate"] not in accepted
    ]
    return failed, unclear + absent


def _leaned_on(change: Change, excepted: dict[str, int]) -> dict[str, int]:
    """The exceptions without which this approval would have been refused: gate -> exception."""
    return {gate: number for gate, number in excepted.items() if gate in _bad_gates(change)}


def _bad_gates(change: Change) -> set[str]:
    return {one["gate"] for one in change.gates if one["required"] and one["verdict"] != "pass"}


def _refuse_gates(
    session: ReadSession, change: Change, accept: Collection[str], excepted: Collection[str]
) -> None:
    unknown = sorted(set(accept) - {r["gate"] for r in change.gates if r["verdict"] == "inconclusive"})
    if unknown:
        raise BadInput(f"{', '.join(unknown)} is not an inconclusive gate of CHG-{change.id}", field="accept")
    failed, unclear = refused_gates(change, accept, excepted)
    if failed or unclear:
        otherwise = why_not_granted(session, change.model)
        altered = [otherwise[gate] for gate in (*failed, *unclear) if gate in otherwise]
        if altered:
            raise errors.GateFailed(f"CHG-{change.id} cannot be approved: {altered[0]}", gates=failed)
    if failed:
        raise errors.GateFailed(
            f"CHG-{change.id} cannot be approved: {', '.join(failed)} failed. Mend the cause and have the gates "
            "evaluated again, or reject it",
            gates=failed,
        )
    if unclear:
        raise errors.GateInconclusive(
            f"CHG-{change.id}: {', '.join(unclear)} could not tell. Have them evaluated again, or accept them by name "
            "with a comment that says why",
            gates=unclear,
        )


def _refuse_outstanding(session: ReadSession, change: Change) -> None:
    """Unreviewed break-glass of the same team stands before its next ordinary release."""
    owed = owed_before(session, change)
    if owed is not None:
        raise errors.ReviewOutstanding(
            f"{owed}; review it before the next release",
            changes=[review.change_id for review in outstanding_reviews(session, change.model or "")],
        )
