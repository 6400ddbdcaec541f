"""What is drawn again by the clock leaves alone what somebody is doing with it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from backend import clock
from backend.database.session import writing
from backend.queue import JobRun
from backend.retraining.steps import note_step
from benchmarks.ui.browser import window
from tests.browser.conftest import home_of_a_module
from tests.integration.retraining.conftest import ask, begin, describe
from tests.integration.retraining.test_pages import advance
from tests.processes import ConsoleProcess
from tests.watched import cookie_of, watch
from tests.worlds import World, make_world

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]

HELD = """() => ({
  scroll: document.querySelector("[data-testid=stMain]").scrollTop,
  sideways: document.querySelector("details[open]")?.closest(".w-scroll").scrollLeft,
  selected: getSelection().toString(),
  open: [...document.querySelectorAll("details")].map(one => one.open),
})"""


@pytest.fixture(scope="module")
def site(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, str]]:
    folder = tmp_path_factory.mktemp("steady")
    with home_of_a_module(folder, migrated_sqlite):
        world = make_world(folder / "files")
        describe(world)
        watch(world)
        with ConsoleProcess(folder / "console.log").start() as console:
            console.wait_ready()
            yield world, console.url


@pytest.fixture
def page(site: tuple[World, str], chromium: Browser) -> Iterator[Page]:
    world, url = site
    with window(chromium, url, cookie_of(world.on_call)) as context:
        found = context.new_page()
        found.set_viewport_size({"width": 700, "height": 420})
        yield found


def test_a_refresh_moves_no_scroll_no_selection_and_shuts_nothing(
    site: tuple[World, str], page: Page
) -> None:
    world, url = site
    run = begin(ask(world.engineer))
    advance(run.id)
    page.goto(f"{url}/retraining_run?id={run.id}")
    log = page.locator("details").filter(has_text="validate is told")
    log.locator("summary").click()
    page.evaluate(
        """() => {
          const row = document.querySelector("details[open]").closest("tr");
          const wide = row.closest(".w-scroll");
          wide.parentElement.style.width = "240px";
          wide.scrollLeft = 30;
          getSelection().selectAllChildren(row.querySelector("th"));
          document.querySelector("[data-testid=stMain]").scrollTop = 120;
        }"""
    )
    held: dict[str, Any] = page.evaluate(HELD)
    assert held["selected"] and held["scroll"] == 120 and held["sideways"] == 30 and True in held["open"]
    for share in (0.5, 0.6):
        with writing() as session:
            note_step(session, run.id, "train", progress=share, lines=[f"{share:.0%} of the trees"])
        expect(page.get_by_text(f"{share:.0%} of the trees").first).to_be_attached()
        assert page.evaluate(HELD) == held


def test_a_job_that_ends_opens_and_shuts_nothing(site: tuple[World, str], page: Page) -> None:
    _, url = site
    page.goto(f"{url}/jobs")
    workers, finished = (
        page.get_by_test_id("stExpander").filter(has_text=re.compile(f"^[a-z_]*{name}"))
        for name in ("Workers", "Finished")
    )
    expect(page.get_by_text("the store is away")).to_be_visible()
    workers.locator("summary").click()
    expect(workers.locator("details")).to_have_attribute("open", "")
    with writing() as session:
        failed = session.get_one(JobRun, "run_failed")
        failed.state, failed.error, failed.finished_at = "succeeded", "", clock.now()
    expect(page.get_by_text("the store is away")).to_have_count(0)
    expect(workers.locator("details")).to_have_attribute("open", "")
    expect(finished.locator("details")).not_to_have_attribute("open", "")


def test_another_page_takes_nothing_over_from_the_one_before(site: tuple[World, str], page: Page) -> None:
    """The element that Streamlit reuses for the next page begins anew there: nothing of its rows is kept."""
    _, url = site
    page.goto(f"{url}/jobs")
    expect(page.locator(".w-headline h1")).to_be_visible()
    page.evaluate("document.querySelector('.w-headline').ofThePageBefore = true")
    page.get_by_role("button", name=re.compile("Oncall|On-call|on call", re.I)).first.click()
    page.get_by_role("link", name=re.compile("Sessions and API tokens")).click()
    expect(page).to_have_url(re.compile("/account"))
    expect(page.locator(".w-headline h1")).to_be_visible()
    assert not page.evaluate("[...document.querySelectorAll('.w-headline')].some(one => one.ofThePageBefore)")
