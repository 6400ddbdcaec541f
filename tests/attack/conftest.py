"""One API on one home for each module: attackers share what they attack. Tests read, or change what is their own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from backend import queue
from backend.api.app import create_api
from backend.database.engine import use_database
from backend.database.session import writing
from backend.identity.roles import Role
from backend.identity.tokens import create_token
from backend.settings import settings
from tests.integration.api.conftest import ROLES, Callers, TestClient
from tests.worlds import make_world, person


def _forget_process_state() -> None:
    use_database(None)
    queue.client.cache_clear()
    settings.cache_clear()


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path) -> Iterator[Callers]:
    """The REST API with a model, its versions, changes and incidents, and a token of every role."""
    folder = tmp_path_factory.mktemp("attacked")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("WARRANT_HOME", str(folder / "home"))
        environment.setenv(
            "WARRANT_API_REQUESTS_PER_MIN", "0"
        )  # how often is the subject of tests of its own
        _forget_process_state()
        shutil.copy(migrated_sqlite, settings().resolved_home() / "warrant.db")
        world = make_world(folder / "files")
        with writing() as session:
            actors = {name: getattr(world, name) for name in ROLES[:-1]}
            actors["admin"] = person(session, "admin", Role.ADMIN)
            actors["auditor"] = person(session, "auditor", Role.AUDITOR)
            tokens = {name: create_token(session, one, name="attack")[1] for name, one in actors.items()}
        served = Starlette(routes=[Mount("/api/v1", create_api())])
        with TestClient(served, raise_server_exceptions=False) as client:
            yield Callers(client, world, tokens, actors)
        _forget_process_state()
    settings.cache_clear()
