"""A policy that is refused says the line to correct."""

from __future__ import annotations

import re

import pytest

from backend.errors import BadInput
from backend.governance.policy_document import read_policy

TEXT = """\
schema: 1
rules:
  - name: one
    for: {kinds: [rollback]}
    rule:
      lifetime_h: 24
      gates:
        - {gate: artefact_scanned}
        - gate: drift_under_bound
          parameters: {share: 0.2}
  - name: everything else
    rule: {}
"""


@pytest.mark.parametrize(
    ("before", "after", "line", "reason"),
    [
        ("lifetime_h: 24", "lifetime_h: soon", 6, "it is a number, not 'soon'"),
        ("lifetime_h: 24", "lifetime: 24", 6, "did you mean 'lifetime_h'?"),
        ("kinds: [rollback]", "kinds: [roll]", 4, "has to be 'promote'"),
        ("artefact_scanned", "scanned", 8, "not installed"),
        ("share: 0.2", "shares: 0.2", 9, "did you mean 'share'?"),
        ("    for: {kinds", "    for: {kinds: [", 4, "no YAML"),
        ("    rule: {}", "    rule: {}\n    rule: {}", 13, "the key 'rule' is there twice"),
        ("rule: {}", "rule: {roles: {viewer: 1}}", 12, "no role that decides"),
    ],
)
def test_a_refused_policy_names_line_and_reason(before: str, after: str, line: int, reason: str) -> None:
    read_policy(TEXT)
    assert before in TEXT
    with pytest.raises(BadInput) as refused:
        read_policy(TEXT.replace(before, after, 1))
    assert f"in line {line}" in refused.value.message
    assert reason in refused.value.message


def test_every_mistake_is_told_in_the_order_of_the_text() -> None:
    wrong = (
        TEXT.replace("rule: {}", "rule: {gatez: []}")
        .replace("schema: 1", "schema: 2")
        .replace(": 24", ": -1")
    )
    with pytest.raises(BadInput) as refused:
        read_policy(wrong)
    assert [int(line) for line in re.findall(r"in line (\d+)", refused.value.message)] == [1, 6, 12]


RULE = "rules: [{name: one, rule: {%s}}]"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{a: " * 2000, "nested deeper than 20 levels"),
        ("[" * 5000 + "]" * 5000, "nested deeper than 20 levels"),
        ("a: &x 1\nb: *x", r"line 2, column 4: write out what \*x refers to"),
        (RULE % f"lifetime_h: {'9' * 5001}", "line 1, column 40: '9999.* cannot be read as a value"),
        ("rules: []\nat: 2001-99-99", "line 2, column 5: '2001-99-99' cannot be read"),
        ("rules: []\nat: !!timestamp 5", "line 2, column 5: '5' cannot be read"),
        (RULE % 'because: "x\\0y"', "line 1, column 37: there is a control character"),
        (RULE % "roles: {ml_lead: yes}", "valid integer, not True"),
        (RULE % "lifetime_h: true", "it is a number, not 'True'"),
        (RULE % "way_back_days: '14'", "it is a number, not '14'"),
        (RULE % "allowed: 'no', because: x", "it is true or false, not 'no'"),
        (RULE % "lifetime_h: 1e300", "less than or equal to 8784"),
        (RULE % "reapprove_after_days: 1.0e+300", "less than or equal to 3660"),
        (RULE % "break_glass: {roles: [viewer]}", "no role that asks for changes"),
        (RULE % "break_glass: {roles: []}", "it needs at least 1"),
        ("x" * 200_001, "200,001 characters"),
    ],
)
def test_what_no_policy_is_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        read_policy(text)


def test_small_numbers_are_read_however_they_are_written() -> None:
    rule = read_policy(RULE % "rollout: {analysis: {error_rate: 1e-05}}").rules[0].rule
    assert rule.rollout.analysis.error_rate == 1e-05
