"""`toy` with the points of an engine, and its pages."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from backend.database.engine import use_database
from backend.identity.actor import Actor
from tests.integration.app.monitoring.opened import DAYS, Open
from tests.monitored import monitor
from tests.watched import cookie_of
from tests.worlds import World, make_world

MAIN = Path(__file__).resolve().parents[4] / "app" / "main.py"


@pytest.fixture
def world(migrated_home: Path, tmp_path: Path) -> Iterator[World]:
    """On SQLite; what pages read is tested on both databases in `tests/integration/monitoring/test_page_readers`."""
    st.cache_data.clear()
    yield make_world(tmp_path / "files")
    use_database(None)


@pytest.fixture
def starts(world: World) -> list[datetime]:
    return monitor(days=DAYS)


@pytest.fixture
def open_page(world: World, monkeypatch: pytest.MonkeyPatch) -> Open:
    def opened(page: str, who: Actor = world.viewer, **query: str) -> AppTest:
        token = cookie_of(who)
        monkeypatch.setattr(type(st.context), "cookies", property(lambda _: {"warrant_session": token}))
        test = AppTest.from_file(str(MAIN), default_timeout=60).run()
        for name, value in {"model": "toy", **query}.items():
            test.query_params[name] = value
        test = test.switch_page(f"../pages/{page}.py").run()
        assert not test.exception
        assert not test.error
        return test

    return opened
