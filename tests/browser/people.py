"""People at a browser: signing in, and the same person's requests without the pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect
from sqlalchemy import update

from backend.api.security import COOKIE, CSRF_HEADER
from backend.database.session import writing
from backend.identity.passwords import hash_password
from backend.identity.sessions import csrf_of
from backend.identity.tables import Person

PASSWORD = "seven calm otters swim"
# Two cores that also train, compute and draw: what takes 200 ms alone may take seconds.
PATIENCE_MS = 30_000


def give_passwords() -> None:
    """Everybody of the world signs in with `PASSWORD`."""
    with writing() as session:
        session.execute(update(Person).values(password_hash=hash_password(PASSWORD)))


@dataclass
class Visitor:
    """One person at one browser window."""

    page: Page
    console: str

    @property
    def context(self) -> BrowserContext:
        return self.page.context

    def open(self, path: str) -> Page:
        self.page.goto(f"{self.console}{path}")
        return self.page

    def sign_in(self, username: str) -> Page:
        """Fill the form of the sign-in page that is shown, and wait until a page of the console is drawn."""
        self.fill_sign_in(username)
        expect(self.page.get_by_role("button", name="Sign out").or_(self.badge(username))).to_be_visible()
        return self.page

    def fill_sign_in(self, username: str) -> None:
        expect(self.page.get_by_role("heading", name="Sign in")).to_be_visible()
        self.page.get_by_label("User name").fill(username)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Sign in").click()

    def badge(self, username: str) -> Any:
        """The top bar's words about who is signed in."""
        return self.page.get_by_role("button", name=f"{username.title()} (")

    def drawn(self) -> None:
        """Wait until Streamlit has finished its run: what is shown afterwards is of one piece."""
        expect(self.page.get_by_test_id("stStatusWidget")).to_have_count(0)

    def api(self) -> httpx.Client:
        """The REST API as this person: the browser's cookie, and the CSRF token that belongs to it."""
        (token,) = [one["value"] for one in self.context.cookies() if one.get("name") == COOKIE]
        return httpx.Client(
            base_url=f"{self.console}/api/v1",
            cookies={COOKIE: token},
            headers={CSRF_HEADER: csrf_of(token)},
            timeout=15.0,
        )


@contextmanager
def visitor(browser: Browser, console: str) -> Iterator[Visitor]:
    """A browser window of its own, with cookies of its own."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000}, timezone_id="UTC")
    context.set_default_timeout(PATIENCE_MS)
    try:
        yield Visitor(context.new_page(), console)
    finally:
        context.close()


def heading(page: Page, text: str | re.Pattern[str]) -> Locator:
    return page.get_by_role("heading", name=text, level=1)


def number_of(page: Page) -> int:
    """Of the change whose page is shown."""
    expect(heading(page, re.compile(r"^CHG-\d+: "))).to_be_visible()
    found = re.match(r"CHG-(\d+)", heading(page, re.compile("^CHG-")).inner_text())
    assert found is not None
    return int(found[1])
