"""Who must agree to what. The policy in force is copied into each change and bound by digest."""

from __future__ import annotations

from typing import Any

from backend.identity.roles import Role

KINDS = ("promote", "rollback")


def policy_for(kind: str, tier: str, environment: str) -> dict[str, Any]:
    """The built-in policy.

    One ML lead who neither asked for the change nor trained the version; two for promoting a high-tier
    model. A rollback needs one at every tier: going back must not be slower than going forward.
    """
    quorum = 2 if kind == "promote" and tier == "high" else 1
    return {
        "name": f"built-in {kind} {tier}",
        "revision": 1,
        "environment": environment,
        "roles": {Role.ML_LEAD.value: quorum},
        "excluded": ["requester", "trainer"],
        "lifetime_h": 24 if kind == "rollback" else 72,
        "comment_required_to": ["reject"],
    }
