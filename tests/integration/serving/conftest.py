"""Three trained artefacts for the whole run, and a gateway that serves the first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.serving.parts import (
    GatewayProcess,
    deploy,
    register_model,
    register_version,
    train_artefact,
)


@pytest.fixture(scope="session")
def artefacts(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    folder = tmp_path_factory.mktemp("artefacts")
    return {version: train_artefact(folder / f"v{version}", seed=version) for version in (1, 2, 3)}


@pytest.fixture
def sqlite(migrated_home: Path) -> Iterator[None]:
    """A migrated SQLite database in `home`, for tests whose subject is not the database."""
    from backend.database.engine import use_database

    yield
    use_database(None)


def registered(artefacts: dict[int, Path]) -> None:
    register_model()
    for version, folder in artefacts.items():
        register_version(version, folder)
    deploy(1)


@pytest.fixture
def gateway(database: str, artefacts: dict[int, Path], tmp_path: Path) -> Iterator[GatewayProcess]:
    """Serves version 1, on each kind of database; versions 2 and 3 are registered."""
    registered(artefacts)
    with GatewayProcess(tmp_path / "gateway.log").start() as process:
        process.wait_ready()
        yield process


@pytest.fixture
def sqlite_gateway(sqlite: None, artefacts: dict[int, Path], tmp_path: Path) -> Iterator[GatewayProcess]:
    """The same on SQLite only."""
    registered(artefacts)
    with GatewayProcess(tmp_path / "gateway.log").start() as process:
        process.wait_ready()
        yield process


@pytest.fixture(scope="module")
def shared_gateway(
    artefacts: dict[int, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    """One gateway for the tests of a module that change nothing outside their own request."""
    from backend.database.engine import use_database
    from backend.database.upgrade import upgrade
    from backend.settings import settings

    folder = tmp_path_factory.mktemp("shared")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("WARRANT_HOME", str(folder / "home"))
        settings.cache_clear()
        use_database(None)
        upgrade()
        registered(artefacts)
        use_database(None)
        with GatewayProcess(folder / "gateway.log").start() as process:
            process.wait_ready()
            yield process
    settings.cache_clear()
