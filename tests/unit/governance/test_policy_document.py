"""What a policy may say: which rule governs a change, and what no policy can switch off."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from backend.errors import BadInput
from backend.governance.policies import built_in
from backend.governance.policy_document import read_policy
from backend.governance.policy_rules import KINDS, TIERS

REST: dict[str, Any] = {"name": "rest"}
SERVING = ("promote", "rollback", "cutoff", "retrain")  # kinds that bring a version into service


def document(*rules: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"schema": 1, "rules": [*rules, REST], **more}


def test_the_first_rule_that_matches_governs() -> None:
    policy = read_policy(
        document(
            {"name": "a", "for": {"tiers": ["high"], "environments": ["production"]}},
            {"name": "b", "for": {"kinds": ["rollback"]}},
        )
    )
    assert policy.entry_for("rollback", "high", "production").name == "a"
    assert policy.entry_for("rollback", "high", "staging").name == "b"
    assert policy.entry_for("promote", "low", "production").name == "rest"


def test_the_built_in_policy_has_a_rule_for_every_change() -> None:
    policy = built_in().document
    for kind in KINDS:
        for tier in TIERS:
            rule = policy.entry_for(kind, tier, "production").rule
            assert {"requester", "trainer"} <= set(rule.excluded)
            assert rule.allowed == (tier != "prohibited" or kind not in SERVING)


def scoped(name: str, place: str, **rule: Any) -> dict[str, Any]:
    return {"name": name, "for": {"environments": [place]}, "rule": rule}


def test_of_rules_by_place_nothing_is_lost_where_a_change_is_of_none() -> None:
    policy = read_policy(
        document(
            scoped("staging", "staging", roles={"ml_lead": 2}, gates=[{"gate": "external", "required": False}]),
            scoped("production", "production", roles={"compliance": 1}, lifetime_h=24,
                   excluded=["requester", "trainer", "data_owner"], comment_required_to=["approve", "reject"],
                   gates=[{"gate": "artefact_scanned", "required": False}, {"gate": "external"}]),
        )
    )  # fmt: skip
    for kind in ("policy", "tier", "observe", "erase", "access", "roles"):
        entry = policy.entry_for(kind, "high", "*")
        assert entry.name == "staging and production and rest"
        rule = entry.rule
        assert (rule.roles, rule.lifetime_h) == ({"ml_lead": 2, "compliance": 1}, 24)
        assert set(rule.excluded) == {"requester", "trainer", "data_owner"}
        assert set(rule.comment_required_to) == {"approve", "reject"}
        assert {gate.gate: gate.required for gate in rule.gates} == {
            "external": True,
            "artefact_scanned": False,
        }
    assert policy.entry_for("promote", "high", "staging").name == "staging"


def test_a_rule_that_asks_for_all_that_the_others_do_keeps_its_name() -> None:
    policy = read_policy(
        document(
            scoped("staging", "staging"), scoped("production", "production", roles={"ml_lead": 2, "compliance": 1})
        )
    )  # fmt: skip
    assert policy.entry_for("tier", "high", "*").name == "production"
    barred = scoped("never", "production", allowed=False, because="no")
    assert (
        read_policy(document(scoped("staging", "staging"), barred)).entry_for("tier", "low", "*").name
        == "never"
    )


def test_what_cannot_come_back_by_itself_is_not_promised_to() -> None:
    rule = {"break_glass": {"kinds": ["rollback", "retire"], "when_over": "return"}}
    with pytest.raises(BadInput, match="a retirement is not undone so"):
        read_policy(document({"name": "a", "rule": rule}))
    for more in ({"when_over": "page"}, {"kinds": ["rollback", "cutoff"]}):
        read_policy(document({"name": "a", "rule": {"break_glass": rule["break_glass"] | more}}))


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        (document({"name": "a", "rule": {"excluded": ["trainer"]}}), "excluded always names requester"),
        (document({"name": "a", "rule": {"comment_required_to": []}}), "rejecting always needs a comment"),
        (document({"name": "a", "rule": {"roles": {}}}), "needs at least one role"),
        (document({"name": "a", "rule": {"roles": {"viewer": 1}}}), "no role that decides"),
        (document({"name": "a", "rule": {"roles": {"ml_lead": 0}}}), "greater than or equal to 1"),
        (document({"name": "a", "rule": {"rolls": {"ml_lead": 1}}}), "rules.0.rule.rolls"),
        (document({"name": "a", "rule": {"allowed": False}}), "say in `because`"),
        (document({"name": "rest"}), "two rules are named rest"),
        (document(freezes=[{"name": "f", "dates": ["9999-12-31T00:00:00", "9999-12-31T23:00:00"]}]), "the years"),
        ({"schema": 1, "rules": [{"name": "a", "for": {"tiers": ["low"]}}]}, "the last rule has no `for`"),
        ({"schema": 2, "rules": [REST]}, "schema"),
        ({"schema": 1, "rules": []}, "rules"),
        (document({"name": "a", "rule": {"gates": [{"gate": "moon_phase"}]}}), "not installed"),
        (document({"name": "a", "rule": {"gates": [{"gate": "artefact_scanned", "parameters": {"x": 1}}]}}),
         "gate artefact_scanned of rule 'a': x"),
        (document({"name": "a", "rule": {"rollout": {"strategy": "canary", "steps": [0.5, 0.2, 1]}}}), "rising"),
        (document({"name": "a", "rule": {"rollout": {"strategy": "canary", "steps": [0.1, 0.5]}}}), "all traffic"),
        (document({"name": "a", "rule": {"rollout": {"strategy": "ab", "steps": [0.5]}}}), "metric that decides"),
        (document(freezes=[{"name": "f", "zone": "Mars/Base", "weekly": ["fri 16:00", "mon 08:00"]}]), "no time zone"),
        (document(freezes=[{"name": "f", "weekly": ["fri 25:00", "mon 08:00"]}]), "no moment of a week"),
        (document(freezes=[{"name": "f"}]), "either `weekly` or `dates`"),
        (document(freezes=[{"name": "f", "dates": ["2026-12-24T00:00:00", "2026-12-23T00:00:00"]}]), "ends after"),
        (document(freezes=[{"name": "f", "dates": ["2026-12-24T00:00:00Z", "2026-12-27T00:00:00Z"]}]), "local times"),
        ("rules: [", "no YAML"),
        ("just words", "a mapping"),
    ],
)  # fmt: skip
def test_a_document_that_is_wrong_is_refused_with_its_place(wrong: Any, place: str) -> None:
    with pytest.raises(BadInput) as refused:
        read_policy(wrong)
    assert place in refused.value.message


def test_a_document_survives_its_own_yaml() -> None:
    policy = built_in().document
    again = read_policy(policy.as_yaml())
    assert again == policy
    assert yaml.safe_load(policy.as_yaml())["rules"][-1] == {"name": "everything else"}


def test_short_lists_of_a_policy_stand_on_one_line() -> None:
    text = built_in().document.as_yaml()
    assert "      roles: {compliance: 1, ml_lead: 1}\n" in text
    assert "      reapprove_on: [card, tier]\n" in text
    assert "        - {gate: artefact_scanned}\n" in text
    assert "bake_s: 600}" in text  # whole numbers without a point
    assert "roles: [on_call, ml_lead]" in text  # the default, said
    assert text.startswith("schema: 1\n")


def test_a_long_list_stands_on_lines_of_its_own() -> None:
    names = [f"environment-{number}" for number in range(12)]
    policy = read_policy(document({"name": "a", "for": {"environments": names}}))
    assert "      environments:\n        - environment-0\n" in policy.as_yaml()
    assert read_policy(policy.as_yaml()) == policy


def test_a_policy_reads_the_same_in_whatever_order_roles_were_kept() -> None:
    one, other = ({"name": "a", "rule": {"roles": roles}} for roles in
                  ({"ml_lead": 1, "compliance": 2}, {"compliance": 2, "ml_lead": 1}))  # fmt: skip
    assert read_policy(document(one)).as_yaml() == read_policy(document(other)).as_yaml()


@pytest.mark.parametrize(
    ("moment", "until"),
    [
        ("2026-03-27T14:59:00Z", None),  # Friday 15:59 in Berlin
        ("2026-03-27T15:00:00Z", "2026-03-30T06:00:00Z"),  # the clock changes on Sunday
        ("2026-03-30T05:59:59Z", "2026-03-30T06:00:00Z"),
        ("2026-03-30T06:00:00Z", None),
    ],
)
def test_a_weekly_freeze_keeps_wall_clock_time_over_a_clock_change(moment: str, until: str | None) -> None:
    policy = read_policy(
        document(freezes=[{"name": "weekend", "zone": "Europe/Berlin", "weekly": ["fri 16:00", "mon 08:00"]}])
    )
    found = policy.frozen_until("promote", "production", datetime.fromisoformat(moment))
    assert (found[1] if found else None) == (datetime.fromisoformat(until) if until else None)
    assert policy.frozen_until("rollback", "production", datetime.fromisoformat(moment)) is None


def test_a_dated_freeze_is_for_its_environments_and_kinds() -> None:
    policy = read_policy(
        document(
            freezes=[
                {"name": "year end", "zone": "America/New_York", "environments": ["production"],
                 "dates": ["2026-12-20T00:00:00", "2027-01-04T00:00:00"], "except_kinds": []}
            ]
        )
    )  # fmt: skip
    inside = datetime(2026, 12, 31, 12, tzinfo=UTC)
    found = policy.frozen_until("rollback", "production", inside)
    assert found is not None
    assert found[1] == datetime(2027, 1, 4, 5, tzinfo=UTC)
    assert policy.frozen_until("promote", "staging", inside) is None
    assert policy.frozen_until("promote", "production", datetime(2026, 12, 20, 4, 59, tzinfo=UTC)) is None
