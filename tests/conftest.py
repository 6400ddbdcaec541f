"""Fixtures every test may use: a home of its own, and a migrated database on SQLite and on PostgreSQL."""

from __future__ import annotations

import functools
import os
import shutil
import sys
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from backend.settings import settings
from tests import midnight
from tests.postgresql import postgresql_server
from tests.requirements import KEPT_SETTINGS

# What stands in for services outside answers on this machine.
REACHABLE = "127.0.0.0/8,::1/128"
os.environ["WARRANT_REACHABLE_NETWORKS"] = REACHABLE

# How long an example takes is the machine's business: nothing is asserted of it.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

# Where the databases differ in what the product does by itself: locks, triggers, generated columns, queues
ON_BOTH_AT_ONCE = ("audit", "jobs")
DATABASES = ("sqlite", "postgresql")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Each test with a database runs on both. The quick run takes SQLite for all of them and PostgreSQL for the
    folders above; the rest on PostgreSQL belongs to the slow run. With WARRANT_POSTGRESQL_ONE_IN=6 that takes a sixth
    of this rest, and a test that kills processes runs on one of the two databases; always the same ones."""
    one_in = int(os.environ.get("WARRANT_POSTGRESQL_ONE_IN", "1"))
    names = {item.nodeid for item in items}
    left_out = []
    for item in items:
        given = getattr(getattr(item, "callspec", None), "params", {})
        database = given.get("database") or given.get("shared_stage")
        if item.get_closest_marker("chaos") is not None:
            if one_in > 1 and database is not None and _is_tried_elsewhere(item.nodeid, database, names):
                left_out.append(item)
            continue
        is_quick = item.path.parent.name in ON_BOTH_AT_ONCE or item.path.parent.name == "integration"
        if database == "postgresql" and not is_quick:
            item.add_marker("slow")
            if zlib.crc32(item.nodeid.encode()) % one_in:
                left_out.append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        gone = set(left_out)
        items[:] = [item for item in items if item not in gone]


def _is_tried_elsewhere(nodeid: str, database: str, names: set[str]) -> bool:
    """Whether the same test is there on the other database, and its turn is there."""
    turn = DATABASES[zlib.crc32(nodeid.replace(database, "").encode()) % 2]
    return turn != database and nodeid.replace(database, turn) in names


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    midnight.begin()


@pytest.fixture(autouse=True)
def nothing_kept() -> None:
    """What pages read is kept for everybody with the same rights, and here each test has a database of its own."""
    app_data = sys.modules.get("app.data.scope")
    if app_data is not None:
        sys.modules["streamlit"].cache_data.clear()


@pytest.fixture(autouse=True)
def own_main(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page run by Streamlit becomes ``__main__``; a process spawned after it would begin with that page."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


@pytest.fixture(autouse=True)
def one_look_at_what_is_installed() -> None:
    """Each page that Streamlit's `AppTest` begins reads the metadata of every installed package for components: half a
    second. They do not change while tests run."""
    scanner = sys.modules.get("streamlit.components.v2.manifest_scanner")
    if scanner is not None and not hasattr(scanner.scan_component_manifests, "cache_info"):
        scanner.scan_component_manifests = functools.lru_cache(scanner.scan_component_manifests)  # type: ignore[attr-defined]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A WARRANT_HOME of this test's own; settings and database of the process point at it."""
    from backend import queue
    from backend.database.engine import use_database

    for name in [name for name in os.environ if name.startswith("WARRANT_") and name not in KEPT_SETTINGS]:
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
    with postgresql_server() as server:
        # Tests survive no power cut; without these, creating and ending hundreds of databases takes minutes.
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            _administer(server.get_uri(), f"ALTER SYSTEM SET {setting} = off")
        _administer(server.get_uri(), "SELECT pg_reload_conf()")
        yield server.get_uri()


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite file to copy: migrating one for each test would take most of the time."""
    from backend.database.engine import connect
    from backend.database.upgrade import upgrade

    path = tmp_path_factory.mktemp("migrated") / "warrant.db"
    source = connect(f"sqlite:///{path}")
    upgrade(source)
    with source.write_engine.connect() as connection:
        connection.rollback()
        connection.connection.dbapi_connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # type: ignore[union-attr]
    source.dispose()
    return path


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql: str) -> str:
    """The name of a migrated, empty PostgreSQL database to copy."""
    from backend.database.engine import connect
    from backend.database.upgrade import upgrade

    _administer(postgresql, "CREATE DATABASE migrated")
    source = connect(_url_of(postgresql, "migrated"))
    upgrade(source)
    source.dispose()
    return "migrated"


@pytest.fixture
def migrated_home(home: Path, migrated_sqlite: Path) -> Path:
    """A WARRANT_HOME with a migrated, empty SQLite database, for tests whose subject is not the database."""
    shutil.copy(migrated_sqlite, home / "warrant.db")
    return home


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A migrated, empty database; the test runs once on each kind. Gives the kind's name."""
    from backend.database.engine import use_database

    if request.param == "sqlite":
        request.getfixturevalue("migrated_home")
        yield request.param
        use_database(None)
        return
    uri, template = request.getfixturevalue("postgresql"), request.getfixturevalue("migrated_postgresql")
    name = f"t{uuid.uuid4().hex[:12]}"
    _administer(uri, f"CREATE DATABASE {name} TEMPLATE {template}")
    monkeypatch.setenv("WARRANT_DATABASE_URL", _url_of(uri, name))
    settings.cache_clear()
    yield request.param
    use_database(None)
    _administer(uri, f"DROP DATABASE {name} WITH (FORCE)")


def _url_of(uri: str, name: str) -> str:
    from sqlalchemy import make_url

    return make_url(uri).set(database=name).render_as_string(hide_password=False)


def _administer(uri: str, statement: str) -> None:
    from sqlalchemy import create_engine

    engine = create_engine(
        uri.replace("postgresql://", "postgresql+psycopg://", 1), isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()
