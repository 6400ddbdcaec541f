"""The transitions of an approved change while a worker executes it. Each is one transaction and can be repeated.

A workflow that was killed anywhere repeats its last step: every function here first looks whether it has
been done, then whether the wanted state still holds, and only then acts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import select, update

from backend import clock
from backend.addresses import without_credentials
from backend.alerting.mitigation import settle_by_change
from backend.alerting.tables import Incident
from backend.assurance.serious import keep_before_return
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.deployment.service import champion, end_beside, end_deployments, mark_serving, start_deployment
from backend.deployment.tables import Deployment
from backend.governance import errors, machine, rollouts
from backend.governance.asking import expire_if_late, void_change
from backend.governance.conditions import open_conditions
from backend.governance.kinds import kind_of
from backend.governance.overtaking import runs_before
from backend.governance.reconciling import MLFLOW, note_found
from backend.governance.rollout_analysis import Seen
from backend.governance.standing import what_differs, what_differs_since_switch, why_not_allowed
from backend.governance.tables import Change, Condition, WayBack
from backend.governance.urgent import agree_way_back
from backend.governance.withdrawing import last_champion, note_withdrawn
from backend.identity.actor import Actor, system_actor

GOVERNANCE = system_actor("governance")


@dataclass(frozen=True)
class Plan:
    """What a worker has to bring about. `rollout` is the policy's, all at once for a return; None: one transaction."""

    change_id: int
    kind: str
    model: str | None
    environment: str
    from_version: int | None
    to_version: int | None
    rollout: dict[str, Any] | None
    stages: list[dict[str, Any]]
    way_back_id: int | None
    after: list[str]
    """runs of earlier changes that have to leave first"""


def begin(session: WriteSession, actor: Actor, change_id: int, run_id: str) -> Plan | None:
    """Check that the approval still covers what would run, and take the change into execution.

    None means that there is nothing (left) to do: void, expired, or finished already. Repeating it while this
    run executes the change gives the same plan.
    """
    change = _locked(session, change_id)
    if change.run_id != run_id:
        return None
    if change.state == "executing":
        return _plan(session, change)
    if change.state != "approved" or expire_if_late(session, change):
        return None
    differs = what_differs(session, change)
    if differs:
        void_change(session, change, differs)
        return None
    if change.model is not None:
        keep_before_return(session, actor, model=change.model, change_id=change.id)
    change.state = machine.after(change.state, "begin", what=f"CHG-{change.id}")
    change.step = "approval checked"
    session.flush()
    record(session, actor, Action.EXECUTION_STARTED, object_kind="change", object_id=change.id,
           payload={"run": run_id, "digest": change.digest})  # fmt: skip
    return _plan(session, change)


def _plan(session: ReadSession, change: Change) -> Plan:
    rollout = rollouts.rule_of(change) if kind_of(change.kind).rollout else None
    return Plan(
        change.id,
        change.kind,
        change.model,
        change.environment,
        change.from_version,
        change.to_version,
        rollout,
        [] if rollout is None else rollouts.planned_stages(change),
        change.way_back_id,
        runs_before(session, change),
    )


def apply_record(session: WriteSession, actor: Actor, change_id: int) -> None:
    """Carry out a change that is one transaction on the record, and close it in the same one."""
    change = _locked(session, change_id)
    if change.state == "executed":
        return
    apply = kind_of(change.kind).apply
    assert apply is not None  # noqa: S101 - its plan has no rollout
    outcome = apply(session, actor, change)
    _close(session, actor, change, outcome=outcome, payload={"kind": change.kind})


def open_stage(session: WriteSession, actor: Actor, change_id: int, number: int) -> int:
    """Move the deployment record to one stage of the approved rollout; gives the id of what is tried.

    The record moves only from the deployment the approval names; otherwise `Conflict`.
    """
    return _open(session, actor, _locked(session, change_id), number)


def write_deployment(session: WriteSession, actor: Actor, change_id: int) -> int:
    """Move the deployment record to the approved version as the champion: the last stage of any rollout."""
    change = _locked(session, change_id)
    return _open(session, actor, change, len(rollouts.stages(change)))


def _open(session: WriteSession, actor: Actor, change: Change, number: int) -> int:
    """A stage that was not opened yet is opened only while everything that was signed is still so."""
    rollouts.require_going(change)
    if not rollouts.is_open(session, change, number):
        _require_signed(change, what_differs(session, change, begun=True), f"before stage {number}")
    return rollouts.open_stage(session, actor, change, number)


def _require_signed(change: Change, differs: list[str], when: str) -> None:
    if differs:
        raise errors.ApprovalVoid(
            f"what was signed was no longer so {when}: {'; '.join(differs)}",
            change=change.id,
            differs=differs,
        )


def settle_stage(
    session: WriteSession, actor: Actor, change_id: int, number: int, seen: Seen
) -> dict[str, str] | None:
    """Take what people said and what was seen of a stage (`rollouts.settle`). One that no rule allows any more, such as
    of a model that became prohibited, fails at once."""
    refused = why_not_allowed(session, _locked(session, change_id))
    if refused is not None:
        seen = replace(seen, verdict="failure", why=refused)
    return rollouts.settle(session, actor, change_id, number, seen)


def note_step(session: WriteSession, change_id: int, step: str) -> None:
    """Say on the change what its execution does now. `ChangeOvertaken` where another has taken over."""
    change = _locked(session, change_id)
    rollouts.require_going(change)
    change.step = step


def still_wanted(session: WriteSession, deployment_id: int) -> bool:
    """Whether this deployment is (still) the open one: asked just before every outside effect."""
    deployment = session.get(Deployment, deployment_id)
    return deployment is not None and deployment.ended_at is None


def confirm_serving(session: WriteSession, actor: Actor, deployment_id: int) -> bool:
    """Record that the gateways serve this deployment, unless it has been ended meanwhile."""
    if not still_wanted(session, deployment_id):
        return False
    mark_serving(session, actor, session.get_one(Deployment, deployment_id))
    return True


def record_mirrored(session: WriteSession, actor: Actor, deployment_id: int, *, error: str | None) -> None:
    """Record that MLflow's alias follows the record, or why it does not yet."""
    deployment = session.get_one(Deployment, deployment_id)
    record(
        session, actor, Action.ALIAS_MIRRORED, object_kind="deployment", object_id=deployment_id,
        payload={"model": deployment.model, "alias": "champion", "version": deployment.version, "error": error},
    )  # fmt: skip
    if deployment.change_id is not None:
        note_found(
            session, deployment.change_id, MLFLOW, key=f"deployment-{deployment_id}", settled=error is None,
            problem=without_credentials(error or ""),
        )  # fmt: skip


def record_smoke(
    session: WriteSession, actor: Actor, deployment_id: int, *, requests: int, text: str
) -> None:
    record(
        session, actor, Action.SMOKE_TESTED, object_kind="deployment", object_id=deployment_id,
        payload={"requests": requests, "result": text},
    )  # fmt: skip


def finish(session: WriteSession, actor: Actor, change_id: int, deployment_id: int, *, outcome: str) -> None:
    """The gateways serve the version and answered the smoke requests: close the change and settle its incident."""
    change = _locked(session, change_id)
    if change.state == "executed":
        return
    rollouts.require_going(change)
    if rollouts.is_watched(change):
        _require_signed(change, what_differs_since_switch(session, change), "at the end of the rollout")
    mark_serving(session, actor, session.get_one(Deployment, deployment_id))
    rollouts.close_rollout(session, actor, change)
    agree_way_back(session, change, deployment_id)
    open_conditions(session, change, deployment_id)
    _close(session, actor, change, outcome=outcome,
           payload={"deployment": deployment_id, "version": change.to_version, "cutoff": change.to_cutoff})  # fmt: skip


def _close(
    session: WriteSession, actor: Actor, change: Change, *, outcome: str, payload: dict[str, Any]
) -> None:
    change.state = machine.after(change.state, "finish", what=f"CHG-{change.id}")
    outcome = without_credentials(outcome)
    change.finished_at, change.outcome, change.step = clock.now(), outcome, ""
    session.flush()
    record(
        session, actor, Action.EXECUTION_FINISHED, object_kind="change", object_id=change.id, payload=payload,
        why=outcome,
    )  # fmt: skip
    incident = session.get(Incident, change.incident_id) if change.incident_id else None
    if incident is not None:
        settle_by_change(session, actor, incident, change_id=change.id, summary=change.summary)


def restore(session: WriteSession, actor: Actor, change_id: int, *, why: str) -> int | None:
    """Put the record back to what served before and fail the change; gives the restored deployment's id.

    None where nothing had been moved, and for a change that is over: what was executed, cancelled or void is not
    touched, nor what another change took over. Where nothing served before, nothing serves afterwards: the record of a
    first version that failed is ended, or gateways would go on following it.
    """
    why = without_credentials(why)
    change = _locked(session, change_id)
    if change.state not in ("approved", "executing", "failed") or change.overtaken_by is not None:
        return None
    own = select(Deployment).where(Deployment.change_id == change.id, Deployment.role == "champion")
    moved = session.scalars(own.where(*_serves(change.to_version, change.to_cutoff))).first()
    tried = end_beside(
        session, actor, change_id=change.id, reason=f"CHG-{change.id} failed: {why}", failed=change.to_version
    )
    restored: Deployment | None = None
    withdrawn = moved is not None and change.from_version is None
    if withdrawn:
        _withdraw(session, actor, change, why=why)
    if moved is not None and change.from_version is not None:
        assert change.model is not None  # noqa: S101 - it moved
        restored = session.scalars(own.where(*_serves(change.from_version, change.from_cutoff))).first()
        if restored is None and moved.ended_at is None:
            restored = start_deployment(
                session, actor, model=change.model, environment=change.environment, version=change.from_version,
                cutoff=change.from_cutoff, change_id=change.id,
                reason=f"restored because CHG-{change.id} failed: {why}",
                expected_open=moved.id, replaced_state="failed",
            )  # fmt: skip
            _carry_over(session, moved, restored)
    if change.state != "failed":
        back = (
            f"; version {change.from_version} was restored"
            if restored is not None
            else f"; version {change.to_version} left service again, and nothing serves, as before"
            if withdrawn
            else f"; version {change.from_version} goes on serving all requests"
            if tried
            else f"; {_settled(session, actor, change)}"
        )
        rollouts.fail_rollout(session, actor, change, why)
        change.state = machine.after(change.state, "fail", what=f"CHG-{change.id}")
        change.finished_at, change.step = clock.now(), ""
        change.outcome = why + back
        session.flush()
        record(
            session, actor, Action.EXECUTION_FAILED, object_kind="change", object_id=change.id,
            payload={"restored_deployment": restored.id if restored else None}, why=change.outcome,
        )  # fmt: skip
    return restored.id if restored else None


def _settled(session: WriteSession, actor: Actor, change: Change) -> str:
    """What is so after a change failed that had moved nothing of what serves."""
    settle = kind_of(change.kind).settle_failed
    return settle(session, actor, change) if settle is not None else "nothing had been moved"


def _carry_over(session: WriteSession, moved: Deployment, restored: Deployment) -> None:
    """What was approved with the version that serves again stands as before: its conditions and its way back.

    `moved` took its place for a while. A time box follows by itself (`began_as`).
    """
    replaced = session.scalars(
        select(Deployment.id)
        .where(
            Deployment.model == moved.model, Deployment.environment == moved.environment,
            Deployment.role == "champion", Deployment.id < moved.id,
            *_serves(restored.version, restored.cutoff),
        )
        .order_by(Deployment.id.desc())
        .limit(1)
    ).one_or_none()  # fmt: skip
    if replaced is None:
        return
    for promised in (Condition, WayBack):
        session.execute(
            update(promised).where(promised.deployment_id == replaced).values(deployment_id=restored.id)
        )


def _withdraw(session: WriteSession, actor: Actor, change: Change, *, why: str) -> None:
    """End as failed what this change brought where nothing served before it."""
    end_deployments(
        session, actor, model=change.model or "", environment=change.environment, change_id=change.id,
        reason=f"CHG-{change.id} failed: {why}", only_of=change.id, state="failed",
    )  # fmt: skip
    left = last_champion(session, change.model or "", change.environment)
    if left is not None:
        note_withdrawn(session, change.id, left)


def champion_after(session: ReadSession, change_id: int) -> int | None:
    """The deployment that is to serve after a change failed; None where the change had moved nothing."""
    change = session.get_one(Change, change_id)
    moved = session.scalars(select(Deployment.id).where(Deployment.change_id == change_id).limit(1)).first()
    if moved is None or change.model is None or change.state != "failed" or change.overtaken_by is not None:
        return None
    serving = champion(session, change.model, change.environment)
    return serving.id if serving is not None else None


def retired_by(session: ReadSession, change_id: int) -> int | None:
    """The champion that a retirement ended; None for every other change."""
    change = session.get_one(Change, change_id)
    if change.kind != "retire" or change.model is None:
        return None
    ended = last_champion(session, change.model, change.environment)
    return ended.id if ended is not None else None


def withdrawn_by(session: ReadSession, change_id: int) -> int | None:
    """The deployment that a failed change had opened where nothing served before; None for every other change."""
    change = session.get_one(Change, change_id)
    if change.state != "failed" or change.from_version is not None or change.overtaken_by is not None:
        return None
    if change.model is None or champion(session, change.model, change.environment) is not None:
        return None
    own = select(Deployment.id).where(Deployment.change_id == change_id, Deployment.role == "champion")
    return session.scalars(own.order_by(Deployment.id.desc()).limit(1)).first()


def _serves(version: int | None, cutoff: float | None) -> tuple[Any, ...]:
    return (Deployment.version == version, Deployment.cutoff == cutoff)


def _locked(session: WriteSession, change_id: int) -> Change:
    return session.scalars(select(Change).where(Change.id == change_id).with_for_update()).one()
