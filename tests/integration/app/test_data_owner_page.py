"""Whose the training data of a version are: declared on the page of the model, told on the page of a change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from streamlit.testing.v1 import AppTest

from backend.database.session import reading, writing
from backend.governance.kinds import Asked
from backend.registry.tables import Version
from tests.integration.app.test_pages import Open, open_page, text_of, world
from tests.integration.governance.conftest import ask, put_in_force
from tests.worlds import World, name_people

__all__ = ["open_page", "world"]
RULE = "rules: [{name: all, rule: {excluded: [requester, trainer, data_owner]}}]"


def labelled(widgets: Any, label: str) -> Any:
    return next(one for one in widgets if one.label == label)


def test_the_owner_of_the_data_is_declared_on_the_page_and_told_where_people_decide(
    world: World, open_page: Open
) -> None:
    with writing() as session:
        put_in_force(session, world, RULE)
    back = Asked("rollback", "production", "toy", 1)
    change = ask(world.on_call, back)
    untold = open_page(world.lead, "change", id=str(change.id))
    assert "nobody by the record: the rule excludes the owner" in text_of(untold)
    page = open_page(world.engineer, "model", model="toy", version="1")
    labelled(page.text_input, "User name of the owner (optional)").set_value("lead")
    declare(page).click().run()
    assert "Still needed: How you know" in text_of(page)
    labelled(page.text_input, "How you know").set_value("they collected it")
    declare(page).click().run()
    assert not page.exception
    with reading() as session:
        assert session.get_one(Version, ("toy", 1)).data_owner == world.lead.person_id
    assert "By the record: Lead" in " ".join(one.value for one in page.caption)
    asked = ask(world.on_call, replace(back))
    barred = open_page(world.lead, "change", id=str(asked.id))
    assert "You cannot decide: you own the data" in text_of(barred)


def test_that_nobody_is_known_to_have_trained_it_is_told_where_people_decide(
    world: World, open_page: Open
) -> None:
    with writing() as session:
        put_in_force(session, world, RULE)
        name_people(session, "toy", 1, trained_by=None)
    change = ask(world.on_call, Asked("rollback", "production", "toy", 1))
    page = open_page(world.lead, "change", id=str(change.id))
    assert "nobody by the record: whoever did is not excluded by that" in text_of(page)


def declare(page: AppTest) -> Any:
    return labelled(page.button, "Declare the owner for v1")
