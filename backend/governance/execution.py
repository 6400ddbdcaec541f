"""The transitions of an approved change while a worker executes it. Each is one transaction and can be repeated.

A workflow that was killed anywhere repeats its last step: every function here first looks whether it has
been done, then whether the wanted state still holds, and only then acts.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from backend import clock
from backend.alerting.service import close_incident
from backend.alerting.tables import Incident
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import WriteSession
from backend.deployment.service import champion, mark_serving, start_deployment
from backend.deployment.tables import Deployment
from backend.errors import WarrantError
from backend.governance import errors
from backend.governance.evidence import binding
from backend.governance.service import expire_if_late, quorum_reached
from backend.governance.tables import Change
from backend.identity.actor import Actor
from backend.registry.tables import Model, Version


@dataclass(frozen=True)
class Plan:
    """What a worker has to bring about."""

    change_id: int
    model: str
    environment: str
    from_version: int | None
    to_version: int


def begin(session: WriteSession, actor: Actor, change_id: int, run_id: str) -> Plan | None:
    """Check that the approval still covers what would run, and take the change into execution.

    None means that there is nothing (left) to do: void, expired, or finished already. Repeating it while this
    run executes the change gives the same plan.
    """
    change = _locked(session, change_id)
    plan = Plan(change.id, change.model, change.environment, change.from_version, change.to_version)
    if change.run_id != run_id:
        return None
    if change.state == "executing":
        return plan
    if change.state != "approved" or expire_if_late(session, change):
        return None
    differs = what_differs(session, change)
    if differs:
        change.state, change.finished_at = "void", clock.now()
        change.outcome = "the approval no longer covers what would run: " + "; ".join(differs)
        session.flush()
        record(
            session, actor, Action.CHANGE_VOID, object_kind="change", object_id=change.id,
            payload={"differs": differs}, why=change.outcome,
        )  # fmt: skip
        return None
    change.state, change.step = "executing", "approval checked"
    session.flush()
    record(session, actor, Action.EXECUTION_STARTED, object_kind="change", object_id=change.id,
           payload={"run": run_id, "digest": change.digest})  # fmt: skip
    return plan


def what_differs(session: WriteSession, change: Change) -> list[str]:
    """Each reason why the approval is void, in words; empty when it holds.

    Every digest is taken afresh from the files and the record, and compared with what was signed.
    """
    if not quorum_reached(change):
        return ["the approvals do not reach the policy's quorum"]
    if any(d.verdict == "approve" and d.seen_digest != change.digest for d in change.decisions):
        return ["a decision was given on another digest"]
    model = session.get_one(Model, change.model)
    version = session.get_one(Version, (change.model, change.to_version))
    serving = champion(session, change.model, change.environment)
    try:
        now = binding(model, version, serving, kind=change.kind, environment=change.environment)
    except WarrantError as error:
        return [error.message]
    words = {
        "artefact": "the model's files changed", "reference": "the reference data changed",
        "card": "the model card changed", "metrics": "the recorded metrics or training data changed",
        "policy": "the policy changed", "target": "what serves now, the cut-off or the model's spec changed",
    }  # fmt: skip
    return [
        f"{words[part]} (signed {signed[:19]}…, now {now[part][:19]}…)"
        for part, signed in sorted(change.bound.items())
        if now.get(part) != signed
    ]


def write_deployment(session: WriteSession, actor: Actor, change_id: int) -> int:
    """Move the deployment record to the approved version; gives the deployment's id.

    The record moves only from the deployment the approval names; otherwise `Conflict`.
    """
    change = _locked(session, change_id)
    done = session.scalars(
        select(Deployment).where(Deployment.change_id == change.id, Deployment.version == change.to_version)
    ).first()
    if done is not None:
        return done.id
    serving = champion(session, change.model, change.environment)
    if (serving.version if serving else None) != change.from_version:
        raise errors.ApprovalVoid(
            f"version {serving.version if serving else 'none'} serves now, not version {change.from_version}, from "
            f"which CHG-{change.id} was approved"
        )
    opened = start_deployment(
        session, actor, model=change.model, environment=change.environment, version=change.to_version,
        change_id=change.id, reason=f"CHG-{change.id}: {change.kind}",
    )  # fmt: skip
    change.step = "deployment record written"
    session.flush()
    return opened.id


def note_step(session: WriteSession, change_id: int, step: str) -> None:
    """Say on the change what its execution does now."""
    _locked(session, change_id).step = step


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


def record_smoke(
    session: WriteSession, actor: Actor, deployment_id: int, *, requests: int, text: str
) -> None:
    record(
        session, actor, Action.SMOKE_TESTED, object_kind="deployment", object_id=deployment_id,
        payload={"requests": requests, "result": text},
    )  # fmt: skip


def finish(session: WriteSession, actor: Actor, change_id: int, deployment_id: int, *, outcome: str) -> None:
    """The gateways serve the version and answered the smoke requests: close the change and its incident."""
    change = _locked(session, change_id)
    if change.state == "executed":
        return
    mark_serving(session, actor, session.get_one(Deployment, deployment_id))
    change.state, change.finished_at, change.outcome, change.step = "executed", clock.now(), outcome, ""
    session.flush()
    record(
        session, actor, Action.EXECUTION_FINISHED, object_kind="change", object_id=change.id,
        payload={"deployment": deployment_id, "version": change.to_version}, why=outcome,
    )  # fmt: skip
    incident = session.get(Incident, change.incident_id) if change.incident_id else None
    if incident is not None:
        close_incident(
            session, actor, incident, change_id=change.id,
            why=f"CHG-{change.id} executed: version {change.to_version} serves",
        )  # fmt: skip


def restore(session: WriteSession, actor: Actor, change_id: int, *, why: str) -> int | None:
    """Put the record back to what served before and fail the change; gives the restored deployment's id.

    None where nothing had been moved (or nothing served before), and for a change that is over: what was executed,
    cancelled or void is not touched.
    """
    change = _locked(session, change_id)
    if change.state not in ("approved", "executing", "failed"):
        return None
    moved = session.scalars(
        select(Deployment).where(Deployment.change_id == change.id, Deployment.version == change.to_version)
    ).first()
    restored: Deployment | None = None
    if moved is not None and change.from_version is not None:
        restored = session.scalars(
            select(Deployment).where(
                Deployment.change_id == change.id, Deployment.version == change.from_version
            )
        ).first()
        if restored is None and moved.ended_at is None:
            restored = start_deployment(
                session, actor, model=change.model, environment=change.environment, version=change.from_version,
                change_id=change.id, reason=f"restored because CHG-{change.id} failed: {why}",
                expected_open=moved.id, replaced_state="failed",
            )  # fmt: skip
    if change.state != "failed":
        back = (
            f"; version {change.from_version} was restored"
            if restored is not None
            else "; nothing had been moved"
        )
        change.state, change.finished_at, change.step = "failed", clock.now(), ""
        change.outcome = why + back
        session.flush()
        record(
            session, actor, Action.EXECUTION_FAILED, object_kind="change", object_id=change.id,
            payload={"restored_deployment": restored.id if restored else None}, why=change.outcome,
        )  # fmt: skip
    return restored.id if restored else None


def _locked(session: WriteSession, change_id: int) -> Change:
    return session.scalars(select(Change).where(Change.id == change_id).with_for_update()).one()
