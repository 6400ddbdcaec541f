"""Retraining: a new version is trained from what the store holds, compared with what serves, and proposed.

It moves nothing into service: it ends by asking for a promotion, under that kind's own rule. Carrying it out starts the
run; what becomes of that is the run's (`backend.retraining`).
"""

from __future__ import annotations

from typing import Any, Final

from backend.alerting.tables import Alert
from backend.data_rights.tables import DataRule
from backend.database.session import ReadSession, WriteSession
from backend.deployment.service import champion
from backend.errors import BadInput, Conflict, NotFound
from backend.governance.digests import digest_of
from backend.governance.kinds import Asked, Kind, Proposal, register
from backend.governance.policies import active_policy
from backend.governance.tables import Change
from backend.identity.actor import Actor
from backend.monitoring.columns import parse_spec
from backend.registry.service import get_model, get_version
from backend.registry.tables import Model, Version
from backend.retraining.envelope import reasons_outside, spent_in_week
from backend.retraining.plan import Plan, check_plan, plan_lines, read_plan
from backend.retraining.running import open_run, start_run

ASKED_FOR: Final = "on the model's page, with `warrant retrain`, or with POST /api/v1/retraining"


def propose(session: ReadSession, viewer: Actor, asked: Asked) -> Proposal:
    """A plan as `backend.retraining.plan` writes it, in `subject`."""
    if asked.to_version is not None or asked.to_cutoff is not None:
        raise BadInput("a retraining makes a new version: it names none, and no cut-off", field="to_version")
    if not asked.model:
        raise BadInput("name the model to retrain", field="model")
    model = get_model(session, viewer, asked.model)
    plan = read_plan(asked.subject)
    check_plan(plan, parse_spec(model.spec).task)
    going_on = open_run(session, model.name, asked.environment)
    if going_on is not None:
        raise Conflict(
            f"{model.name} is being retrained already ({going_on.id}); wait for its end, or cancel it",
            run=going_on.id,
        )
    _require_alert(session, asked, model)
    serving = champion(session, model.name, asked.environment)
    parent = get_version(session, viewer, model.name, serving.version) if serving is not None else None
    return Proposal(
        asked=asked, model=model, tier=model.tier,
        summary=f"{model.name} is retrained with {plan.trainer} on rows up to {plan.as_of:%Y-%m-%d %H:%M:%S} UTC",
        bound={
            "plan": digest_of(plan.as_dict()),
            "model": digest_of({"name": model.name, "tier": model.tier, "spec": model.spec}),
            "parent": digest_of(
                {"version": parent.version, "artefact": parent.artefact_digest} if parent is not None else None
            ),
        },
        evidence=_evidence(session, model, parent, plan, asked.environment),
        serving=serving,
    )  # fmt: skip


def _require_alert(session: ReadSession, asked: Asked, model: Model) -> None:
    if asked.alert_id is None:
        return
    alert = session.get(Alert, asked.alert_id)
    if alert is None or alert.model != model.name:
        raise NotFound(f"there is no alert {asked.alert_id} of {model.name}")


def _evidence(
    session: ReadSession, model: Model, parent: Version | None, plan: Plan, environment: str
) -> dict[str, Any]:
    rule = active_policy(session).document.entry_for("retrain", model.tier, environment).rule
    outside = reasons_outside(rule.envelope, plan, spent_in_week(session, model.name))
    cautions = [f"It needs a decision: {why}." for why in outside if rule.envelope is not None]
    recorded = session.get(DataRule, model.name)
    if recorded is None or "retraining" not in recorded.purposes:
        cautions.append(
            f"It will stop before it trains: the data of {model.name} are not recorded for retraining; compliance "
            "records purposes on the Data rights page."
        )
    return {
        "schema": 2, "kind": "retrain",
        "model": {"name": model.name, "title": model.title, "tier": model.tier},
        "texts": {"before": _parent_lines(parent), "after": "\n".join(plan_lines(plan))},
        "cautions": cautions,
        "plan": plan.as_dict(),
        "costs": {"hours": plan.hours, "device": plan.device, "memory_mb": plan.memory_mb},
        "envelope": {"covers": not outside, "outside": outside},
    }  # fmt: skip


def _parent_lines(parent: Version | None) -> str:
    if parent is None:
        return "nothing serves that it could be compared with"
    parameters = ", ".join(f"{name}={value}" for name, value in sorted(parent.parameters.items()))
    training = ", ".join(
        f"{name} {value}" for name, value in sorted(parent.training.items()) if name != "digest"
    )
    return "\n".join(
        [
            f"v{parent.version} serves",
            f"parameters: {parameters or 'none recorded'}",
            f"rows: {training or 'unknown'}",
        ]
    )


def apply_retraining(session: WriteSession, actor: Actor, change: Change) -> str:
    run = start_run(session, actor, change)
    return f"run {run.id} is queued for a worker of the queue {run.queue}"


RETRAIN = register(
    Kind(
        "retrain", "Retraining",
        "Trains a new version on what the store holds, compares it with what serves, and asks for its promotion.",
        propose, rollout=False, apply=apply_retraining, asked_for=ASKED_FOR,
    )
)  # fmt: skip
