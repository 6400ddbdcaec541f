"""The heat map of the drift page under a mouse, and the same way by keyboard."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest
from playwright.sync_api import Browser, Page, TimeoutError, expect

from backend.database.engine import use_database
from tests.console import Console, running_console
from tests.monitored import monitor
from tests.watched import cookie_of
from tests.worlds import World, make_world

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CELL = """({column, start}) => {
    const plot = document.querySelector('.st-key-heat .js-plotly-plot');
    const cells = plot.data.find(one => one.name === 'cells');
    const at = cells.customdata.findIndex((told, i) => told[1] === start && cells.y[i] === column);
    const box = plot.querySelector('.nsewdrag').getBoundingClientRect();
    const {xaxis, yaxis} = plot._fullLayout;
    return [box.x + xaxis.d2p(cells.x[at]), box.y + yaxis.d2p(cells.y[at])];
}"""
"""Where the middle of a cell is on the screen."""

FRAMED = """({column, start}) => {
    const plot = document.querySelector('.st-key-heat .js-plotly-plot');
    const cells = plot?.data?.find(one => one.name === 'cells'), frame = plot?.layout?.shapes?.[0];
    if (!cells || !frame) return false;
    const at = cells.customdata.findIndex((told, i) => told[1] === start && cells.y[i] === column);
    const {xaxis, yaxis} = plot._fullLayout, x = xaxis.d2p(cells.x[at]);
    return yaxis._categories[frame.y0 + 0.5] === column && xaxis.d2p(frame.x0) < x && x < xaxis.d2p(frame.x1);
}"""
"""Whether the chart has been drawn anew, with its frame around a cell."""


@pytest.fixture
def world(migrated_home: Path, tmp_path: Path) -> Iterator[World]:
    yield make_world(tmp_path / "files")
    use_database(None)


@pytest.fixture
def starts(world: World) -> list[datetime]:
    return monitor(days=16)


@pytest.fixture
def console(starts: list[datetime], tmp_path: Path) -> Iterator[Console]:
    with running_console(tmp_path) as running:
        yield running


def open_page(browser: Browser, console: Console, world: World, page: str, **query: str) -> Page:
    context = browser.new_context(viewport={"width": 1280, "height": 1400}, timezone_id="Europe/Berlin")
    context.add_cookies(
        [{"name": "warrant_session", "value": cookie_of(world.viewer), "url": console.url, "httpOnly": True}]
    )
    opened = context.new_page()
    opened.goto(f"{console.url}/{page}?{urlencode({'model': 'toy', **query})}")
    settle(opened)
    return opened


def settle(page: Page) -> None:
    page.locator(".st-key-heat .nsewdrag").first.wait_for(timeout=30_000)
    page.wait_for_function("!document.querySelector('[data-testid=stStatusWidget]')", timeout=30_000)


def click_cell(page: Page, column: str, start: datetime) -> None:
    x, y = page.evaluate(CELL, {"column": column, "start": start.isoformat()})
    page.mouse.move(x, y)
    page.mouse.click(x, y)


def address_of(column: str, start: datetime) -> re.Pattern[str]:
    return re.compile(
        f"(?=.*[?&]column={column}(&|$))(?=.*[?&]window={re.escape(quote(start.isoformat()))}(&|$))"
    )


def choose(page: Page, box: str, value: str) -> None:
    """By keyboard alone."""
    found = page.get_by_role("combobox", name=box)
    found.focus()
    found.press("ControlOrMeta+a")
    page.keyboard.type(value)
    page.keyboard.press("Enter")


def test_a_click_on_a_cell_opens_its_distribution_and_the_select_boxes_go_on_from_there(
    chromium: Browser, console: Console, world: World, starts: list[datetime]
) -> None:
    page = open_page(chromium, console, world, "drift")
    for column, start in (("temperature", starts[-4]), ("carrier", starts[2]), ("temperature", starts[-4])):
        click_cell(page, column, start)
        expect(page).to_have_url(address_of(column, start), timeout=15_000)
        expect(page.locator(".st-key-distribution .js-plotly-plot").first).to_be_visible()
        expect(page.get_by_role("combobox", name="Column")).to_have_value(column)
        page.wait_for_function(FRAMED, arg={"column": column, "start": start.isoformat()}, timeout=15_000)
        settle(page)
    for _ in range(
        3
    ):  # a run of the page that was still under way draws the box anew, and takes what was typed
        choose(page, "Column", "distance")
        try:
            page.wait_for_url(address_of("distance", starts[-4]), timeout=8_000)
            break
        except TimeoutError:
            settle(page)
    expect(page).to_have_url(address_of("distance", starts[-4]))
    page.reload()
    settle(page)
    expect(page.get_by_role("combobox", name="Column")).to_have_value("distance")
    page.context.close()


def test_a_click_on_a_cell_of_data_quality_opens_its_column_over_time(
    chromium: Browser, console: Console, world: World, starts: list[datetime]
) -> None:
    page = open_page(chromium, console, world, "quality")
    click_cell(page, "origin", starts[-3])
    expect(page).to_have_url(address_of("origin", starts[-3]), timeout=15_000)
    expect(page.locator(".w-headline")).to_contain_text("origin: missing")
    page.context.close()


def test_a_range_outlives_a_reload_and_goes_along_with_links_and_the_menu(
    chromium: Browser, console: Console, world: World, starts: list[datetime]
) -> None:
    page = open_page(chromium, console, world, "quality", range="1w")

    def shows(path: str, length: str) -> None:
        page.wait_for_url(re.compile(rf"/{path}\?.*range={length}"))
        settle(page)
        assert parse_qs(urlsplit(page.url).query)["range"] == [length]
        expect(page.locator(".st-key-range-preset")).to_contain_text(length[:-1])
        cells = page.evaluate(
            "document.querySelector('.st-key-heat .js-plotly-plot').data.find(one => one.name === 'cells')"
            ".customdata.map(told => told[1])"
        )
        assert {start.isoformat() for start in starts[-6:]} <= set(cells)
        assert starts[-9].isoformat() not in cells

    shows("quality", "1w")
    page.reload()
    shows("quality", "1w")
    page.locator('a[href*="/drift?"]').first.click()
    shows("drift", "1w")
    page.get_by_role("link", name="Data quality").first.click()
    shows("quality", "1w")
