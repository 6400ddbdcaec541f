"""The ten steps of each role in a real Chromium: what they look for is there, within the clicks that are allowed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from backend.database.session import writing
from backend.governance.asking import preview_change, request_change
from backend.governance.kinds import Asked
from tests.browser.conftest import home_of_a_module
from tests.browser.people import PATIENCE_MS
from tests.browser.usability import ROLES, Step
from tests.console import Console, running_console
from tests.watched import cookie_of, watch
from tests.worlds import World, make_world

pytestmark = [pytest.mark.browser, pytest.mark.slow]

COUNTED = """addEventListener('pointerdown', event => event.isTrusted && window.warrantClicked(), true)"""


@dataclass
class Somebody:
    """A person at a window that counts what they press."""

    page: Page
    console: str
    pressed: int = 0

    def begin(self) -> None:
        self.page.goto(self.console)
        self._settle()
        self.pressed = 0

    def take(self, how: str, name: str) -> None:
        """Press what is named so; of the menu, first what opens the rest of it where that is needed."""
        pattern, page = re.compile(name), self.page
        if how == "menu":
            self._press(self._of_menu(name))
        elif how == "radio":
            found = page.get_by_role("radio", name=pattern).or_(page.get_by_role("button", name=pattern))
            self._press(found.first)
        else:
            self._press(page.get_by_role("button" if how == "button" else "link", name=pattern).first)
        self._settle()

    def sees(self, shown: str) -> None:
        if shown.startswith("/") or "=" in shown:
            expect(self.page).to_have_url(re.compile(re.escape(shown) + r"\b"))
            expect(self.page.get_by_role("heading", level=1).first).to_be_visible()
        else:
            expect(self.page.get_by_role("heading", name=re.compile(shown)).first).to_be_visible()

    def _of_menu(self, name: str) -> Locator:
        bar = self.page.get_by_role("navigation", name="App pages")
        called = re.compile(rf"^{name}\b")  # some say how much waits there
        entry = bar.get_by_role("link", name=called)
        if not entry.count():  # it is behind the last entry; what is hidden has no role
            self._press(bar.get_by_role("button", name=re.compile(r"^\d+ more$")))
            entry = self.page.get_by_role("menuitem", name=called)
        return entry.first

    def _press(self, what: Locator) -> None:
        what.scroll_into_view_if_needed()
        what.click()

    def _settle(self) -> None:
        self.page.locator(".w-headline, .w-empty").first.wait_for()
        self.page.wait_for_function("!document.querySelector('[data-testid=stStatusWidget]')")


@pytest.fixture(scope="module")
def watched(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("usability")
    with home_of_a_module(folder, migrated_sqlite):
        made = make_world(folder / "files")
        watch(made)
        asked = Asked("rollback", "production", "toy", 1)
        with writing() as session:
            seen = preview_change(session, made.on_call, asked).digest
            request_change(session, made.on_call, asked, reason="AUC fell", seen_digest=seen)
        yield made


@pytest.fixture(scope="module")
def console(watched: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    with running_console(tmp_path_factory.mktemp("console")) as running:
        yield running


@pytest.fixture(scope="module")
def people(watched: World, console: Console, chromium: Browser) -> Iterator[dict[str, Somebody]]:
    found = {}
    for role in ROLES:
        context = chromium.new_context(viewport={"width": 1280, "height": 1000}, timezone_id="UTC")
        context.set_default_timeout(PATIENCE_MS)
        token = cookie_of(getattr(watched, role))
        context.add_cookies(
            [{"name": "warrant_session", "value": token, "url": console.url, "httpOnly": True}]
        )
        somebody = Somebody(context.new_page(), console.url)

        def count(one: Somebody = somebody) -> None:
            one.pressed += 1

        context.expose_function("warrantClicked", count)
        context.add_init_script(COUNTED)
        found[role] = somebody
    yield found
    for one in found.values():
        one.page.context.close()


@pytest.mark.parametrize(
    ("role", "step"),
    [
        pytest.param(role, step, id=f"{role}-{number}")
        for role, (_, steps) in ROLES.items()
        for number, step in enumerate(steps, start=1)
    ],
)
def test_it_is_found_within_its_clicks(people: dict[str, Somebody], role: str, step: Step) -> None:
    somebody = people[role]
    somebody.begin()
    for how, name in step.ways:
        somebody.take(how, name)
    somebody.sees(step.shown)
    assert len(step.ways) <= somebody.pressed <= step.clicks, f"{somebody.pressed} clicks: {step.find}"
