"""What people tell a rollout that runs, and what they see of it."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Select, select

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput, NotAllowed
from backend.governance import errors
from backend.governance.authority import authority_over, hands_over, refuse_excluded, roles_over
from backend.governance.reading import get_change
from backend.governance.rollouts import paused_by, rule_of, skips_of, stages
from backend.governance.tables import Change, RolloutCommand, RolloutStep
from backend.identity.actor import Actor
from backend.identity.people import names_of
from backend.identity.reach import allow
from backend.identity.roles import Permission
from backend.identity.sessions import actor_of
from backend.identity.tables import Person

COMMANDS: Final = ("pause", "resume", "skip", "abort")


def tell_rollout(
    session: WriteSession, actor: Actor, change_id: int, *, command: str, reason: str
) -> RolloutCommand:
    """A person pauses, resumes, skips or aborts the stage of a rollout that runs; the run takes it within seconds.

    An abort puts back what served before. Skipping and aborting need a reason. Skipping sets aside what the approval
    relied on, so it is for people who could decide on the change: a role of its rule (an own or a lent one), and not
    excluded by it; and it takes two of them where the rule asks for two approvals, but for roles that the rule lets
    `skip` alone. Who is excluded does not resume what is inconclusive, or what somebody else paused. Service accounts
    do neither. The same command twice, while the first is not taken, is one.
    """
    if command != "skip":  # who may decide under a right that was lent has no permission of their own
        allow(session, actor, Permission.REQUEST_CHANGE)
    asked = get_change(session, actor, change_id)
    _require_entitled(session, actor, asked, command)
    change = session.scalars(select(Change).where(Change.id == change_id).with_for_update()).one()
    if command not in COMMANDS:
        raise BadInput(f"a rollout is told to {', '.join(COMMANDS)}; not {command!r}", field="command")
    if not reason.strip() and command in ("skip", "abort"):
        raise BadInput(f"say why you {command} it", field="reason")
    why_not = why_not_tell(session, change, command)
    if why_not is not None:
        raise errors.RolloutNotRunning(why_not)
    same = session.scalars(_untaken(change_id, command, by=actor if command == "skip" else None)).first()
    if same is not None:
        return same
    if command == "skip":
        _refuse_same_hands(session, actor, change)
    told = RolloutCommand(
        change_id=change_id, command=command, person_id=actor.person_id, reason=reason.strip(), given_at=clock.now(),
        alone=command != "skip" or skips_alone(session, actor, change),
    )  # fmt: skip
    session.add(told)
    session.flush()
    agreed = {"agreed": told.alone or len(skips_of(session, change_id)) >= 2} if command == "skip" else {}
    record(
        session, actor, Action.ROLLOUT_TOLD, object_kind="change", object_id=change_id,
        payload={"command": command} | agreed, why=reason.strip(),
    )  # fmt: skip
    return told


def skips_alone(session: ReadSession, actor: Actor, change: Change) -> bool:
    """Whether this person's word is enough to skip a stage of the change."""
    if sum(change.policy["roles"].values()) < 2:
        return True
    return bool(roles_over(session, actor, change) & set(rule_of(change).get("skip", ())))


def _refuse_same_hands(session: ReadSession, actor: Actor, change: Change) -> None:
    """`DecidedAlready` where the second word would be of who gave the first, by another hand."""
    mine = hands_over(session, actor, change)
    for one in skips_of(session, change.id):
        other = actor_of(session.get_one(Person, one.person_id), session_id=None)
        try:
            theirs = hands_over(session, other, change)
        except NotAllowed:
            theirs = {other.person_id}
        if mine & theirs:
            raise errors.DecidedAlready(
                f"skipping this stage of CHG-{change.id} was said for you already; somebody else has to say so, too"
            )


def _require_entitled(session: ReadSession, actor: Actor, change: Change, command: str) -> None:
    if command in ("skip", "resume") and actor.kind == "service":
        raise NotAllowed(f"a person has to {command} a stage; a service account does not")
    if command == "skip":
        authority_over(session, actor, change)
        return
    allow(session, actor, Permission.REQUEST_CHANGE)
    if command == "resume" and not _paused_themselves(session, actor, change):
        refuse_excluded(session, actor, change)


def _paused_themselves(session: ReadSession, actor: Actor, change: Change) -> bool:
    row = current_step(session, change.id)
    paused = paused_by(session, row) if row is not None else None
    if paused is None and row is not None and row.verdict is None:
        paused = session.scalars(_untaken(change.id, "pause")).first()
    return paused is not None and paused.person_id == actor.person_id


def _may_tell(session: ReadSession, actor: Actor, change: Change, command: str) -> bool:
    try:
        _require_entitled(session, actor, change, command)
    except NotAllowed:
        return False
    return True


def why_not_tell(session: ReadSession, change: Change, command: str) -> str | None:
    """Why a command has no place now, in words; None where it has."""
    if change.state != "executing":
        return f"CHG-{change.id} is {change.state}; only a rollout that runs is told something"
    row = current_step(session, change.id)
    if row is None:
        return f"CHG-{change.id} has no stage that is watched; it moves by itself in seconds"
    held = row.verdict == "inconclusive" or paused_by(session, row) is not None
    if command == "resume" and not held and not _asked_to_pause(session, change.id):
        return f"CHG-{change.id} is not paused"
    if command == "pause" and held:
        return f"CHG-{change.id} waits for a person already"
    return None


def _asked_to_pause(session: ReadSession, change_id: int) -> bool:
    return session.scalars(_untaken(change_id, "pause")).first() is not None


def _untaken(change_id: int, command: str, *, by: Actor | None = None) -> Select[RolloutCommand]:
    query = (
        select(RolloutCommand)
        .where(
            RolloutCommand.change_id == change_id,
            RolloutCommand.taken_at.is_(None),
            RolloutCommand.command == command,
        )
        .order_by(RolloutCommand.id)
        .limit(1)
    )
    return query if by is None else query.where(RolloutCommand.person_id == by.person_id)


def current_step(session: ReadSession, change_id: int) -> RolloutStep | None:
    """The stage that is watched now."""
    return session.scalars(
        select(RolloutStep)
        .where(
            RolloutStep.change_id == change_id,
            RolloutStep.bake_until.is_not(None),
            RolloutStep.finished_at.is_(None),
        )
        .order_by(RolloutStep.number)
        .limit(1)
    ).one_or_none()


def _skip_view(session: ReadSession, viewer: Actor, change: Change) -> dict[str, Any]:
    """Who said that the stage be skipped, and whether the viewer's word would be enough."""
    said = skips_of(session, change.id)
    names = names_of(session, {one.person_id for one in said})
    enough = bool(said) or (
        _may_tell(session, viewer, change, "skip") and skips_alone(session, viewer, change)
    )
    return {
        "said_by": [names[one.person_id] for one in said], "enough": enough,
        "mine": any(one.person_id == viewer.person_id for one in said),
    }  # fmt: skip


def rollout_view(session: ReadSession, viewer: Actor, change_id: int) -> dict[str, Any]:
    """The rollout of a change as people see it: its stages, what was seen, what they can tell it."""
    change = get_change(session, viewer, change_id)
    rows = session.scalars(
        select(RolloutStep).where(RolloutStep.change_id == change_id).order_by(RolloutStep.number)
    ).all()
    told = session.scalars(
        select(RolloutCommand).where(RolloutCommand.change_id == change_id).order_by(RolloutCommand.id)
    ).all()
    now_at = current_step(session, change_id)
    segments = {stage.number: dict(stage.segments) for stage in stages(change)}
    return {
        "change": change.id,
        "strategy": rule_of(change).get("strategy", "all_at_once"),
        "state": change.state,
        "step": change.step,
        "paused": now_at is not None
        and (now_at.verdict == "inconclusive" or paused_by(session, now_at) is not None),
        "stages": [
            {"number": one.number, "role": one.role, "share": one.share, "segments": segments.get(one.number, {}),
             "deployment_id": one.deployment_id,
             "started_at": one.started_at, "bake_until": one.bake_until, "finished_at": one.finished_at,
             "verdict": one.verdict, "analysis": one.analysis}
            for one in rows
        ],
        "commands": [
            {"command": one.command, "person_id": one.person_id, "reason": one.reason, "given_at": one.given_at,
             "taken_at": one.taken_at}
            for one in told
        ],
        "skip": _skip_view(session, viewer, change) if now_at is not None else None,
        "can_tell": [
            one for one in COMMANDS
            if _may_tell(session, viewer, change, one) and why_not_tell(session, change, one) is None
            and not (one == "skip" and any(said.person_id == viewer.person_id for said in skips_of(session, change.id)))
        ],
    }  # fmt: skip
