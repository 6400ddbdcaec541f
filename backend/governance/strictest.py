"""The rule of a change that is of no environment: everything that any rule it could have had asks for. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backend.governance.policy_document import Entry
    from backend.governance.policy_rules import Rule


def strictest(entries: Sequence[Entry]) -> Entry:
    """The rule that asks for all that the others ask for; where none does, all of them joined into one.

    Rules are not counted up against each other: two leads are not more than one compliance reviewer. Joined are who
    decides (of each role the most), who does not, what needs a comment, the gates (required where one requires it; of
    two settings of a gate the first, since a change of no environment names no version that a gate looks at), the
    shorter lifetime, that nothing is edited directly, and that neither accounts nor tokens decide. One that allows
    nothing is the strictest of all.
    """
    if len(entries) == 1:
        return entries[0]
    refusing = next((one for one in entries if not one.rule.allowed), None)
    if refusing is not None:
        return refusing
    joined = _joined([one.rule for one in entries])
    for one in entries:
        if _asked_by(_joined([one.rule])) == _asked_by(joined):
            return one
    name = " and ".join(one.name for one in entries)
    return entries[0].model_copy(
        update={
            "name": name if len(name) <= 100 else f"{name[:99]}…",
            "rule": entries[0].rule.model_copy(update=joined),
        }
    )


def _joined(rules: Sequence[Rule]) -> dict[str, Any]:
    roles: dict[str, int] = {}
    gates: dict[str, Any] = {}
    for rule in rules:
        for role, count in rule.roles.items():
            roles[role] = max(count, roles.get(role, 0))
        for gate in rule.gates:
            if gate.gate not in gates or (gate.required and not gates[gate.gate].required):
                gates[gate.gate] = gate
    return {
        "roles": roles,
        "excluded": tuple(dict.fromkeys(who for rule in rules for who in rule.excluded)),
        "comment_required_to": tuple(dict.fromkeys(to for rule in rules for to in rule.comment_required_to)),
        "lifetime_h": min(rule.lifetime_h for rule in rules),
        "gates": tuple(gates.values()),
        "only_by_change": any(rule.only_by_change for rule in rules),
        "accounts": all(rule.accounts for rule in rules),
        "tokens": all(rule.tokens for rule in rules),
    }


def _asked_by(joined: dict[str, Any]) -> tuple[object, ...]:
    """What is asked for, apart from the order it is written in."""
    return (
        joined["roles"], set(joined["excluded"]), set(joined["comment_required_to"]), joined["lifetime_h"],
        {gate.gate: gate.required for gate in joined["gates"]}, joined["only_by_change"], joined["accounts"],
        joined["tokens"],
    )  # fmt: skip
