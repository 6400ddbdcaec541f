"""A real Chromium, and people who sit before it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from backend import queue
from backend.database.engine import use_database
from backend.settings import settings
from tests.browser.house import House, open_house
from tests.browser.installation import Installation, open_installation
from tests.browser.people import PATIENCE_MS, Visitor, visitor
from tests.requirements import KEPT_SETTINGS, require

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip

Visit = Callable[[str], Visitor]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One for each module: Playwright keeps an event loop while it runs, which other tests must not meet."""
    program = require("chromium")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Visit]:
    """Give the address of a console; get a person with a browser window of their own."""
    with ExitStack() as windows:
        yield lambda console: windows.enter_context(visitor(chromium, console))


@contextmanager
def home_of_a_module(folder: Path, migrated: Path) -> Iterator[Path]:
    """A WARRANT_HOME with a migrated SQLite database, for the tests of one module and what they start."""
    with pytest.MonkeyPatch.context() as environment:
        for name in [one for one in os.environ if one.startswith("WARRANT_") and one not in KEPT_SETTINGS]:
            environment.delenv(name)
        environment.setenv("WARRANT_HOME", str(folder / "home"))
        _forget_process_state()
        home = settings().resolved_home()
        shutil.copy(migrated, home / "warrant.db")
        yield home
        _forget_process_state()
    settings.cache_clear()


def _forget_process_state() -> None:
    use_database(None)
    queue.client.cache_clear()
    settings.cache_clear()


@pytest.fixture(scope="module")
def shared_house(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One console for the tests of a module."""
    folder = tmp_path_factory.mktemp("house")
    with home_of_a_module(folder, migrated_sqlite), open_house(folder) as house:
        yield house


@pytest.fixture
def house(shared_house: House) -> Iterator[House]:
    yield shared_house
    shared_house.tidy()


@pytest.fixture(scope="module")
def running(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One console, gateway and worker for the tests of a module; each test adds a model of its own."""
    folder = tmp_path_factory.mktemp("installation")
    with home_of_a_module(folder, migrated_sqlite), open_installation(folder) as found:
        yield found
