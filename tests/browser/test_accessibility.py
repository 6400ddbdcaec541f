"""Every page in a real Chromium: axe finds nothing serious in either scheme or on a phone, nothing is cut or scrolled
sideways from a phone to a wide screen, and the keyboard comes everywhere and is seen where it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from backend.api.security import COOKIE
from tests.browser.accessible_scene import PAGE_ADDRESSES, PLAIN_ADDRESSES, Scene, open_scene
from tests.browser.conftest import home_of_a_module
from tests.browser.looking import ABOUT_COLOURS, OF_A_PHONE, grave, misfits, settle, show, stops, unreached
from tests.browser.people import PATIENCE_MS
from tests.watched import cookie_of

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]
PHONE, TABLET, DESK, WIDE = 375, 768, 1280, 2560
BAR, MENU, MAIN = ".st-key-top-bar", "[data-testid=stHeader]", "[data-testid=stMainBlockContainer]"


@pytest.fixture(scope="module")
def scene(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("accessible")
    with home_of_a_module(folder, migrated_sqlite), open_scene(folder) as opened:
        yield opened


@pytest.fixture(scope="module")
def page(scene: Scene, chromium: Browser) -> Iterator[Page]:
    """A window whose pages let axe in, which the console's own policy of content would not."""
    context = chromium.new_context(
        viewport={"width": DESK, "height": 900}, timezone_id="UTC", bypass_csp=True
    )
    context.set_default_timeout(PATIENCE_MS)
    token = cookie_of(scene.who)
    context.add_cookies([{"name": COOKIE, "value": token, "url": scene.console, "httpOnly": True}])
    yield context.new_page()
    context.close()


@pytest.fixture(scope="module", params=PAGE_ADDRESSES)
def shown(page: Page, scene: Scene, request: pytest.FixtureRequest) -> Page:
    """Each page in turn; the tests of one follow each other, and it is opened once."""
    page.set_viewport_size({"width": DESK, "height": 900})
    show(page, scene.console + PAGE_ADDRESSES[request.param])
    return page


def assert_nothing_grave(page: Page) -> None:
    assert grave(page) == []
    page.emulate_media(color_scheme="dark")
    try:
        assert grave(page, *ABOUT_COLOURS) == []
    finally:
        page.emulate_media(color_scheme="light")


def test_axe_finds_nothing_serious_in_either_scheme(shown: Page) -> None:
    shown.set_viewport_size({"width": DESK, "height": 900})
    assert shown.locator("[data-testid=stException]").count() == 0
    assert_nothing_grave(shown)


def test_nothing_is_cut_or_scrolled_sideways_and_axe_is_content_on_a_phone(shown: Page) -> None:
    found = {width: misfits(shown, width) for width in (WIDE, DESK, TABLET, PHONE)}
    assert not any(found.values()), found
    assert grave(shown, *OF_A_PHONE) == []


@pytest.mark.parametrize("name", PLAIN_ADDRESSES)
def test_pages_of_plain_html_are_as_good(page: Page, scene: Scene, name: str) -> None:
    page.set_viewport_size({"width": PHONE, "height": 800})
    show(page, scene.console + PLAIN_ADDRESSES[name])
    assert_nothing_grave(page)
    found = {width: misfits(page, width) for width in (PHONE, TABLET, DESK, WIDE)}
    assert not any(found.values()), found


def test_so_are_those_for_somebody_who_has_not_signed_in(scene: Scene, chromium: Browser) -> None:
    context = chromium.new_context(bypass_csp=True)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    for name, address in scene.strangers.items():
        show(page, scene.console + address)
        assert page.locator("form").count() == 1, name
        assert_nothing_grave(page)
        found = {width: misfits(page, width) for width in (PHONE, TABLET, DESK, WIDE)}
        assert not any(found.values()), (name, found)
    context.close()


@pytest.mark.parametrize("name", ["overview", "models", "monitors", "change", "audit", "silences"])
def test_tab_reaches_everything_and_is_seen_there(page: Page, scene: Scene, name: str) -> None:
    page.set_viewport_size({"width": DESK, "height": 900})
    show(page, scene.console + PAGE_ADDRESSES[name])
    found = stops(page)
    assert [one for one in found if not one.lit] == []
    assert [one.name for one in found if not one.inside] == []
    assert [unreached(page, part) for part in (MENU, BAR, MAIN)] == [[], [], []]


def test_the_rest_of_the_menu_opens_by_the_keyboard(page: Page, scene: Scene) -> None:
    page.set_viewport_size({"width": DESK, "height": 900})
    show(page, scene.console + PAGE_ADDRESSES["overview"])
    more = page.get_by_test_id("stTopNavSection")
    more.focus()
    page.keyboard.press("Enter")
    last = page.get_by_role("menuitem", name="Access", exact=True)
    expect(last).to_be_visible()
    for _ in range(40):
        page.keyboard.press("ArrowDown")
        if last.evaluate("one => one === document.activeElement"):
            break
    expect(last).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/access")


def test_on_a_phone_the_shut_menu_is_no_stop_and_the_open_one_is(page: Page, scene: Scene) -> None:
    page.set_viewport_size({"width": PHONE, "height": 800})
    show(page, scene.console + PAGE_ADDRESSES["account"])
    found = stops(page)
    assert [one.name for one in found if not one.inside or not one.lit] == []
    assert not {"Models", "Drift"} & {one.name for one in found}
    page.get_by_role("button", name="Expand sidebar").focus()
    page.keyboard.press("Enter")
    link = page.get_by_role("link", name="Drift", exact=True)
    expect(link).to_be_visible()
    link.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/drift")
    settle(page)
