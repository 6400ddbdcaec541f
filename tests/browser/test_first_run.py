"""From an empty installation to the first dashboard: a person at a browser with a CSV, and a worker that imports it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from sqlalchemy import select

from backend.database.session import reading, writing
from backend.identity.actor import Actor
from backend.identity.roles import Role
from backend.onboarding.given_files import given_folder
from backend.registry.tables import Model, Version
from tests.browser.conftest import home_of_a_module
from tests.browser.people import PATIENCE_MS, give_passwords, heading, visitor
from tests.integration.app.test_start_page import loans
from tests.processes import BackgroundWorker, ConsoleProcess
from tests.worlds import person

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]
COMPUTED_MS = 240_000


@pytest.fixture(scope="module")
def engineer(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Actor]:
    """Somebody who may register models, in an installation that has none."""
    with home_of_a_module(tmp_path_factory.mktemp("empty"), migrated_sqlite):
        with writing() as session:
            found = person(session, "engineer", Role.ML_ENGINEER)
        give_passwords()
        yield found


def test_a_csv_becomes_a_dashboard(engineer: Actor, chromium: Browser, tmp_path: Path) -> None:
    path = loans(tmp_path)
    queues = ("metrics", "watch", "long", "writer")
    with (
        ConsoleProcess(tmp_path / "console.log").start() as console,
        BackgroundWorker(tmp_path / "worker.log", "worker", queues).start(),
        visitor(chromium, console.wait_ready().url) as somebody,
    ):
        page = somebody.open("/")
        somebody.sign_in("engineer")
        expect(heading(page, re.compile("^Bring in a model"))).to_be_visible()
        page.locator("input[type=file]").set_input_files(path)
        expect(heading(page, re.compile(r"^loans\.csv: 900 predictions"))).to_be_visible(
            timeout=2 * PATIENCE_MS
        )
        columns = page.get_by_role("table", name="columns").get_by_role("row")
        expect(columns.filter(has_text="country")).to_contain_text("text with 3 distinct values")
        expect(columns.filter(has_text="score")).to_contain_text("sure")
        page.get_by_role("button", name="Bring in loans").click()
        expect(heading(page, re.compile("^loans is here"))).to_be_visible(timeout=COMPUTED_MS)
        page.get_by_role("link", name="First dashboard: performance").click()
        expect(page.get_by_test_id("stPlotlyChart").first).to_be_visible(timeout=2 * PATIENCE_MS)
        page.get_by_role("link", name="Overview").first.click()
        expect(page.get_by_role("link", name="loans", exact=True)).to_be_visible()
    with reading() as session:
        assert session.scalars(select(Model.name)).all() == ["loans"]
        (version,) = session.scalars(select(Version))
        assert version.trained_by == engineer.person_id
    assert not any(given_folder().iterdir()), "a file that was imported is not kept"
