"""The list of models in a real Chromium: a link with filters, a row that leads to its model, and an act on many."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, expect

from backend.alerting.tables import Silence
from backend.database.session import reading, writing
from backend.fleet.tags import tag_model
from backend.identity.people import person_by_id
from backend.identity.roles import Role
from backend.identity.sessions import actor_of
from backend.identity.teams import make_team, move_model, set_team_roles
from backend.monitoring.standings import keep_standings
from backend.registry.tables import Model
from tests.browser.test_pages import browser, console, open_at, page_of, world
from tests.console import Console
from tests.integration.monitoring.fleet import make_fleet
from tests.worlds import World, person

__all__ = ["browser", "console", "world"]
pytestmark = [pytest.mark.browser, pytest.mark.slow]


def fleet(world: World) -> list[str]:
    names = make_fleet(55)
    with writing() as session:
        keep_standings(session, session.query(Model).all(), "production")
        tag_model(session, world.lead, names[2], add=["loans"])
        tag_model(session, world.lead, names[3], add=["loans"])
    return names


def test_a_filter_is_in_the_address_and_a_row_leads_to_its_model(
    browser: Browser, console: Console, world: World
) -> None:
    names = fleet(world)
    page = page_of(browser, console, world.viewer)
    open_at(page, console, "/models?tag=loans")
    expect(page.locator(".w-row-links tbody tr")).to_have_count(2)
    page.get_by_label("Find").fill(names[3])
    page.get_by_label("Find").press("Enter")
    expect(page.locator(".w-row-links tbody tr")).to_have_count(1)
    expect(page).to_have_url(f"{console.url}/models?text={names[3]}&tag=loans")
    page.reload()
    expect(page.locator(".w-row-links tbody tr")).to_have_count(1)
    # By force: the row's link lies over the cell.
    page.locator(".w-row-links tbody td").nth(7).click(position={"x": 2, "y": 2}, force=True)
    expect(page).to_have_url(f"{console.url}/model?model={names[3]}")


def test_an_act_on_all_that_match_is_read_and_then_done(
    browser: Browser, console: Console, world: World
) -> None:
    names = fleet(world)
    page = page_of(browser, console, world.on_call)
    open_at(page, console, "/models?tag=loans")
    page.get_by_text("Act on several models").click()
    page.get_by_text("All 2 models that match the filters").click()
    expect(page.get_by_text("This would be done to 2 models")).to_be_visible()
    expect(page.get_by_text("mute every alert in production for 1 h")).to_have_count(2)
    page.get_by_role("textbox", name="Why").fill("planned work")
    page.get_by_role("button", name="Silence alerts: 2 models").click()
    expect(page.get_by_text(re.compile(r"^Done to 2 models"))).to_be_visible(timeout=30_000)
    with reading() as session:
        assert {(one.model, one.comment) for one in session.query(Silence)} == {
            (name, "planned work") for name in names[2:4]
        }


def test_a_member_of_a_team_sees_only_its_models(browser: Browser, console: Console, world: World) -> None:
    names = fleet(world)
    with writing() as session:
        admin, who = person(session, "root", Role.ADMIN), person(session, "member").person_id
        team = make_team(session, admin, name="Ours")
        move_model(session, admin, model=names[5], team_id=team.id, why="theirs")
        set_team_roles(session, admin, team.id, who, {Role.ON_CALL})
    with reading() as session:
        member = actor_of(person_by_id(session, who), session_id=None)
    page = page_of(browser, console, member)
    open_at(page, console, "/models")
    expect(page.locator(".w-row-links tbody tr")).to_have_count(1)
    expect(page.get_by_text("1 to 1 of 1")).to_be_visible()
    open_at(page, console, "/models?tag=loans")
    assert names[2] not in page.content()
