"""Whether monitors, objectives and the false-alarm budget may be edited directly, or only by an approved change."""

from __future__ import annotations

from backend.database.session import ReadSession
from backend.governance.errors import OnlyByChange
from backend.governance.policies import active_policy
from backend.governance.policy_document import EVERYWHERE
from backend.identity.actor import Actor
from backend.registry.tables import Model


def why_only_by_change(
    session: ReadSession, model: Model, environment: str, *, what: str = "monitors"
) -> str | None:
    """Why monitors of this model (or `what` else watches it: objectives) are not edited directly here, and what to do
    instead; None where they may be."""
    entry = active_policy(session).document.entry_for("monitor", model.tier, environment)
    if not entry.rule.only_by_change:
        return None
    page, subject = (
        ("SLOs", "`objective`, its OpenSLO text, with the key of an objective that there is")
        if what == "objectives"
        else ("Monitors", "the definition, with the key of a monitor that there is")
    )
    return (
        f"{what} of {model.name} in {environment} (tier {model.tier}) are changed only by an approved change (rule "
        f"{entry.name!r}). Ask for one: on the page {page}, with `warrant change request --kind monitor`, or with "
        f"POST /api/v1/changes, kind `monitor`, and as subject {subject}"
    )


def refuse_direct_edit(
    session: ReadSession, actor: Actor, model: Model, environment: str, *, what: str = "monitors"
) -> None:
    """`OnlyByChange` where the policy says so. The worker that carries out an approved change is Warrant itself."""
    if actor.kind == "system":
        return
    why = why_only_by_change(session, model, environment, what=what)
    if why is not None:
        raise OnlyByChange(why)


def why_budget_only_by_change(session: ReadSession, model: Model) -> str | None:
    """The same of the false-alarm budget, from which the limits of every environment follow: one that is guarded guards
    it everywhere, and all of their rules govern its change."""
    entry = active_policy(session).document.entry_for("monitor", model.tier, EVERYWHERE)
    if not entry.rule.only_by_change:
        return None
    return (
        f"the false-alarm budget of {model.name} (tier {model.tier}) is changed only by an approved change "
        f"(rule {entry.name!r}). Ask for one: on the page Monitors, with `warrant change request --kind "
        "monitor`, or with POST /api/v1/changes, kind `monitor`, and as subject `budget`"
    )


def refuse_budget_edit(session: ReadSession, actor: Actor, model: Model) -> None:
    """`OnlyByChange` where the policy says so; the worker that carries out an approved change may."""
    why = why_budget_only_by_change(session, model) if actor.kind != "system" else None
    if why is not None:
        raise OnlyByChange(why)
