"""Carrying a rollout forward, stage by stage, and what people tell it. Each function is one transaction's work.

A stage is a row of `rollout_steps`. The run opens it (the deployment record moves), watches it until its time is over,
and settles it: success goes on, failure puts back what served before, inconclusive waits for a person. The times stand
in the rows, so a run that is resumed elsewhere goes on watching where the earlier one stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Select, select

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.deployment.service import champion, end_beside, mark_serving, open_beside, start_deployment
from backend.deployment.tables import Deployment
from backend.governance import errors
from backend.governance.policy_rules import Rollout
from backend.governance.rollout_analysis import Comparison, Seen, counted, judge
from backend.governance.rollout_plan import Stage, stages_of
from backend.governance.tables import Change, RolloutCommand, RolloutStep
from backend.identity.actor import Actor

ALL_AT_ONCE: Final = {"strategy": "all_at_once"}


def rule_of(change: Change) -> dict[str, Any]:
    """The rollout that this change goes by, with the segments that were named for it. A return and a new cut-off are
    not tried out."""
    if change.kind != "promote":
        return ALL_AT_ONCE
    rule, named = dict(change.policy.get("rollout") or ALL_AT_ONCE), (change.subject or {}).get("segments")
    return rule | {"segments": named, "segments_on_request": False} if named else rule


def stages(change: Change) -> list[Stage]:
    """The stages of a change that moves a version into service."""
    return stages_of(rule_of(change), replaces=change.from_version is not None)


def is_watched(change: Change) -> bool:
    """Whether the rollout takes time in which what was signed can change: several stages, or one that is watched."""
    planned = stages(change)
    return len(planned) > 1 or planned[0].bake_s > 0


def is_open(session: ReadSession, change: Change, number: int) -> bool:
    """Whether this stage has been opened."""
    row = session.get(RolloutStep, (change.id, number))
    return row is not None and row.deployment_id is not None


def require_going(change: Change) -> None:
    """`ChangeOvertaken` where a change that could not wait has aborted this one: nothing of its run may happen."""
    if change.overtaken_by is not None:
        raise errors.ChangeOvertaken(change.outcome, change=change.overtaken_by)


def open_stage(session: WriteSession, actor: Actor, change: Change, number: int) -> int:
    """Move the record to a stage of this (locked) change; gives the deployment that is tried.

    Doing it again gives the deployment that exists. The record moves only from what the approval names.
    """
    require_going(change)
    planned = stages(change)
    _lay_out(session, change, planned)
    stage, row = planned[number - 1], session.get_one(RolloutStep, (change.id, number))
    if row.deployment_id is not None:
        return row.deployment_id
    model, version = change.model, change.to_version
    if model is None or version is None or change.to_cutoff is None:
        raise errors.NothingToChange(f"CHG-{change.id} moves no version")
    serving = champion(session, model, change.environment)
    if (serving.version if serving else None) != change.from_version:
        raise errors.ApprovalVoid(
            f"version {serving.version if serving else 'none'} serves now, not version {change.from_version}, from "
            f"which CHG-{change.id} was approved"
        )
    reason = f"CHG-{change.id}: {change.kind}"
    if len(planned) > 1 or stage.bake_s:
        reason += f", {stage.words}"
    if stage.role == "champion":
        opened = _switch(session, actor, change, stage, serving, reason=reason)
    else:
        opened = open_beside(
            session, actor, model=model, environment=change.environment, version=version, cutoff=change.to_cutoff,
            role=stage.role, share=stage.share, segments=stage.segments, change_id=change.id, reason=reason,
        )  # fmt: skip
    row.deployment_id, row.started_at = opened.id, opened.started_at
    change.step = (
        "deployment record written" if stage.role == "champion" else f"record written: {stage.words}"
    )
    session.flush()
    return opened.id


def _switch(
    session: WriteSession,
    actor: Actor,
    change: Change,
    stage: Stage,
    serving: Deployment | None,
    *,
    reason: str,
) -> Deployment:
    """The candidate becomes the champion; what it replaces stays loaded while it is watched."""
    assert change.model is not None and change.to_version is not None  # noqa: S101 - checked by the caller
    end_beside(session, actor, change_id=change.id, reason=reason)
    opened = start_deployment(
        session, actor, model=change.model, environment=change.environment, version=change.to_version,
        cutoff=change.to_cutoff, change_id=change.id, reason=reason,
        replaced_state="failed" if _aborted(session, change, serving) else "ended",
    )  # fmt: skip
    if serving is not None and stage.bake_s:
        open_beside(
            session, actor, model=change.model, environment=change.environment, version=serving.version,
            cutoff=serving.cutoff, role="canary", share=0.0, change_id=change.id,
            reason=f"CHG-{change.id}: kept loaded for a return",
        )  # fmt: skip
    return opened


def _aborted(session: ReadSession, change: Change, serving: Deployment | None) -> bool:
    """Whether what serves was brought by a rollout that this change aborted before it was seen to serve well."""
    brought_by = session.get(Change, serving.change_id) if serving is not None and serving.change_id else None
    return brought_by is not None and brought_by.overtaken_by == change.id


def _lay_out(session: WriteSession, change: Change, planned: list[Stage]) -> None:
    known = set(session.scalars(select(RolloutStep.number).where(RolloutStep.change_id == change.id)))
    for stage in planned:
        if stage.number not in known:
            session.add(
                RolloutStep(
                    change_id=change.id,
                    number=stage.number,
                    role=stage.role,
                    share=stage.share,
                    analysis={},
                )
            )
    session.flush()


def begin_watch(session: WriteSession, actor: Actor, change_id: int, number: int) -> None:
    """The gateways serve this stage: its time begins to count, once."""
    change, row = _locked(session, change_id, number)
    require_going(change)
    stage = stages(change)[number - 1]
    if row.deployment_id is not None:
        tried = session.get_one(Deployment, row.deployment_id)
        if tried.ended_at is None:
            mark_serving(session, actor, tried)
    if row.bake_until is None:
        row.bake_until = clock.now() + timedelta(seconds=stage.bake_s)
        change.step = f"watching it {stage.words} until {row.bake_until:%Y-%m-%d %H:%M:%S} UTC"
        if not stage.bake_s:
            _finish(session, actor, change, row, "success", {"why": "not watched"})


def analyse(session: ReadSession, change_id: int, number: int, comparison: Comparison | None = None) -> Seen:
    """What the gateways counted of a stage so far, and what it says."""
    change = session.get_one(Change, change_id)
    row = session.get_one(RolloutStep, (change_id, number))
    stage, rule, now = stages(change)[number - 1], Rollout.model_validate(rule_of(change)), clock.now()
    if row.deployment_id is None or row.started_at is None:
        raise errors.NothingToChange(f"stage {number} of CHG-{change_id} has not begun")
    tried = _tried(session, change, row)
    candidate = counted(session, row.deployment_id, tried)
    beside = None
    if stage.role != "champion" and stage.share < 1:  # else no request is left to the champion
        serving = champion(session, change.model or "", change.environment)
        beside = counted(session, serving.id, tried) if serving is not None else None
    since_s = (now - row.started_at).total_seconds()
    return judge(
        rule, candidate, beside,
        baked=row.bake_until is not None and now >= row.bake_until,
        longest=stage.longest_s is not None and since_s >= stage.longest_s,
        comparison=comparison, compared=stage.longest_s is not None,
    )  # fmt: skip


def _tried(session: ReadSession, change: Change, row: RolloutStep) -> int:
    """Under which deployment gateways tally this stage: that of the candidate, or what is kept loaded beside it."""
    if row.role != "champion":
        return row.deployment_id or 0
    kept = session.scalars(
        select(Deployment.id)
        .where(Deployment.change_id == change.id, Deployment.role == "canary",
               Deployment.version == change.from_version, Deployment.share == 0)
        .order_by(Deployment.id.desc())
    ).first()  # fmt: skip
    return kept or row.deployment_id or 0


def close_rollout(session: WriteSession, actor: Actor, change: Change) -> None:
    """The (locked) change is done: its last stage succeeded, and nothing stays loaded for a return."""
    end_beside(session, actor, change_id=change.id, reason=f"CHG-{change.id} is over")
    for row in _open_rows(session, change.id):
        if row.deployment_id is not None:
            _finish(session, actor, change, row, "success", {**row.analysis, "why": "not watched"})


def fail_rollout(session: WriteSession, actor: Actor, change: Change, why: str) -> None:
    """The (locked) change failed: so did the stage that ran."""
    for row in _open_rows(session, change.id):
        if row.deployment_id is not None:
            _finish(session, actor, change, row, "failure", {**row.analysis, "why": why})


def _open_rows(session: ReadSession, change_id: int) -> list[RolloutStep]:
    query = select(RolloutStep).where(RolloutStep.change_id == change_id, RolloutStep.finished_at.is_(None))
    return list(session.scalars(query.order_by(RolloutStep.number)))


def waiting_commands(session: ReadSession, change_id: int) -> bool:
    """Whether people said something that the run has to take."""
    return bool(_agreed(list(session.scalars(_waiting(change_id)))))


def skips_of(session: ReadSession, change_id: int) -> list[RolloutCommand]:
    """Who said that the stage that runs be skipped, and was not enough yet: what is said lasts as long as the stage."""
    return list(session.scalars(_waiting(change_id).where(RolloutCommand.command == "skip")))


def _waiting(change_id: int) -> Select[RolloutCommand]:
    return (
        select(RolloutCommand)
        .where(RolloutCommand.change_id == change_id, RolloutCommand.taken_at.is_(None))
        .order_by(RolloutCommand.id)
    )


def _agreed(told: Sequence[RolloutCommand]) -> list[RolloutCommand]:
    """Without skipping that one person wants where the rule asks for two."""
    skips = [one for one in told if one.command == "skip"]
    if len({one.person_id for one in skips}) >= 2 or any(one.alone for one in skips):
        return list(told)
    return [one for one in told if one.command != "skip"]


def settle(
    session: WriteSession, actor: Actor, change_id: int, number: int, seen: Seen
) -> dict[str, str] | None:
    """Take what people said and what was seen; gives verdict and reason once the stage is over, else None.

    A failure ends a stage that is paused, too: production is not left failing because somebody wants to think.
    """
    change, row = _locked(session, change_id, number)
    require_going(change)
    if row.finished_at is not None:
        return {"verdict": row.verdict or "", "why": str(row.analysis.get("why", ""))}
    stage, analysis = stages(change)[number - 1], seen.as_dict()
    told = _take(session, change_id)
    for command in told:
        over = _obey(session, actor, change, row, stage, command, analysis)
        if over is not None:
            return over
    if seen.verdict == "failure":
        return _finish(session, actor, change, row, "failure", analysis)
    if paused_by(session, row) is not None:
        row.analysis = analysis | {"paused": True}
        change.step = f"paused {stage.words} by a person"
    elif told:
        row.analysis = analysis  # it was judged by the time before: the next look judges by the new one
    elif row.verdict == "inconclusive":
        row.analysis = analysis | {"why": row.analysis.get("why", "")}
    elif seen.verdict == "success":
        return _finish(session, actor, change, row, "success", analysis)
    else:
        row.analysis = analysis
        if seen.verdict == "inconclusive":
            row.verdict = "inconclusive"
            change.step = f"inconclusive {stage.words}: {seen.why}; a person goes on or aborts"
            _note(session, actor, change, row, seen.why)
    session.flush()
    return None


def _take(session: WriteSession, change_id: int) -> list[RolloutCommand]:
    return _agreed(session.scalars(_waiting(change_id).with_for_update()).all())


def _obey(
    session: WriteSession,
    actor: Actor,
    change: Change,
    row: RolloutStep,
    stage: Stage,
    command: RolloutCommand,
    analysis: dict[str, Any],
) -> dict[str, str] | None:
    now = clock.now()
    paused = paused_by(session, row)
    command.taken_at = now
    session.flush()
    if command.command == "abort":
        return _finish(
            session, actor, change, row, "failure", analysis | {"why": f"aborted: {command.reason}"}
        )
    if command.command == "skip":
        said = [command.reason, *(one.reason for one in skips_of(session, change.id))]
        return _finish(
            session, actor, change, row, "skipped",
            analysis | {"why": f"skipped: {'; '.join(dict.fromkeys(said))}"},
        )  # fmt: skip
    if command.command == "resume":
        if row.verdict == "inconclusive":
            row.verdict, row.bake_until = None, now + timedelta(seconds=stage.bake_s)
        elif paused is not None and paused.taken_at is not None and row.bake_until is not None:
            row.bake_until += now - paused.taken_at
        if row.bake_until is not None:
            change.step = f"watching it {stage.words} until {row.bake_until:%Y-%m-%d %H:%M:%S} UTC"
    return None


def paused_by(session: ReadSession, row: RolloutStep) -> RolloutCommand | None:
    """The pause that holds a stage, if one does."""
    last = session.scalars(
        select(RolloutCommand)
        .where(RolloutCommand.change_id == row.change_id, RolloutCommand.taken_at.is_not(None))
        .order_by(RolloutCommand.id.desc())
        .limit(1)
    ).one_or_none()
    return last if last is not None and last.command == "pause" else None


def _finish(
    session: WriteSession,
    actor: Actor,
    change: Change,
    row: RolloutStep,
    verdict: str,
    analysis: dict[str, Any],
) -> dict[str, str]:
    row.verdict, row.finished_at, row.analysis = verdict, clock.now(), analysis
    for said in skips_of(session, change.id):  # of this stage, not of the next
        said.taken_at = row.finished_at
    session.flush()
    why = str(analysis.get("why", ""))
    if is_watched(change):
        _note(session, actor, change, row, why)
    return {"verdict": verdict, "why": why}


def _note(session: WriteSession, actor: Actor, change: Change, row: RolloutStep, why: str) -> None:
    record(
        session, actor, Action.ROLLOUT_STEP, object_kind="change", object_id=change.id,
        payload={"number": row.number, "role": row.role, "share": row.share, "deployment": row.deployment_id,
                 "verdict": row.verdict},
        why=why,
    )  # fmt: skip


def planned_stages(change: Change) -> list[dict[str, Any]]:
    """The stages as plain data, for the run and for who looks at a change before it runs."""
    return [
        {"number": one.number, "role": one.role, "share": one.share, "bake_s": one.bake_s, "longest_s": one.longest_s,
         "segments": one.segments, "words": one.words}
        for one in stages(change)
    ]  # fmt: skip


def _locked(session: WriteSession, change_id: int, number: int) -> tuple[Change, RolloutStep]:
    change = session.scalars(select(Change).where(Change.id == change_id).with_for_update()).one()
    return change, session.get_one(RolloutStep, (change_id, number))


def watched_since(session: ReadSession, change_id: int, number: int) -> tuple[Change, RolloutStep, datetime]:
    """A stage with the moment since which it is tried."""
    row = session.get_one(RolloutStep, (change_id, number))
    if row.started_at is None:
        raise errors.NothingToChange(f"stage {number} of CHG-{change_id} has not begun")
    return session.get_one(Change, change_id), row, row.started_at
