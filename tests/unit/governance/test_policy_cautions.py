"""What a policy says that will hardly be meant is told, and the policy that is shipped says none of it."""

from __future__ import annotations

import pytest

from backend.governance.policies import built_in
from backend.governance.policy_cautions import document_cautions
from backend.governance.policy_document import read_policy


def told(rules: str, freezes: str = "[]") -> list[str]:
    return document_cautions(read_policy(f"freezes: {freezes}\nrules: [{rules}, {{name: rest}}]"))


def test_the_built_in_policy_has_none() -> None:
    assert document_cautions(built_in().document) == []


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ("{name: all, for: {kinds: [promote]}}, {name: late, for: {kinds: [promote], tiers: [high]}}",
         "the rule 'late' never applies: all that it is for is for 'all' before it"),
        ("{name: a, for: {tiers: [low, medium]}}, {name: b, for: {tiers: [high, prohibited], kinds: [promote]}}, "
         "{name: late, for: {kinds: [promote]}}", "the rule 'late' never applies: all that it is for is for 'a'"),
        ("{name: us, for: {kinds: [policy], tiers: [low]}}", "a change of the policy counts as one of tier high"),
        ("{name: g, for: {kinds: [tier]}, rule: {gates: [{gate: card_complete}]}}",
         "the rule 'g' asks card_complete also of changes of kind tier, which name no version"),
        ("{name: g, for: {kinds: [promote]}, "
         "rule: {gates: [{gate: artefact_scanned, parameters: {allow: [os.path, my]}}]}}",
         "the rule 'g' lets artefacts import os.path of Python's own library"),
        ("{name: g, for: {kinds: [rollback]}, rule: {break_glass: {review_within_h: 8784}}}",
         "the rule 'g' lets what nobody approved stand for 72 h, with a review within 8784 h"),
        ("{name: g, for: {kinds: [promote]}, rule: {break_glass: {kinds: [retire]}}}",
         "the rule 'g' lets the glass be broken for retire, and governs promote"),
        ("{name: g, for: {kinds: [promote]}, rule: {on_breach: return, way_back_days: 0}}", "agrees on no return"),
        ("{name: g, for: {kinds: [rollback]}, rule: {rollout: {strategy: blue_green}}}", "has a rollout"),
        ("{name: g, for: {kinds: [promote]}, rule: {rollout: {strategy: canary, steps: [0.05, 1]}}}",
         "the rule 'g' takes a canary through its steps and watches none of them"),
        ("{name: g, for: {kinds: [rollback]}, rule: {only_by_change: true}}", "governs no change of one"),
        ("{name: g, for: {kinds: [tier]}, rule: {accounts: true}}", "people alone decide on tier"),
        ("{name: g, for: {kinds: [retire]}, rule: {conditions: [{gate: card_complete}]}}", "has conditions"),
    ],
)  # fmt: skip
def test_what_has_no_effect_or_an_overlooked_one_is_told(rules: str, said: str) -> None:
    assert any(said in one for one in told(rules)), told(rules)


def test_a_freeze_that_holds_returns_too_is_told() -> None:
    weekend = 'name: weekend, weekly: ["fri 16:00", "mon 08:00"]'
    assert told("{name: a, for: {kinds: [promote]}}", f"[{{{weekend}}}]") == []
    (one,) = told("{name: a, for: {kinds: [promote]}}", f"[{{{weekend}, except_kinds: []}}]")
    assert "the freeze 'weekend' excepts no rollback" in one


def test_a_rule_that_applies_to_something_is_not_said_to_apply_to_nothing() -> None:
    document = """
{name: way out, for: {tiers: [prohibited], kinds: [tier]}, rule: {roles: {ml_lead: 2}}},
{name: budgets, for: {kinds: [monitor], environments: [staging]}},
{name: never, for: {tiers: [prohibited]}, rule: {allowed: false, because: so}}
"""
    assert told(document) == []


def test_a_document_too_large_to_try_is_said_to_be_untried() -> None:
    rules = ", ".join(f"{{name: r{n}, for: {{environments: [e{n}]}}}}" for n in range(90))
    assert told(rules) == ["91 rules and 90 environments: which rules apply was not tried"]
