"""One field of a policy's text is edited; what cannot stand is written too, and told at its place."""

from __future__ import annotations

import pytest
import yaml

from backend.errors import BadInput
from backend.governance.policies import built_in
from backend.governance.policy_document import read_policy
from backend.governance.policy_edits import (
    document_of,
    faults_in,
    text_of,
    value_at,
    with_freeze,
    with_rule_before,
    with_rule_moved,
    with_values,
    without_freeze,
    without_rule,
)

TEXT = built_in().document.as_yaml()
NAMES = [entry.name for entry in built_in().document.rules]


def names(text: str) -> list[str]:
    return [rule["name"] for rule in yaml.safe_load(text)["rules"]]


def test_an_edit_changes_its_own_line_and_the_default_takes_it_away_again() -> None:
    at = NAMES.index("retirement")
    longer = with_values(TEXT, {("rules", at, "rule", "lifetime_h"): 25.0})
    before, after = TEXT.splitlines(), longer.splitlines()
    assert [line.strip() for line in after if line not in before] == ["lifetime_h: 25"]
    assert "lifetime_h" not in value_at(
        document_of(with_values(longer, {("rules", at, "rule", "lifetime_h"): None})), ("rules", at, "rule")
    )
    assert text_of(document_of(TEXT)) == TEXT


def test_what_cannot_stand_is_written_and_told_at_its_place() -> None:
    at = NAMES.index("retirement")
    wrong = with_values(
        with_freeze(TEXT),
        {("rules", at, "rule", "lifetime_h"): 0, ("freezes", 0, "zone"): "Mars/Olympus",
         ("freezes", 0, "weekly", 1): "mon 8", ("rules", 0, "rule", "roles"): {"boss": 1}},
    )  # fmt: skip
    assert yaml.safe_load(wrong)["rules"][at]["rule"]["lifetime_h"] == 0
    told = {fault.place: fault.reason for fault in faults_in(document_of(wrong))}
    assert "no time zone" in told[("freezes", 0, "zone")]
    assert "no moment of a week" in told[("freezes", 0, "weekly", 1)]
    assert "greater than or equal to 1" in told[("rules", at, "rule", "lifetime_h")]
    assert "no role that decides" in told[("rules", 0, "rule", "roles", "boss")]
    with pytest.raises(BadInput):
        read_policy(wrong)


def test_a_gate_with_parameters_that_it_does_not_have_is_told_at_the_gate() -> None:
    at = NAMES.index("high tier")
    wrong = with_values(TEXT, {("rules", at, "rule", "gates", 3, "parameters", "minimum"): 2.0})
    (fault,) = faults_in(document_of(wrong))
    assert fault.place == ("rules", at, "rule", "gates", 3)
    assert "minimum" in fault.reason


def test_a_rule_is_copied_before_another_moved_and_removed_and_the_last_one_stays_the_last() -> None:
    more = with_rule_before(TEXT, len(NAMES) - 1)
    assert names(more) == [*NAMES[:-1], "before everything else", "everything else"]
    assert names(with_rule_before(more, len(NAMES)))[-2] == "before everything else 2"
    assert names(with_rule_moved(TEXT, 0, 1)) == [NAMES[1], NAMES[0], *NAMES[2:]]
    for number, by in ((0, -1), (len(NAMES) - 2, 1), (len(NAMES) - 1, -1)):
        assert names(with_rule_moved(TEXT, number, by)) == NAMES
    assert names(without_rule(more, len(NAMES) - 1)) == NAMES
    with pytest.raises(BadInput, match="last rule"):
        without_rule(TEXT, len(NAMES) - 1)


def test_a_freeze_is_added_and_removed() -> None:
    two = with_freeze(with_freeze(TEXT))
    assert [freeze.name for freeze in read_policy(two).freezes] == ["new freeze", "new freeze 2"]
    assert without_freeze(without_freeze(two, 0), 0) == TEXT


@pytest.mark.parametrize(
    "text", ["rules: [", "- 1", "rules: {}", "rules: [1]", "{rules: [{name: a}], freezes: 3}"]
)
def test_a_text_without_rules_is_not_edited_by_form(text: str) -> None:
    with pytest.raises(BadInput):
        document_of(text)
