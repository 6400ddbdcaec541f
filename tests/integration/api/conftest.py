"""The REST API over HTTP, mounted as the console mounts it, and a caller for each role."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from backend.api.app import create_api
from backend.database.session import writing
from backend.identity.actor import Actor
from backend.identity.roles import Role, permissions_of
from backend.identity.tokens import create_token
from tests.worlds import World, make_world, person

with warnings.catch_warnings():
    # Starlette would rather have a package of another name; it works with the httpx we pin.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

ROLES = ("viewer", "on_call", "engineer", "lead", "compliance", "admin")


@dataclass(frozen=True)
class Callers:
    """Sends requests as somebody of the world, by the name of their role, or as nobody."""

    client: TestClient
    world: World
    tokens: dict[str, str]
    actors: dict[str, Actor]

    def send(self, who: str | None, method: str, path: str, **options: Any) -> httpx.Response:
        headers = dict(options.pop("headers", None) or {})
        if who is not None:
            headers["Authorization"] = f"Bearer {self.tokens[who]}"
        return self.client.request(method, f"/api/v1{path}", headers=headers, **options)

    def get(self, who: str | None, path: str, **query: Any) -> httpx.Response:
        return self.send(who, "GET", path, params=query or None)  # httpx: {} would drop the path's own query

    def post(self, who: str | None, path: str, document: Any = None, **options: Any) -> httpx.Response:
        return self.send(who, "POST", path, json={} if document is None else document, **options)


@pytest.fixture
def callers(database: str, tmp_path: Path) -> Iterator[Callers]:
    yield from open_callers(tmp_path)


@pytest.fixture
def sqlite_callers(migrated_home: Path, tmp_path: Path) -> Iterator[Callers]:
    """The same on SQLite alone, for what no database does differently."""
    yield from open_callers(tmp_path)


def open_callers(tmp_path: Path) -> Iterator[Callers]:
    world = make_world(tmp_path / "files")
    tokens: dict[str, str] = {}
    with writing() as session:
        actors = {name: getattr(world, name) for name in (*ROLES[:-1], "other_lead")}
        actors["admin"] = person(session, "admin", Role.ADMIN)
        for name, actor in actors.items():
            every = permissions_of(actor.roles)
            tokens[name] = create_token(session, actor, name="tests", scopes=every)[1]
    console = Starlette(routes=[Mount("/api/v1", create_api())])
    with TestClient(console, raise_server_exceptions=False) as client:
        yield Callers(client, world, tokens, actors)
