"""The pages in a real Chromium: what they ask the network for, how they fit a phone, what an ended session shows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Request, expect, sync_playwright

from backend import clock
from backend.database.engine import use_database
from backend.database.session import reading, writing
from backend.deployment.service import mark_serving, start_deployment
from backend.governance.asking import preview_change, request_change
from backend.governance.kinds import Asked
from backend.governance.reading import get_change
from backend.governance.tables import Change
from backend.identity.actor import Actor
from backend.identity.sessions import revoke_all
from backend.monitoring.monitors_service import list_monitors
from tests.console import Console, running_console
from tests.requirements import require
from tests.watched import cookie_of, watch
from tests.worlds import SYSTEM, World, make_world

SLOW = ("evidently", "nannyml", "shap", "mlflow", "torch", "sklearn")
ADDRESSES = (
    "/", "/model?model=toy", "/drift?model=toy", "/performance?model=toy", "/quality?model=toy", "/fairness?model=toy",
    "/approvals", "/audit", "/jobs",
    "/request_change?kind=rollback&model=toy", "/change?id=1", "/incident?id=1", "/audit_entry?seq=3", "/account",
)  # fmt: skip
pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = require("chromium")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        found = playwright.chromium.launch(executable_path=program, args=arguments)
        yield found
        found.close()


@pytest.fixture
def world(migrated_home: Path, tmp_path: Path) -> Iterator[World]:
    made = make_world(tmp_path / "files")
    watch(made)
    ask_rollback(made, "production")
    yield made
    use_database(None)


@pytest.fixture
def console(world: World, tmp_path: Path) -> Iterator[Console]:
    with running_console(tmp_path) as running:
        yield running


def ask_rollback(world: World, environment: str) -> int:
    asked = Asked("rollback", environment, "toy", 1)
    with writing() as session:
        preview = preview_change(session, world.on_call, asked)
        return request_change(
            session, world.on_call, asked, reason="AUC fell", seen_digest=preview.digest
        ).id  # fmt: skip


def page_of(browser: Browser, console: Console, who: Actor, *, width: int = 1280) -> Page:
    """A tab of somebody who has signed in."""
    context = browser.new_context(viewport={"width": width, "height": 844}, timezone_id="Europe/Berlin")
    context.add_cookies(
        [{"name": "warrant_session", "value": cookie_of(who), "url": console.url, "httpOnly": True}]
    )
    return context.new_page()


def open_at(page: Page, console: Console, address: str) -> None:
    page.goto(console.url + address)
    page.locator(".w-headline, .w-empty").first.wait_for(timeout=30_000)
    page.wait_for_function("!document.querySelector('[data-testid=stStatusWidget]')", timeout=30_000)


def decision_of(world: World, change: int) -> str:
    with reading() as session:
        return get_change(session, world.lead, change).state


def test_every_page_draws_at_both_widths_and_asks_nobody_else(
    browser: Browser, console: Console, world: World
) -> None:
    for width in (1280, 390):
        page = page_of(browser, console, world.lead, width=width)
        elsewhere: list[str] = []

        def note(request: Request, seen: list[str] = elsewhere) -> None:
            if not request.url.startswith((console.url, console.url.replace("http", "ws"), "data:", "blob:")):
                seen.append(request.url)

        page.on("request", note)
        for address in ADDRESSES:
            open_at(page, console, address)
            assert page.locator("[data-testid=stException]").count() == 0, address
            assert page.locator("[data-testid=stAlert]").filter(has_text="Not allowed").count() == 0, address
            wide = page.evaluate("document.documentElement.scrollWidth > innerWidth")
            assert not wide, f"{address} is wider than {width} pixels"
        assert elsewhere == []
        page.context.close()
    imported = console.modules()
    assert "streamlit" in imported
    assert [name for name in imported if name.split(".")[0] in SLOW] == []


def test_a_monitor_is_tried_out_and_stored(browser: Browser, console: Console, world: World) -> None:
    page = page_of(browser, console, world.lead)
    open_at(page, console, "/monitors?model=toy")
    expect(page.get_by_text("Nobody has written a monitor for this model")).to_be_visible()
    page.get_by_role("textbox", name="Name").fill("AUC falls")
    page.get_by_role("textbox", name="Name").press("Enter")
    expect(page.get_by_text("It would have fired 1 time")).to_be_visible()
    expect(page.locator("[data-testid=stPlotlyChart]").first).to_be_visible(timeout=15_000)
    page.get_by_role("textbox", name="Why").fill("so that we know")
    page.get_by_text("I have seen how often it would have fired").click()
    page.get_by_role("button", name="Store “AUC falls”").click()
    expect(page.get_by_text("It is looked at with the next computation")).to_be_visible(timeout=15_000)
    page.get_by_role("link", name="AUC falls").click()
    expect(page.get_by_text("Pause or delete")).to_be_visible(timeout=15_000)
    with reading() as session:
        (made,) = list_monitors(session, world.lead, "toy", "production")
        assert (made.name, made.why) == ("AUC falls", "so that we know")
    page.context.close()


def test_an_ended_session_stops_what_is_live_and_offers_the_way_back(
    browser: Browser, console: Console, world: World
) -> None:
    page = page_of(browser, console, world.lead)
    open_at(page, console, "/jobs")
    expect(page.get_by_text("the store is away")).to_be_visible()
    with writing() as session:
        revoke_all(session, world.lead, world.lead.person_id)
    expect(page.get_by_text("Your session has ended")).to_be_visible(timeout=15_000)
    expect(page.get_by_text("the store is away")).to_be_hidden()
    page.get_by_role("link", name="Sign in again").click()
    expect(page).to_have_url(re.compile(r"/signin\?next=%2Fjobs|/signin\?next=/jobs"))


def test_signing_out_ends_the_session(browser: Browser, console: Console, world: World) -> None:
    page = page_of(browser, console, world.lead)
    open_at(page, console, "/approvals")
    page.get_by_role("button", name=re.compile("Lead")).click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("Your session has ended")).to_be_visible(timeout=15_000)
    page.goto(f"{console.url}/approvals")
    expect(page).to_have_url(re.compile("/signin"))


def test_an_inbox_that_resorts_does_not_move_a_decision_to_another_change(
    browser: Browser, console: Console, world: World
) -> None:
    for version in (1, 2):
        with writing() as session:
            opened = start_deployment(
                session,
                SYSTEM,
                model="toy",
                environment="staging",
                version=version,
                change_id=None,
                reason="history",
            )
            mark_serving(session, SYSTEM, opened)
    other = ask_rollback(world, "staging")
    page = page_of(browser, console, world.lead)
    open_at(page, console, "/approvals")
    rows = page.locator(".w-cards tbody tr")
    expect(rows.first).to_contain_text("CHG-1")
    with writing() as session:
        session.get_one(Change, other).expires_at = clock.now() + timedelta(hours=1)
    page.get_by_role("link", name="CHG-1").click()
    page.locator(".w-headline").filter(has_text="CHG-1").wait_for(timeout=30_000)
    page.get_by_role("tab", name="Reject").click()
    page.get_by_label("Comment to reject").fill("not yet")
    with writing() as session:
        session.get_one(Change, other).expires_at = clock.now() + timedelta(minutes=50)
    page.get_by_role("button", name="Reject CHG-1").click()
    expect(page.get_by_text("You decided to reject CHG-1")).to_be_visible(timeout=15_000)
    assert decision_of(world, 1) == "rejected"
    assert decision_of(world, other) == "waiting"


def test_what_changed_since_one_looked_is_not_approved(
    browser: Browser, console: Console, world: World
) -> None:
    page = page_of(browser, console, world.lead)
    open_at(page, console, "/change?id=1")
    with writing() as session:
        session.get_one(Change, 1).digest = "sha256:" + "0" * 64
    page.get_by_role("button", name="Approve CHG-1").click()
    expect(page.get_by_text("Changed since you looked")).to_be_visible(timeout=15_000)
    assert decision_of(world, 1) == "waiting"
