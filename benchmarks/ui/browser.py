"""A real Chromium before a page: when its content was there, what came over the line, and how soon a filter answers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from playwright.sync_api import Browser, BrowserContext, CDPSession, Page, Playwright, sync_playwright

from backend.api.security import COOKIE
from benchmarks.ui.pages import CHART, Look
from benchmarks.ui.wire import Wire

PROGRAMS: Final = ("chromium", "chromium-browser", "google-chrome")
FLAGS: Final = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
PATIENCE_MS: Final = 60_000
QUIET_S: Final = 1.5
MBIT: Final = 10
LATENCY_MS: Final = 60

# Asks at every frame, and keeps when all of the content was to be seen first, in milliseconds since the page was asked
# for. `watch` is called again for what is drawn without another page being loaded.
_WATCH: Final = """
(wanted => {
  const shown = one => { const box = one?.getBoundingClientRect(); return !!box && box.height > 0 && box.width > 0; };
  window.watchFor = (wanted, since) => {
    window.contentAt = null;
    const look = () => {
      if (wanted.every(one => shown(document.querySelector(one)))) window.contentAt = performance.now() - since;
      else requestAnimationFrame(look);
    };
    look();
  };
  window.watchFor(wanted, 0);
})(%s)
"""


@contextmanager
def chromium(program: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = _launch(playwright, program)
        yield opened
        opened.close()


def _launch(playwright: Playwright, program: str) -> Browser:
    return playwright.chromium.launch(executable_path=program, args=list(FLAGS))


@contextmanager
def window(browser: Browser, url: str, token: str | None = None) -> Iterator[BrowserContext]:
    """A browser without a cache or a past; with `token`, of somebody who has signed in at `url`."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, timezone_id="UTC")
    context.set_default_timeout(PATIENCE_MS)
    if token is not None:
        context.add_cookies([{"name": COOKIE, "value": token, "url": url, "httpOnly": True}])
    try:
        yield context
    finally:
        context.close()


def opened_ms(context: BrowserContext, url: str, look: Look, **facts: object) -> float:
    """Milliseconds from asking for the address until all of the page's content is to be seen."""
    page = context.new_page()
    try:
        return show(page, url, look, **facts)
    finally:
        page.close()


def show(page: Page, url: str, look: Look, **facts: object) -> float:
    page.add_init_script(_WATCH % list(look.content))
    page.goto(url + look.address(**facts), wait_until="commit")
    return _content_at(page)


def _content_at(page: Page) -> float:
    page.wait_for_function("window.contentAt !== null && window.contentAt !== undefined")
    return float(page.evaluate("window.contentAt"))


@dataclass
class Weighed:
    """What a page took: bytes on the line, and whether plotly was among them."""

    received: int
    plotly: bool
    asked: list[str] = field(default_factory=list)


def weigh(context: BrowserContext, wire: Wire, look: Look, **facts: object) -> Weighed:
    """Open a page to its end, until nothing more comes for a while."""
    before, page = wire.received, context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    try:
        show(page, wire.url, look, **facts)
        settle(wire)
        drawn = page.locator(CHART).count() > 0
    finally:
        page.close()
    plotly = drawn or any("PlotlyChart" in url for url in asked)
    return Weighed(wire.received - before, plotly, asked)


def settle(wire: Wire) -> None:
    """Wait until a second and a half passed without a large answer: a page that is drawn again by the clock never
    falls silent."""
    while True:
        before = wire.received
        time.sleep(QUIET_S)
        if wire.received - before < 20_000:
            return


def slow_line(page: Page) -> CDPSession:
    """10 Mbit/s both ways and 60 ms, for requests and sockets of this page."""
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    rate = MBIT * 1_000_000 / 8
    told: dict[str, Any] = {
        "offline": False, "latency": LATENCY_MS, "downloadThroughput": rate, "uploadThroughput": rate,
    }  # fmt: skip
    session.send("Network.emulateNetworkConditions", told)
    return session


def slow_ms(browser: Browser, url: str, token: str, look: Look, **facts: object) -> tuple[float, bool]:
    """A first visit over a slow line: milliseconds to the content, and whether plotly was asked for by then."""
    with window(browser, url, token) as context:
        page = context.new_page()
        slow_line(page)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        took = show(page, url, look, **facts)
        return took, any("PlotlyChart" in one for one in asked)


def filter_times(page: Page, rounds: int) -> list[float]:
    """Milliseconds from choosing another column on Drift until its chart is drawn, one column after the other."""
    times = []
    for place in range(rounds + 1):
        box = page.get_by_role("combobox", name="Column")
        box.click()
        options = page.get_by_role("option")
        wanted = options.nth(1 + place % 5)
        wanted.wait_for()
        drawn = f'[aria-label="distribution of {wanted.inner_text().strip()}"] .main-svg'
        page.evaluate(_ON_CLICK, drawn)
        wanted.click()
        took = _content_at(page)
        page.wait_for_function("!document.querySelector('[data-testid=stStatusWidget]')")
        if place:
            times.append(took)
    return times


_ON_CLICK: Final = """wanted => {
  window.contentAt = null;
  const since = () => window.watchFor([wanted], performance.now());
  document.addEventListener("mousedown", since, {once: true, capture: true});
}"""
