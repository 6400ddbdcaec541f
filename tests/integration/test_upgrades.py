"""Upgrades: from every released schema with its data, one process at a time, and never backwards."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, make_url, text

from backend.audit.verification import verify
from backend.database import upgrade as upgrades
from backend.database.engine import connect, use_database
from backend.database.engine import database as database_of
from backend.database.tables import Base
from backend.database.upgrade import SchemaTooNew, head_revision, present_revision, upgrade
from backend.settings import settings
from tests import releases
from tests.releases import Fixture


def set_revision(revision: str) -> None:
    with database_of().write_engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :to"), {"to": revision})


def test_a_database_of_a_later_release_is_left_as_it_is(database: str) -> None:
    set_revision("9999")
    with pytest.raises(SchemaTooNew, match="revision 9999, which this release does not know"):
        upgrade()
    assert present_revision(database_of()) == "9999"


def test_two_that_start_at_once_migrate_once(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second waits until the first is done, and finds nothing to do."""
    entered, go_on = threading.Event(), threading.Event()
    order: list[str] = []

    def slowly(_target: object) -> None:
        order.append("begun")
        entered.set()
        assert go_on.wait(30)
        order.append("done")

    monkeypatch.setattr(upgrades, "_upgrade_workflow_tables", slowly)
    both = [threading.Thread(target=upgrade) for _ in range(2)]
    both[0].start()
    assert entered.wait(30)
    both[1].start()
    both[1].join(0.5)
    assert order == ["begun"]
    go_on.set()
    for one in both:
        one.join(30)
    assert order == ["begun", "done", "begun", "done"]


@contextmanager
def loaded(kind: str, fixture: Fixture, folder: Path, request: pytest.FixtureRequest) -> Iterator[None]:
    """The process at a database that holds what the fixture holds."""
    monkeypatch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
    if kind == "sqlite":
        (settings().resolved_home() / "warrant.db").unlink(missing_ok=True)
        releases.load_sqlite(folder / "sqlite.db.gz", settings().resolved_home() / "warrant.db")
        yield
        return
    server = make_url(request.getfixturevalue("postgresql")).set(drivername="postgresql+psycopg")
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    name = f"t{uuid.uuid4().hex[:12]}"
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    url = server.set(database=name).render_as_string(hide_password=False)
    releases.load_postgresql(folder / "postgresql.sql", url)
    monkeypatch.setenv("WARRANT_DATABASE_URL", url)
    settings.cache_clear()
    use_database(None)
    try:
        yield
    finally:
        use_database(None)
        with admin.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        admin.dispose()


def is_ours(_object: object, name: str | None, kind: str, reflected: bool, _compare_to: object) -> bool:
    """Not the tables of the workflow engine and of the search index."""
    return not (kind == "table" and reflected and name not in Base.metadata.tables)


def assert_up_to_date() -> None:
    """The tables are those of the code: nothing is missing, left over or of another type."""
    assert present_revision(database_of()) == head_revision()
    with database_of().read_engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "include_object": is_ours}
        )
        assert compare_metadata(context, Base.metadata) == []


def test_a_schema_with_data_comes_back_from_its_fixture_and_goes_forward(
    database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """What `python -m tests.releases` writes for a release, from the present schema."""
    releases.fill(tmp_path / "files")
    rows = releases.counted()
    assert all(rows.values())
    folder = tmp_path / "fixture"
    made = releases.write_manifest(folder, "0.0.0", rows)
    assert releases.read_fixture(folder) == made
    if database == "sqlite":
        use_database(None)
        releases.dump_sqlite(settings().resolved_home() / "warrant.db", folder / "sqlite.db.gz")
    else:
        releases.dump_postgresql(database_of().url, folder / "postgresql.sql")
    with loaded(database, made, folder, request):
        upgrade()
        assert_up_to_date()
        assert releases.counted() == rows
        assert verify().ok


def test_every_released_schema_goes_forward_with_its_data(
    database: str, request: pytest.FixtureRequest
) -> None:
    for fixture in releases.fixtures():
        with loaded(database, fixture, fixture.folder, request):
            assert present_revision(database_of()) == fixture.revision
            assert releases.counted() == fixture.rows
            upgrade()
            assert_up_to_date()
            kept = releases.counted()
            assert {name: kept[name] for name in fixture.rows} == fixture.rows


def test_what_is_compared_would_show_a_missing_column(migrated_home: Path) -> None:
    upgrade()
    with database_of().write_engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE leases DROP COLUMN holder")
    with pytest.raises(AssertionError, match="holder"):
        assert_up_to_date()


def test_a_scratch_database_is_locked_by_itself(tmp_path: Path) -> None:
    one, other = (connect(f"sqlite:///{tmp_path / name}.db") for name in ("one", "other"))
    with upgrades._alone(one), upgrades._alone(other):
        assert sorted(path.name for path in tmp_path.glob("*.lock")) == [
            "one.db.upgrade.lock",
            "other.db.upgrade.lock",
        ]
    one.dispose()
    other.dispose()
