"""Changes that are one transaction on the record: the policy itself, a model's tier, retirement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.deployment.service import champion, end_deployments
from backend.deployment.tables import Deployment
from backend.errors import BadInput
from backend.governance import errors
from backend.governance.digests import digest_of
from backend.governance.external_checks import require_reporters
from backend.governance.kinds import Asked, Kind, Proposal, register
from backend.governance.lockout import require_changeable
from backend.governance.policies import active_policy, store_policy
from backend.governance.policy_cautions import policy_cautions
from backend.governance.policy_document import read_policy
from backend.governance.policy_rules import TIERS
from backend.governance.tables import Change
from backend.governance.withdrawing import note_withdrawn
from backend.identity.actor import Actor
from backend.registry.service import get_model
from backend.registry.tables import Model
from backend.settings import settings


def propose_policy(session: ReadSession, viewer: Actor, asked: Asked) -> Proposal:
    """Another policy document, as YAML in `subject["document"]`; bound to the one that it replaces."""
    _refuse_extra(asked, "document")
    wanted = read_policy(asked.subject.get("document", ""))
    now = active_policy(session)
    if wanted.as_dict() == now.document.as_dict():
        raise errors.NothingToChange("this is the policy that is in force")
    require_changeable(session, wanted)
    require_reporters(session, wanted)
    return Proposal(
        asked=asked, model=None, tier="high",
        summary=f"the policy of all changes moves from revision {now.revision} to {now.revision + 1}",
        bound={"replaces": now.digest, "policy document": digest_of(wanted.as_dict())},
        evidence=_facts("policy", now.document.as_yaml(), wanted.as_yaml(),
                        cautions=policy_cautions(session, wanted)),
    )  # fmt: skip


def apply_policy(session: WriteSession, actor: Actor, change: Change) -> str:
    revision = store_policy(
        session, actor, read_policy(change.subject["document"]), change_id=change.id, note=change.reason
    )
    return f"revision {revision} of the policy is in force"


def propose_tier(session: ReadSession, viewer: Actor, asked: Asked) -> Proposal:
    """Another risk tier in `subject["tier"]`; governed by the rules of both, joined."""
    _refuse_extra(asked, "tier")
    model = _model(session, viewer, asked)
    wanted = asked.subject.get("tier")
    if wanted not in TIERS:
        raise BadInput(f"a tier is one of {', '.join(TIERS)}, not {wanted!r}", field="tier")
    if wanted == model.tier:
        raise errors.NothingToChange(f"{model.name} is of tier {wanted} already")
    return Proposal(
        asked=asked, model=model, tier=model.tier, other_tier=wanted,
        summary=f"{model.name} moves from tier {model.tier} to {wanted}",
        bound={"model": _digest_of_model(model), "wanted": digest_of({"tier": wanted})},
        evidence=_facts("tier", f"tier: {model.tier}", f"tier: {wanted}", model=model,
                        cautions=[_serves_where(session, model)] if wanted == "prohibited" else []),
    )  # fmt: skip


def apply_tier(session: WriteSession, actor: Actor, change: Change) -> str:
    model = session.scalars(select(Model).where(Model.name == change.model).with_for_update()).one()
    before, model.tier = model.tier, change.subject["tier"]
    session.flush()
    record(
        session, actor, Action.TIER_CHANGED, object_kind="model", object_id=model.name,
        payload={"before": before, "after": model.tier, "change": change.id}, why=change.reason,
    )  # fmt: skip
    serves = _serves_where(session, model) if model.tier == "prohibited" else ""
    return f"{model.name} is of tier {model.tier}" + (f"; {serves}" if serves else "")


def _serves_where(session: ReadSession, model: Model) -> str:
    """What goes on serving until it is retired, in words; "" where nothing does."""
    found = session.scalars(
        select(Deployment)
        .where(Deployment.model == model.name, Deployment.role == "champion", Deployment.ended_at.is_(None))
        .order_by(Deployment.environment)
    )
    places = ", ".join(f"v{one.version} in {one.environment}" for one in found)
    return f"{places} goes on serving until it is retired" if places else ""


def propose_retirement(session: ReadSession, viewer: Actor, asked: Asked) -> Proposal:
    """No version of the model serves in this environment any more."""
    _refuse_extra(asked)
    model = _model(session, viewer, asked)
    serving = champion(session, model.name, asked.environment)
    if serving is None:
        raise errors.NothingToChange(f"nothing serves {model.name} in {asked.environment}")
    return Proposal(
        asked=asked, model=model, tier=model.tier, serving=serving,
        summary=f"{model.name} v{serving.version} leaves service in {asked.environment}; nothing replaces it",
        bound={"model": _digest_of_model(model), "serves": digest_of({"deployment": serving.id})},
        evidence=_facts("retire", f"serves: v{serving.version}", "serves: nothing", model=model),
    )  # fmt: skip


def apply_retirement(session: WriteSession, actor: Actor, change: Change) -> str:
    assert change.model is not None  # noqa: S101 - proposed with one
    ended = end_deployments(
        session, actor, model=change.model, environment=change.environment, change_id=change.id,
        reason=f"CHG-{change.id}: {change.reason}",
    )  # fmt: skip
    for one in ended:
        if one.role == "champion":
            note_withdrawn(session, change.id, one)
    told = "" if settings().target == "gateway" else f", and the target {settings().target} is told"
    return f"{len(ended)} deployment{'s' if len(ended) != 1 else ''} ended; gateways refuse requests from now on{told}"


def _model(session: ReadSession, viewer: Actor, asked: Asked) -> Model:
    if not asked.model:
        raise BadInput(f"name the model of this {asked.kind} change", field="model")
    return get_model(session, viewer, asked.model)


def _refuse_extra(asked: Asked, *allowed: str) -> None:
    extra = sorted(set(asked.subject) - set(allowed))
    if extra or asked.to_version is not None or asked.to_cutoff is not None:
        named = ", ".join(extra) or "a version or a cut-off"
        raise BadInput(
            f"a change of kind {asked.kind} has no {named}", field=extra[0] if extra else "to_version"
        )


def _digest_of_model(model: Model) -> str:
    return digest_of({"name": model.name, "tier": model.tier, "spec": model.spec})


def _facts(
    kind: str, before: str, after: str, *, model: Model | None = None, cautions: Sequence[str] = ()
) -> dict[str, Any]:
    """Evidence of a change of words: both texts. The page draws the difference."""
    return {
        "schema": 2, "kind": kind,
        "model": {"name": model.name, "title": model.title, "tier": model.tier} if model else None,
        "texts": {"before": before, "after": after}, "cautions": [one for one in cautions if one],
    }  # fmt: skip


POLICY = register(
    Kind(
        "policy",
        "Policy",
        "Replaces the policy of all changes; two persons, always. People ask and decide, no accounts.",
        propose_policy,
        rollout=False,
        apply=apply_policy,
        people_only=True,
    )
)
TIER = register(
    Kind(
        "tier",
        "Risk tier",
        "Moves a model to another risk tier, under the rules of both tiers. People ask and decide, no accounts.",
        propose_tier,
        rollout=False,
        apply=apply_tier,
        people_only=True,
    )
)
RETIRE = register(
    Kind(
        "retire",
        "Retirement",
        "Takes a model out of service.",
        propose_retirement,
        rollout=False,
        apply=apply_retirement,
    )
)
