"""Which changes are of high risk: on them only somebody decides who signed in freshly."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from backend.governance.policy_document import EVERYWHERE_KINDS
from backend.governance.tables import Change
from backend.identity.actor import Actor
from backend.identity.freshness import require_fresh

# Of the others one has not said how much harm they do, or they must not serve at all.
HARMLESS_TIERS: Final = frozenset({"low", "medium"})


def is_high_risk(kind: str, tier: str | None) -> bool:
    """A change to a model of a high, unknown or prohibited tier, or one that alters what governs, or erases."""
    return kind in EVERYWHERE_KINDS or (tier is not None and tier not in HARMLESS_TIERS)


def require_fresh_decision(actor: Actor, change: Change, tier: str | None, verdict: str) -> datetime | None:
    """When who approves had signed in, where it is asked for. What stops a change, or sends it back, waits for no
    sign-in; an account that the rule lets decide has none."""
    if verdict != "approve" or not is_high_risk(change.kind, tier):
        return None
    tokens = actor.kind == "service" or bool(change.policy.get("tokens"))
    return require_fresh(actor, f"approve CHG-{change.id}, which is of high risk", tokens=tokens)
