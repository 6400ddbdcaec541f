"""Long lists on pages: a part at a time, of how many, with a way to the rest."""

from __future__ import annotations

from backend.database.session import reading, writing
from backend.identity.people import count_people
from backend.identity.roles import Role
from tests.integration.app.test_pages import Open, open_page, text_of, world
from tests.integration.monitoring.fleet import make_fleet
from tests.worlds import World, person

__all__ = ["open_page", "world"]


def test_the_people_page_shows_fifty_of_all_and_leads_on(world: World, open_page: Open) -> None:
    with writing() as session:
        admin = person(session, "aaa", Role.ADMIN)
        for number in range(60):
            person(session, f"zz{number:02}", Role.VIEWER)
    test = open_page(admin, "people")
    with reading() as session:
        known, _ = count_people(session, admin)
    assert f"{known} people and services may come in" in text_of(test)
    assert f"1 to 50 of {known}" in text_of(test)
    assert "zz59" not in text_of(test)
    next(one for one in test.button if one.key == "more").click().run()
    assert not test.exception
    assert f"51 to {known} of {known}" in text_of(test)
    assert "zz59" in text_of(test)
    assert [one.key for one in test.button if one.key in ("earlier", "more")] == ["earlier"]


def test_the_inventory_counts_all_and_shows_a_page(world: World, open_page: Open) -> None:
    make_fleet(51)
    test = open_page(world.lead, "inventory", sort="name")
    assert "1 to 50 of 52" in text_of(test)
    test = open_page(world.lead, "inventory", sort="name", **{"from": "50"})
    assert "51 to 52 of 52" in text_of(test)
