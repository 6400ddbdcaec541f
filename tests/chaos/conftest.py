"""A stage on each kind of database."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from tests.chaos.stage import Stage, stage
from tests.conftest import _administer, _url_of


@pytest.fixture(scope="package", params=["sqlite", "postgresql"])
def shared_stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One stage for many cases; each leaves it serving a good version, with no worker alive."""
    folder = tmp_path_factory.mktemp(f"stage-{request.param}")
    if request.param == "sqlite":
        with stage("sqlite", None, request.getfixturevalue("migrated_sqlite"), folder) as made:
            yield made
        return
    uri, template = request.getfixturevalue("postgresql"), request.getfixturevalue("migrated_postgresql")
    name = f"c{uuid.uuid4().hex[:12]}"
    _administer(uri, f"CREATE DATABASE {name} TEMPLATE {template}")
    with stage("postgresql", _url_of(uri, name), None, folder) as made:
        yield made
    _administer(uri, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def on_stage(shared_stage: Stage) -> Iterator[Stage]:
    """The shared stage; no worker of this test outlives it."""
    yield shared_stage
    shared_stage.end_workers()
