"""The page of all models: what it says first, filters in its address, and an act that is read before it is done."""

from __future__ import annotations

from pathlib import Path

import pytest
from markupsafe import Markup

from app.components.listing import markdown, plain_cell
from app.components.tables import anchor, badge, lines, small
from backend import clock
from backend.alerting.service import Firing, fire
from backend.alerting.tables import Silence
from backend.database.session import reading, writing
from backend.fleet.tags import tag_model
from backend.fleet.views import save_view
from backend.identity.people import person_by_id
from backend.identity.roles import Role
from backend.identity.sessions import actor_of
from backend.identity.teams import make_team, move_model, set_team_roles
from backend.monitoring.standings import keep_standings
from backend.registry.tables import Model
from tests.integration.app.test_pages import Open, open_page, text_of, world
from tests.integration.monitoring.fleet import make_fleet
from tests.worlds import SYSTEM, World, person

__all__ = ["open_page", "world"]


@pytest.fixture
def names(world: World) -> list[str]:
    """Sixty models beside `toy`; one has an alert that pages."""
    found = make_fleet(60)
    with writing() as session:
        keep_standings(session, session.query(Model).all(), "production")
        details = {"column": "", "statistic": "roc_auc", "value": 0.58, "threshold": 0.64}
        fire(session, SYSTEM, Firing(found[7], "production", 1, "realised", "page", "AUC fell", "roc_auc",
                                     clock.now(), details))  # fmt: skip
        tag_model(session, world.lead, found[2], add=["loans"])
    return found


def test_the_page_begins_with_who_needs_somebody_and_cuts_the_list(
    world: World, open_page: Open, names: list[str]
) -> None:
    said = text_of(open_page(world.viewer, "models"))
    assert f"1 of 61 models needs you; worst: {names[7]}, AUC 0.580 against 0.640" in said
    assert "1 to 50 of 61" in said
    assert said.index(f">{names[7]}</a>") < said.index(f">{names[0]}</a>"), "the worst first"
    assert f">{names[59]}</a>" not in said
    last = text_of(open_page(world.viewer, "models", **{"from": "50"}))
    assert "51 to 61 of 61" in last
    assert f">{names[59]}</a>" in last
    beyond = text_of(open_page(world.viewer, "models", **{"from": "100"}))
    assert "1 to 50 of 61" in beyond, "a list that became shorter begins anew"


def test_filters_come_from_the_address_and_columns_too(
    world: World, open_page: Open, names: list[str]
) -> None:
    said = text_of(open_page(world.viewer, "models", tag="loans", columns="owner"))
    assert f">{names[2]}</a>" in said
    assert f">{names[3]}</a>" not in said
    assert '<th scope="col">owner</th>' in said
    assert '<th scope="col">tier</th>' not in said
    assert "1 to 1 of 1" in said
    page = open_page(world.viewer, "models", health="page", tier="odd")
    assert f">{names[7]}</a>" in text_of(page)
    assert page.query_params.get("health") == "page"
    assert "tier" not in page.query_params, "no such tier"
    assert "No model matches" in text_of(open_page(world.viewer, "models", text="nothing"))


def test_a_filter_that_is_set_goes_into_the_address(world: World, open_page: Open, names: list[str]) -> None:
    page = open_page(world.viewer, "models", **{"from": "50"})
    next(one for one in page.text_input if one.label == "Find").set_value(names[5]).run()
    assert page.query_params["text"] == names[5]
    assert "from" not in page.query_params, "another list begins at its first row"
    assert "1 to 1 of 1" in text_of(page)


def test_several_models_are_silenced_after_it_was_read_what_would_happen(
    world: World, open_page: Open, names: list[str]
) -> None:
    page = open_page(world.on_call, "models")
    next(one for one in page.toggle if one.label == "Act on several models").set_value(True).run()
    assert "Choose at least one model" in text_of(page)
    next(one for one in page.multiselect if one.label == "Models").set_value(names[:2]).run()
    said = text_of(page)
    assert "This would be done to 2 models" in said
    assert "mute every alert in production for 1 h" in said
    with reading() as session:
        assert session.query(Silence).count() == 0, "nothing is done before it is confirmed"
    next(one for one in page.text_area if one.label == "Why").set_value("planned work")
    next(one for one in page.button if one.label == "Silence alerts: 2 models").click().run()
    assert not page.error
    assert "Done to 2 models" in text_of(page)
    with reading() as session:
        assert {one.model for one in session.query(Silence)} == set(names[:2])


def test_who_may_act_on_nothing_is_offered_no_act(world: World, open_page: Open, names: list[str]) -> None:
    page = open_page(world.viewer, "models")
    assert [one.label for one in page.toggle] == []


def test_a_member_of_a_team_sees_counts_and_chooses_its_models_alone(
    world: World, open_page: Open, names: list[str]
) -> None:
    with writing() as session:
        admin, who = person(session, "root", Role.ADMIN), person(session, "member").person_id
        team = make_team(session, admin, name="Ours")
        for name in names[:2]:
            move_model(session, admin, model=name, team_id=team.id, why="theirs")
        set_team_roles(session, admin, team.id, who, {Role.ON_CALL})
    with reading() as session:
        member = actor_of(person_by_id(session, who), session_id=None)
    page = open_page(member, "models")
    said = text_of(page)
    assert "1 to 2 of 2" in said
    assert names[7] not in said
    assert "loans" not in said
    next(one for one in page.toggle if one.label == "Act on several models").set_value(True).run()
    assert next(one for one in page.multiselect if one.label == "Models").options == names[:2]


def test_a_saved_view_sets_the_filters(world: World, open_page: Open, names: list[str]) -> None:
    with writing() as session:
        view = save_view(
            session, world.lead, name="Loans", filters={"tag": ["loans"]}, sort="name", shared=True
        )
        assert view.id
    page = open_page(world.viewer, "models")
    next(one for one in page.selectbox if one.label == "Saved view").set_value("Loans (Lead)").run()
    assert page.query_params["tag"] == "loans"
    assert "1 to 1 of 1" in text_of(page)


def test_what_a_cell_says_is_text_in_markdown(migrated_home: Path) -> None:
    assert plain_cell(lines(anchor("a|b", "model", model="a"), small("so <b>"))) == "a|b; so <b>"
    said = markdown(["model", "health"], [["*x* [y](z) <i>", badge("holds", "ok")], [None, Markup("")]])
    assert said.splitlines() == [
        "| model | health |", "| --- | --- |", r"| \*x\* \[y\](z) \<i\> | ● holds |", "| – |  |",
    ]  # fmt: skip
