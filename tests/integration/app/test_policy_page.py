"""The Policy page tells all that a rule says, and every revision there was."""

from __future__ import annotations

import streamlit as st
from streamlit.testing.v1 import AppTest

from app.components.policy_parts import freeze_row, rule_row
from backend.database.session import writing
from backend.governance.policies import built_in
from backend.governance.policy_document import read_policy
from tests.integration.app.test_pages import Open, open_page, text_of, world
from tests.integration.governance.conftest import put_in_force
from tests.worlds import World

__all__ = ["open_page", "world"]
POLICY = """
freezes:
  - {name: weekend, zone: Europe/Berlin, weekly: ["fri 16:00", "mon 08:00"]}
  - {name: year end, environments: [production], dates: [2026-12-20T00:00:00, 2027-01-04T06:00:00], except_kinds: []}
rules:
  - name: monitors
    for: {kinds: [monitor]}
    rule: {only_by_change: true, comment_required_to: [reject, approve]}
  - name: back
    for: {kinds: [rollback]}
    rule:
      break_glass: {roles: [on_call], kinds: [rollback, cutoff], review_within_h: 24, lasts_h: 48, when_over: return}
  - name: all
    rule:
      conditions: [{gate: artefact_scanned}]
      on_breach: return
      reapprove_after_days: 90
      reapprove_on: [card, tier]
"""


def differences(page: AppTest, begins: str) -> list[str]:
    found = [one.proto.body for one in page.main if one.type == "html"]
    return [one for one in found if f'<span class="w-removed">{begins}' in one]


def test_the_policy_page_hides_nothing_that_a_rule_says(world: World, open_page: Open) -> None:
    with writing() as session:
        put_in_force(session, world, POLICY)
    page = text_of(open_page(world.lead, "policy"))
    for told in (
        "monitors are changed in no other way",
        "while it serves: artefact scanned; a breach takes the agreed way back",
        "to be approved again after 90 days in service, and when card or tier changes",
        "for: rollback, cutoff",
        "reviewed within 24 h; stands 48 h, then what served before comes back",
        "approving needs a comment",
        "every week from Fri 16:00 to Mon 08:00",
        "from 20 Dec 2026, 00:00 to 4 Jan 2027, 06:00",
        "by the clock of Europe/Berlin",
    ):
        assert told in page, told
    assert "moves no version" in page
    weekend, year_end = (freeze_row(one.model_dump(mode="json")) for one in read_policy(POLICY).freezes)
    assert (weekend[2:], year_end[2:]) == (["everywhere", "rollback"], ["production", "nothing"])
    rules_of_promotions = page.count("to be approved again after 90 days")
    assert page.count("way back for 14 days") == rules_of_promotions, "only a promotion agrees on a way back"


def test_the_policy_page_tells_what_is_hardly_meant_in_force_and_in_a_draft(
    world: World, open_page: Open
) -> None:
    with writing() as session:
        put_in_force(session, world, POLICY)
    page = open_page(world.lead, "policy")
    assert "excepts no rollback: nobody returns as agreed in it" in text_of(page)
    assert "breaking the glass does not" in text_of(page)
    typo = "rules: [{name: typo, for: {environments: [prodution]}}, {name: robots, rule: {accounts: true}}]"
    page.text_area[0].set_value(typo)
    page.button(key="dry-run").click().run()
    assert "names the environment prodution, where nothing serves" in text_of(page)
    assert "service accounts decide, too" in str(
        rule_row(read_policy(typo).rules[1].model_dump(mode="json", by_alias=True))
    )


def test_a_rule_that_allows_nothing_tells_why_and_nothing_else() -> None:
    shut, *_, rest = built_in().document.rules
    row = rule_row(shut.model_dump(mode="json", by_alias=True))
    assert "not allowed: a model of the tier prohibited may not serve" in str(row[1])
    told = " ".join(str(cell) for cell in row)
    for untrue in ("all at once", "way back for", "72 h", "not: requester", "nobody"):
        assert untrue not in told
    assert "72 h" in str(rule_row(rest.model_dump(mode="json", by_alias=True))[4])
    assert str(rule_row(rest.model_dump(mode="json", by_alias=True))[0]).count("everything else") == 1


def test_the_installed_policy_is_a_revision_and_any_two_are_compared(world: World, open_page: Open) -> None:
    alone = open_page(world.lead, "policy")
    assert "installed with Warrant" in text_of(alone)
    assert not [one for one in alone.selectbox if one.label == "compared with"]
    for text in (POLICY, POLICY.replace("90", "30")):
        with writing() as session:
            put_in_force(session, world, text)
    st.cache_data.clear()
    page = open_page(world.lead, "policy")
    differs = differences(page, "--- revision")
    assert "-    reapprove_after_days: 90" in differs[0].replace("      ", "    ")
    assert "+    reapprove_after_days: 30" in differs[0].replace("      ", "    ")
    chosen = next(one for one in page.selectbox if one.label == "compared with").select("1").run()
    assert len(differences(chosen, "--- revision 1")) == 1
