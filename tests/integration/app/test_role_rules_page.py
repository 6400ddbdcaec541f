"""The rules that give roles by sign-on, on the page People."""

from __future__ import annotations

from sqlalchemy import select

from backend.database.session import reading, writing
from backend.governance.tables import Change
from backend.identity.roles import Role
from tests.integration.app.test_pages import Open, open_page, world
from tests.worlds import World, person

__all__ = ["open_page", "world"]


def test_an_administrator_tries_rules_and_asks_for_them(world: World, open_page: Open) -> None:
    with writing() as session:
        admin = person(session, "admin", Role.ADMIN)
    page = open_page(admin, "people")
    assert not page.exception
    page.button(key="role-rules-dry-run").click().run()
    assert not page.exception
    assert any("0 people would have other roles" in one.value for one in page.markdown)
    page.text_area(key="role-rules:1:reason").set_value("the leads have a group")
    next(one for one in page.button if one.label == "Ask for these rules").click().run()
    with reading() as session:
        change = session.scalars(select(Change)).one()
    assert (change.kind, change.state) == ("roles", "waiting")
