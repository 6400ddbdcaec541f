"""A model card in a real Chromium: a hostile one does nothing there, and a person writes, reviews and reads one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Dialog, Page, Request, expect

from backend.cards.service import import_card, submit_card
from backend.database.engine import use_database
from backend.database.session import writing
from tests.browser.people import PATIENCE_MS
from tests.browser.test_pages import browser, page_of
from tests.console import Console, running_console
from tests.integration.cards.conftest import approve, realise
from tests.unit.documents.test_documents import HOSTILE
from tests.worlds import World, make_world

__all__ = ["browser"]
pytestmark = [pytest.mark.browser, pytest.mark.slow]
CARD = (Path(__file__).parents[2] / "models_cards" / "flight-delay.md").read_text()
BAD = (
    CARD + HOSTILE + "\n<svg onload=alert(1)><math><mtext><img src=x onerror=alert(2)>\n\n"
    '<div style="position:fixed;inset:0;background:red">over everything</div>\n\n'
    '<form action="/signout"><button>go</button></form>\n'
)  # fmt: skip
ADDRESS = "/card?model=toy&version=2"


@pytest.fixture
def world(migrated_home: Path, tmp_path: Path) -> Iterator[World]:
    made = make_world(tmp_path / "files")
    realise(0.55, days_ago=2)
    yield made
    use_database(None)


@pytest.fixture
def console(world: World, tmp_path: Path) -> Iterator[Console]:
    with running_console(tmp_path) as running:
        yield running


def watch_page(page: Page) -> tuple[list[str], list[str]]:
    """What a page asks of others, and the dialogs it opens."""
    asked: list[str] = []
    dialogs: list[str] = []

    def note(request: Request) -> None:
        asked.append(request.url)

    def say(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("request", note)
    page.on("dialog", say)
    return asked, dialogs


def test_a_hostile_card_is_text_on_the_page_in_its_preview_and_in_its_files(
    world: World, console: Console, browser: Browser
) -> None:
    approve(world, BAD)
    page = page_of(browser, console, world.lead)
    asked, dialogs = watch_page(page)
    page.goto(f"{console.url}{ADDRESS}")
    shown = page.locator(".w-doc").first
    expect(shown).to_contain_text("<script>alert(1)</script>", timeout=PATIENCE_MS)
    expect(shown).to_contain_text("(image: spy)")
    expect(shown).to_contain_text("over everything")
    page.get_by_role("tab", name="Preview").click()
    preview = page.locator(".w-doc").nth(1)
    expect(preview).to_contain_text("<script>alert(1)</script>", timeout=PATIENCE_MS)
    for element in ("script", "iframe", "img", "style", "svg", "form", "input", "object", "[style]"):
        assert page.locator(f".w-doc {element}").count() == 0, element
    found = page.evaluate(
        "() => [...document.querySelectorAll('.w-doc *')].flatMap("
        "e => [...e.attributes].map(a => a.name + '=' + a.value))"
    )
    assert [
        one for one in found if one.startswith("on") or "javascript" in one.lower() or "data:" in one
    ] == []
    links = page.locator(".w-doc a").evaluate_all("all => all.map(a => a.getAttribute('href'))")
    assert {one.split(":")[0] for one in links} == {"https", "mailto"}
    file = page.request.get(f"{console.url}/export/card/html?model=toy&version=2").text()
    page.set_content(file)
    expect(page.locator("main")).to_contain_text("<script>alert(1)</script>")
    page.wait_for_timeout(500)
    assert dialogs == []
    assert [one for one in asked if not one.startswith((console.url, "data:", "blob:"))] == []


def test_a_reviewer_reads_what_contradicts_the_card_and_approves_it(
    world: World, console: Console, browser: Browser
) -> None:
    with writing() as session:
        import_card(
            session, world.engineer, model="toy", version=2, text=CARD, source="file", source_name="toy.md"
        )
        submit_card(session, world.engineer, model="toy", version=2, number=1)
    page = page_of(browser, console, world.compliance)
    page.goto(f"{console.url}{ADDRESS}")
    expect(page.locator(".w-banner").first).to_contain_text("live it is 0.550", timeout=PATIENCE_MS)
    page.get_by_role("button", name="Approve version 1").click()
    expect(page.get_by_text("Approved: it is the card that holds.")).to_be_visible(timeout=PATIENCE_MS)
    expect(page.locator("h1")).to_contain_text("approved")


def test_a_card_fits_a_phone(world: World, console: Console, browser: Browser) -> None:
    approve(world, CARD)
    page = page_of(browser, console, world.viewer, width=390)
    page.goto(f"{console.url}{ADDRESS}")
    expect(page.locator(".w-doc").first).to_contain_text("Ordering a work list", timeout=PATIENCE_MS)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
