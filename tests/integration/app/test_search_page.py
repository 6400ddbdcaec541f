"""The field in the top bar, the page of results, the list of incidents, and home by role."""

from __future__ import annotations

from datetime import timedelta

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from backend import clock
from backend.alerting.tables import Incident
from backend.assurance.tables import Finding
from backend.database.session import writing
from backend.identity.roles import Role
from tests.integration.app.test_home_of_many import labels
from tests.integration.app.test_pages import Open, ask_rollback, everyone_in_one, open_page, text_of, world
from tests.integration.monitoring.fleet import make_fleet
from tests.watched import watch
from tests.worlds import World, person

__all__ = ["open_page", "world"]


def html_of(page: AppTest) -> str:
    """What we draw as HTML of our own."""
    return "\n".join(one.proto.body for one in page.main if one.type == "html")


def send(page: AppTest, text: str) -> AppTest:
    """Write into the field of the top bar and press Enter."""
    (field,) = [one for one in page.text_input if one.label == "Search everything"]
    field.set_value(text)
    (button,) = [one for one in page.button if one.label == "Search"]
    return button.click().run()


def test_words_lead_to_the_results_by_kind_with_links(world: World, open_page: Open) -> None:
    watch(world)
    ask_rollback(world)
    said = text_of(send(open_page(world.lead, "overview"), "  toy   AUC "))
    assert "“toy AUC”: 1 incident" in said
    assert '<a href="/incident?id=1" target="_self">INC-1</a>' in said
    every = text_of(open_page(world.lead, "search", q="toy"))
    assert "“toy”: 1 model, 1 incident, 1 change and 2 versions" in every
    assert '<a href="/change?id=1" target="_self">CHG-1</a>' in every


def test_nothing_found_and_nothing_typed_teach_what_can_be_looked_for(world: World, open_page: Open) -> None:
    empty = text_of(open_page(world.viewer, "search"))
    assert "Search everything that you may see" in empty
    assert "INC-42" in empty
    assert "j.doe" not in empty, "viewers find no people"
    nothing = text_of(open_page(world.viewer, "search", q="no such thing"))
    assert "Nothing that you may see has “no such thing”" in nothing
    assert "Every word has to occur in the same thing" in nothing
    assert "Not looked among: Predictions (needs data:prediction:explain); People" in nothing


def test_one_kind_is_shown_alone_and_a_made_up_one_is_not_asked(world: World, open_page: Open) -> None:
    ask_rollback(world)
    alone = text_of(open_page(world.lead, "search", q="toy", kind="change"))
    assert "“toy”: 1 change" in alone
    assert "Search every kind" in alone
    assert not open_page(world.lead, "search", q="toy", kind="planet").exception


def test_a_person_that_was_found_is_shown_alone_among_people(world: World, open_page: Open) -> None:
    with writing() as session:
        admin = person(session, "root", Role.ADMIN)
    said = text_of(open_page(admin, "people", person="oncall"))
    assert "oncall · person" in said
    assert "compliance · person" not in said


def add_incidents(count: int) -> None:
    with writing() as session:
        session.add_all(
            Incident(
                model="toy", environment="production", area=f"a{at}", title=f"falls {at}", severity=1 + at % 4,
                opened_at=clock.now() - timedelta(hours=2), state="open" if at % 2 else "closed", phase="new",
                closed_at=None if at % 2 else clock.now(),
            )
            for at in range(count)
        )  # fmt: skip


def test_the_list_of_incidents_says_the_worst_and_is_filtered_by_its_address(
    world: World, open_page: Open
) -> None:
    add_incidents(8)
    every = text_of(open_page(world.viewer, "incidents"))
    assert "4 incidents are open; worst: INC-2 SEV-2 toy, falls 1, for 2\u202fh, nobody is on it" in every
    assert "4 over" in every
    over = text_of(open_page(world.viewer, "incidents", state="closed", severity="1"))
    assert "No incident of these is open" in over
    assert "falls 0" in over
    assert "falls 1" not in over
    none = text_of(open_page(world.viewer, "incidents", has="me"))
    assert "No incident fits" in none


def test_home_has_the_blocks_of_each_role_and_of_no_other(world: World, open_page: Open) -> None:
    watch(world)
    ask_rollback(world)
    blocks = {
        "viewer": {"Firing"}, "lead": {"Firing", "Waiting for you", "Rollouts running", "Candidates"},
        "on_call": {"Firing", "Error budgets in danger", "Changed within a day"},
        "compliance": {"Firing", "Findings", "Reviews of models overdue", "Reviews of access overdue",
                       "Glass broken, not reviewed", "The record"},
    }  # fmt: skip
    titles = set().union(*blocks.values()) | {"Warrant itself"}
    for name, expected in blocks.items():
        said = text_of(open_page(getattr(world, name), "overview"))
        shown = {one for one in titles if f"<h2>{one}</h2>" in said or f"<strong>{one}</strong>" in said}
        assert shown == expected, name
    with writing() as session:
        admin = person(session, "root", Role.ADMIN)
    assert "<h2>Warrant itself</h2>" in text_of(open_page(admin, "overview"))


def test_the_most_urgent_block_comes_first_for_somebody_of_several_roles(
    world: World, open_page: Open
) -> None:
    who = everyone_in_one()
    with writing() as session:
        session.add(
            Finding(
                model="toy", title="leaks", detail="so", severity="high", due_at=clock.now() - timedelta(days=1),
                owners=[], owner_id=world.lead.person_id, opened_at=clock.now(),
            )
        )  # fmt: skip
    said = text_of(open_page(who, "overview"))
    assert said.index("<h2>Findings</h2>") < said.index("<strong>Firing</strong>")
    watch(world)  # a page fires
    st.cache_data.clear()
    said = text_of(open_page(who, "overview"))
    assert said.index("<h2>Firing</h2>") < said.index("<h2>Findings</h2>")


def test_every_row_of_a_block_is_one_link_and_home_draws_no_chart(world: World, open_page: Open) -> None:
    watch(world)
    ask_rollback(world)
    page = open_page(everyone_in_one(), "overview")
    assert not page.get("plotly_chart")
    assert any("CHG-1" in one for one in labels(page))
    assert any("INC-1" in one for one in labels(page))


def test_home_of_a_fleet_shows_the_worst_ten_and_leads_to_the_rest(world: World, open_page: Open) -> None:
    make_fleet(60)
    page = open_page(world.viewer, "overview")
    home = text_of(page)
    assert html_of(page).count('scope="row"') == 10
    assert '<a href="/?show=models" target="_self">All 61 models, those that need somebody first</a>' in home
    rest = open_page(world.viewer, "overview", show="models", **{"from": "50"})
    assert "51 to 61 of 61" in text_of(rest.run())


@pytest.mark.parametrize("typed", ["<script>", "'; DROP TABLE models", "%" * 50])
def test_whatever_is_typed_is_shown_as_text(world: World, open_page: Open, typed: str) -> None:
    test = open_page(world.viewer, "search", q=typed)
    assert not test.exception
    assert "<script>" not in html_of(test)
