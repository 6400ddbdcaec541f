"""Lifting the enforcement of a model's rules. Enforcing them is one click; no longer doing so weakens what others rely
on, so people agree to it."""

from __future__ import annotations

from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput
from backend.governance import errors
from backend.governance.digests import digest_of
from backend.governance.kinds import Asked, Kind, Proposal, register
from backend.governance.move_answers import lift_enforcement
from backend.governance.tables import Change
from backend.identity.actor import Actor
from backend.registry.service import get_model


def propose_observing(session: ReadSession, viewer: Actor, asked: Asked) -> Proposal:
    """The rules of a model only report; bound to the model as it is, with the rules enforced."""
    if asked.subject or asked.to_version is not None or asked.to_cutoff is not None:
        raise BadInput("a change of kind observe has no subject, version or cut-off", field="subject")
    if not asked.model:
        raise BadInput("name the model of this observe change", field="model")
    model = get_model(session, viewer, asked.model)
    if model.enforcement == "observe":
        raise errors.NothingToChange(f"{model.name} is only observed already")
    return Proposal(
        asked=asked, model=model, tier=model.tier,
        summary=f"the rules of {model.name} are no longer enforced; they only report",
        bound={"model": digest_of({"name": model.name, "tier": model.tier, "spec": model.spec}),
               "enforcement": digest_of({"enforcement": model.enforcement})},
        evidence={
            "schema": 2, "kind": "observe",
            "model": {"name": model.name, "title": model.title, "tier": model.tier},
            "texts": {"before": "rules: enforced", "after": "rules: only observed"},
            "cautions": [
                "the CI gate lets every version of it pass, and a move of its alias by others calls nobody"
            ],
        },
    )  # fmt: skip


def apply_observing(session: WriteSession, actor: Actor, change: Change) -> str:
    assert change.model is not None  # noqa: S101 - proposed with one
    lift_enforcement(session, actor, change.model, change_id=change.id, why=change.reason)
    return f"the rules of {change.model} only report"


OBSERVE = register(
    Kind(
        "observe",
        "Observe only",
        "No longer enforces a model's rules: they report, and hold nothing up. People ask and decide, no accounts.",
        propose_observing,
        rollout=False,
        apply=apply_observing,
        people_only=True,
    )
)
