"""Pictures by a real Chromium: what is drawn, once it stands still, as WebP files that are small enough."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import Browser, Page, sync_playwright
from playwright.sync_api import TimeoutError as TooSlow

from app.nav import PAGES
from backend.api.security import COOKIE
from tests.browser.conftest import FLAGS
from tests.gallery.shots import (
    DOCUMENT,
    FOLDER,
    LARGEST_BYTES,
    SCHEMES,
    SHOTS,
    TOUR,
    WIDTHS,
    Subject,
    document,
    picture,
    tour_picture,
)
from tests.gallery.story import Person, say
from tests.requirements import require

PATIENCE_MS = 60_000
SETTLED_MS = 800
QUALITIES = (72, 55, 40, 25, 10)
STANDS_STILL = """() => !document.querySelector('[data-testid=stStatusWidget]')
  && !document.querySelector('[data-testid=stSkeleton]')
  && [...document.querySelectorAll('[data-testid=stPlotlyChart]')].every(one => one.querySelector('.main-svg'))"""


@contextmanager
def chromium() -> Iterator[Browser]:
    program = require("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=[*FLAGS, "--hide-scrollbars"])
        yield browser
        browser.close()


class Studio:
    """One window for each person, scheme and width."""

    def __init__(self, browser: Browser, console: str) -> None:
        self._browser, self._console = browser, console
        self._people: dict[str, Person] = {}
        self._windows: dict[tuple[str, str, str], Page] = {}

    def window(self, who: str, scheme: str, width: str) -> Page:
        key = (who, scheme, width)
        if key not in self._windows:
            if who not in self._people:
                self._people[who] = Person(self._console, who)
            across, down = WIDTHS[width]
            context = self._browser.new_context(
                viewport={"width": across, "height": down}, color_scheme="dark" if scheme == "dark" else "light",
                timezone_id="UTC", reduced_motion="reduce",
            )  # fmt: skip
            context.add_cookies(
                [{"name": COOKIE, "value": self._people[who].token, "url": self._console, "httpOnly": True}]
            )
            self._windows[key] = context.new_page()
        return self._windows[key]

    def take(self, who: str, scheme: str, width: str, address: str, into: Path) -> int:
        """Open the address and keep what is drawn; gives the file's size."""
        page = self.window(who, scheme, width)
        page.goto(self._console + address, timeout=PATIENCE_MS)
        page.locator(".w-headline, .w-empty").first.wait_for(timeout=PATIENCE_MS)
        try:
            for _ in range(2):  # what a script has not begun to draw does not move yet
                page.wait_for_function(STANDS_STILL, timeout=PATIENCE_MS)
                page.wait_for_timeout(SETTLED_MS)
        except TooSlow:
            say(f"{address} moves on: taken as it is")
        return keep(page, into)


def keep(page: Page, into: Path) -> int:
    """The window as WebP, of the best quality that keeps within `LARGEST_BYTES`."""
    into.parent.mkdir(parents=True, exist_ok=True)
    session = page.context.new_cdp_session(page)
    try:
        for quality in QUALITIES:
            shot = session.send("Page.captureScreenshot", {"format": "webp", "quality": quality})
            data = base64.b64decode(shot["data"])
            if len(data) <= LARGEST_BYTES:
                break
    finally:
        session.detach()
    into.write_bytes(data)
    return len(data)


def address_of(page: str, query: dict[str, object] | None) -> str:
    row = next(row for row in PAGES if row.path == page)
    return ("/" if row.default else f"/{page}") + (f"?{urlencode(query)}" if query else "")


def take_all(
    console: str, found: Subject, *, only: tuple[str, ...] = (), told: Callable[[str], None] = say
) -> None:
    """Every picture of the gallery and of the tour, and the documents that list them."""
    with chromium() as browser:
        studio = Studio(browser, console)
        for row in PAGES:
            shot = SHOTS[row.path]
            if only and row.path not in only:
                continue
            query = shot.query(found)
            if query is None:
                told(f"{row.path}: the demo has none of these; the page is shown without")
            for scheme in SCHEMES:
                for width in WIDTHS:
                    size = studio.take(
                        shot.who, scheme, width, address_of(row.path, query), picture(row.path, scheme, width)
                    )
                    told(f"{row.path} {scheme} {width}: {size >> 10} KB")
        for stop in () if only else TOUR:
            studio.take(
                stop.who, "light", "wide", address_of(stop.page, stop.query(found)), tour_picture(stop)
            )
    known = {picture(row.path, scheme, width) for row in PAGES for scheme in SCHEMES for width in WIDTHS}
    for one in set(FOLDER.iterdir()) - known:
        one.unlink()
    DOCUMENT.write_text(document())
