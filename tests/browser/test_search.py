"""The search in a real Chromium: the key that leads to it, an exact id, and what a member of a team does not find."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from backend import clock
from backend.alerting.tables import Incident
from backend.database.session import reading, writing
from backend.identity.actor import Actor
from backend.identity.people import person_by_id
from backend.identity.roles import Role
from backend.identity.sessions import actor_of
from backend.identity.teams import make_team, move_model, set_team_roles
from tests.browser.looking import settle
from tests.browser.test_pages import ADDRESSES, browser, console, open_at, page_of, world
from tests.console import Console
from tests.worlds import World, add_model, person

__all__ = ["browser", "console", "world"]
pytestmark = [pytest.mark.browser, pytest.mark.slow]
FIELD = ".st-key-search-everything input"


def look_for(page: Page, text: str) -> None:
    page.locator(FIELD).fill(text)
    page.locator(FIELD).press("Enter")


def test_a_slash_leads_to_the_field_from_every_page_and_breaks_no_policy(
    browser: Browser, console: Console, world: World
) -> None:
    page = page_of(browser, console, world.lead)
    refused: list[str] = []
    page.on(
        "console", lambda said: refused.append(said.text) if "Content Security Policy" in said.text else None
    )
    for address in ADDRESSES:
        open_at(page, console, address)
        settle(page)  # what is drawn anew meanwhile would lose the cursor
        page.locator("body").press("/")
        expect(page.locator(FIELD), address).to_be_focused()
        expect(page.locator(FIELD), address).to_have_value("")
    page.locator(FIELD).press("/")
    expect(page.locator(FIELD)).to_have_value("/")  # where one writes it is a slash
    assert refused == []


def test_an_exact_id_opens_its_page_and_words_the_results(
    browser: Browser, console: Console, world: World
) -> None:
    page = page_of(browser, console, world.lead)
    open_at(page, console, "/drift?model=toy")
    look_for(page, "inc-1")
    page.wait_for_url(re.compile(r"/incident\?id=1$"))
    expect(page.locator("h1").first).to_contain_text("INC-1")
    look_for(page, "CHG-1")
    page.wait_for_url(re.compile(r"/change\?id=1$"))
    look_for(page, "toy AUC")
    page.wait_for_url(re.compile(r"/search\?q=toy"))
    # The field of the page before may still be there.
    expect(page.locator(FIELD).first).to_have_value("toy AUC")
    page.get_by_role("link", name="INC-1").click()
    page.wait_for_url(re.compile(r"/incident\?id=1$"))
    page.go_back()  # to the results, which send nobody on
    expect(page.locator("h1").first).to_contain_text("toy AUC")


def test_a_member_of_a_team_finds_nothing_of_another(
    browser: Browser, console: Console, world: World
) -> None:
    add_model(world, "rival")
    with writing() as session:
        session.add(
            Incident(model="rival", environment="production", title="rival falls", opened_at=clock.now())
        )
    page = page_of(browser, console, member_of_team(world))
    for text in ("rival", "INC-2", "rival v1", "falls"):
        open_at(page, console, "/search")
        look_for(page, text)
        expect(page.locator("h1").first).to_contain_text(f"Nothing that you may see has “{text}”")
    look_for(page, "INC-1")
    page.wait_for_url(re.compile(r"/incident\?id=1$"))


def member_of_team(world: World) -> Actor:
    """An ML lead of the team that has `toy`, with no role of the house."""
    with writing() as session:
        admin = person(session, "root", Role.ADMIN)
        ours, theirs = make_team(session, admin, name="ours"), make_team(session, admin, name="theirs")
        move_model(session, admin, model="toy", team_id=ours.id, why="theirs")
        move_model(session, admin, model="rival", team_id=theirs.id, why="theirs")
        row = person(session, "member")
        set_team_roles(session, admin, ours.id, row.person_id, {Role.ML_LEAD})
    with reading() as session:
        return actor_of(person_by_id(session, row.person_id), session_id=None)


def test_on_a_phone_the_field_fits_and_the_results_do_not_overflow(
    browser: Browser, console: Console, world: World
) -> None:
    page = page_of(browser, console, world.lead, width=375)
    open_at(page, console, "/search?q=toy")
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    box = page.locator(FIELD).bounding_box()
    assert box is not None
    assert 0 <= box["x"] <= box["x"] + box["width"] <= 375
