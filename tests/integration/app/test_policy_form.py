"""The policy is edited by forms: they write into the text that is tried and asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
import yaml
from streamlit.testing.v1 import AppTest

from backend.database.session import reading
from backend.governance.policies import built_in
from backend.governance.policy_document import read_policy
from backend.governance.tables import Change
from tests.integration.app.test_pages import Open, open_page, text_of, world
from tests.worlds import World

__all__ = ["open_page", "world"]
NAMES = [entry.name for entry in built_in().document.rules]


@pytest.fixture
def page(world: World, open_page: Open) -> AppTest:
    return open_page(world.lead, "policy")


def labelled(widgets: Iterable[Any], label: str, nth: int = 0) -> Any:
    found = [one for one in widgets if one.label == label]
    assert found, (label, [one.label for one in widgets])
    return found[nth]


def choose(page: AppTest, rule: str) -> None:
    labelled(page.selectbox, "Rule").set_value(draft_names(page).index(rule)).run()


def draft(page: AppTest) -> dict[str, Any]:
    return dict(yaml.safe_load(page.text_area[0].value))


def draft_names(page: AppTest) -> list[str]:
    return [rule["name"] for rule in draft(page)["rules"]]


def rule_of(page: AppTest, name: str) -> dict[str, Any]:
    (found,) = (one for one in draft(page)["rules"] if one["name"] == name)
    return dict(found.get("rule", {}))


def test_every_part_of_a_rule_is_edited_by_form_and_asked_for(world: World, page: AppTest) -> None:
    choose(page, "medium tier")
    labelled(page.number_input, "Approvals by ml lead").set_value(2).run()
    labelled(page.number_input, "Approvals by compliance").set_value(1).run()
    labelled(page.checkbox, "Nor does the owner of the data").check().run()
    labelled(page.number_input, "An approval is valid for, hours").set_value(48.0).run()
    gate_list = labelled(page.multiselect, "Asked of the change")
    gate_list.set_value(["artefact_scanned", "metric_not_worse"]).run()
    labelled(page.number_input, "Margin").set_value(0.02).run()
    labelled(page.selectbox, "Strategy").set_value("canary").run()
    labelled(page.text_input, "Steps, % of requests").set_value("10, 100").run()
    labelled(page.number_input, "Watched at each step, seconds").set_value(60.0).run()
    labelled(page.checkbox, "In an emergency one person may act without approval").check().run()
    labelled(page.multiselect, "Who").set_value(["on_call"]).run()
    labelled(page.number_input, "Reviewed within, hours").set_value(12.0).run()
    labelled(page.number_input, "After days in service").set_value(90.0).run()
    labelled(page.multiselect, "When this changes").set_value(["card"]).run()
    labelled(page.multiselect, "Environments").set_value(["production", "staging"]).run()
    asked = read_policy(page.text_area[0].value)
    (entry,) = (one for one in asked.rules if one.name == "medium tier")
    rule = entry.rule
    assert entry.scope.environments == ("production", "staging")
    assert rule.roles == {"ml_lead": 2, "compliance": 1}
    assert (rule.excluded, rule.lifetime_h) == (("requester", "trainer", "data_owner"), 48)
    assert [(one.gate, one.required) for one in rule.gates] == [
        ("artefact_scanned", True),
        ("metric_not_worse", False),
    ]
    assert rule.gates[1].parameters == {"margin": 0.02}
    assert (rule.rollout.strategy, rule.rollout.steps, rule.rollout.bake_s) == ("canary", (0.1, 1), 60)
    assert rule.break_glass is not None
    assert (rule.break_glass.roles, rule.break_glass.review_within_h) == (("on_call",), 12)
    assert (rule.reapprove_after_days, rule.reapprove_on) == (90, ("card",))
    assert [one for one in asked.rules if one.name != "medium tier"] == [
        one for one in built_in().document.rules if one.name != "medium tier"
    ]
    page.button(key="dry-run").click().run()
    assert "finished change" in text_of(page)
    labelled(page.text_area, "Why").set_value("Two pairs of eyes.")
    next(one for one in page.button if one.label == "Ask for this policy").click().run()
    with reading() as session:
        (change,) = session.query(Change).filter_by(kind="policy")
        assert read_policy(change.subject["document"]) == asked


def test_a_freeze_is_added_with_zone_and_exceptions_made_one_of_dates_and_removed(page: AppTest) -> None:
    labelled(page.button, "Add a freeze").click().run()
    labelled(page.text_input, "Name", -1).set_value("year end").run()
    labelled(page.selectbox, "Time zone").set_value("Europe/Berlin").run()
    labelled(page.selectbox, "From").set_value("thu").run()
    labelled(page.text_input, "at").set_value("12:30").run()
    labelled(page.multiselect, "But for").set_value(["rollback", "retire"]).run()
    (weekly,) = read_policy(page.text_area[0].value).freezes
    assert (weekly.name, weekly.zone, weekly.weekly) == (
        "year end",
        "Europe/Berlin",
        ("thu 12:30", "mon 08:00"),
    )
    assert weekly.except_kinds == ("rollback", "retire")
    labelled(page.selectbox, "When").set_value("once").run()
    labelled(page.text_input, "From").set_value("2026-12-20 18:00").run()
    assert any("datetime" in one.value for one in page.error), "the end is still to be written"
    labelled(page.text_input, "Until").set_value("2027-01-04 06:00").run()
    (once,) = read_policy(page.text_area[0].value).freezes
    assert once.dates is not None
    assert [moment.isoformat() for moment in once.dates] == ["2026-12-20T18:00:00", "2027-01-04T06:00:00"]
    assert labelled(page.text_input, "From").value == "2026-12-20 18:00"
    labelled(page.button, "Remove the freeze year end").click().run()
    assert page.text_area[0].value == built_in().document.as_yaml()


def test_a_rule_is_added_narrowed_moved_and_removed(page: AppTest) -> None:
    choose(page, "low tier")
    labelled(page.button, "Add a rule before it").click().run()
    assert labelled(page.selectbox, "Rule").value == NAMES.index("low tier"), "the new one is shown"
    labelled(page.text_input, "Name").set_value("small changes").run()
    labelled(page.multiselect, "Kinds of change").set_value(["cutoff"]).run()
    labelled(page.checkbox, "Such a change may be asked for").uncheck().run()
    assert any("say in because why" in one.value.replace("`", "") for one in page.error)
    labelled(page.text_input, "Why not").set_value("cut-offs move with a version").run()
    assert not page.error
    assert rule_of(page, "small changes")["because"] == "cut-offs move with a version"
    labelled(page.button, "Move it up").click().run()
    assert draft_names(page).index("small changes") == NAMES.index("low tier") - 1
    assert labelled(page.text_input, "Name").value == "small changes"
    labelled(page.button, "Remove it").click().run()
    assert draft_names(page) == NAMES
    choose(page, NAMES[-1])
    assert labelled(page.button, "Remove it").disabled


def test_form_and_text_say_the_same_also_of_what_cannot_stand(page: AppTest) -> None:
    choose(page, "retirement")
    labelled(page.number_input, "An approval is valid for, hours").set_value(0.0).run()
    assert rule_of(page, "retirement")["lifetime_h"] == 0
    assert [one.value for one in page.error] == ["it has to be greater than or equal to 1, not 0"]
    text = page.text_area[0].value
    page.text_area[0].set_value(text.replace("lifetime_h: 0", "lifetime_h: soon")).run()
    assert labelled(page.number_input, "An approval is valid for, hours").value is None
    assert any("it is a number, not 'soon'" in one.value for one in page.error)
    choose(page, "low tier")
    assert any("retirement" in one.value and "soon" in one.value for one in page.error), (
        "told also from elsewhere"
    )
    page.text_area[0].set_value("rules: [").run()
    assert not [one for one in page.selectbox if one.label == "Rule"]
    assert "Correct it as YAML" in "".join(one.value for one in page.info)
    page.text_area[0].set_value(built_in().document.as_yaml()).run()
    choose(page, "high tier")
    labelled(page.number_input, "Minimum").set_value(3.0).run()
    assert any("card_complete" in one.value.replace("\\", "") for one in page.error)


def test_what_is_typed_is_not_undone_by_what_an_input_held_before(page: AppTest) -> None:
    choose(page, "medium tier")
    lifetime = labelled(page.number_input, "An approval is valid for, hours")
    typed = page.text_area[0].value.replace("lifetime_h: 168", "lifetime_h: 24")
    assert typed != page.text_area[0].value
    page.text_area[0].set_value(typed)
    lifetime.set_value(72.0)  # sent with it, by a browser that has not drawn the new text yet
    page.run()
    assert page.text_area[0].value == typed
    page.text_area[0].set_value("rules: [")
    labelled(page.number_input, "An approval is valid for, hours").set_value(72.0)
    page.run()
    assert (page.text_area[0].value, list(page.exception)) == ("rules: [", [])
