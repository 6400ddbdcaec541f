"""People to sign in, and a console that has nothing but the sign-in routes and one REST route."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse

from app.templates import render
from backend.api.security import current_actor
from backend.api.signin import sign_in_routes
from backend.database.session import writing
from backend.errors import WarrantError
from backend.identity.actor import Actor, system_actor
from backend.identity.passwords import hash_password
from backend.identity.people import create_person
from backend.identity.roles import Role
from backend.identity.tables import Person

with warnings.catch_warnings():
    # Starlette would rather have a package of another name; it works with the httpx we pin.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

PASSWORD = "correct horse battery"
SYSTEM = system_actor("tests")
_HASH: list[str] = []


def add_person(username: str, *roles: Role, display_name: str = "", is_demo: bool = False) -> Person:
    if not _HASH:
        _HASH.append(hash_password(PASSWORD))
    with writing() as session:
        return create_person(
            session,
            SYSTEM,
            username=username,
            display_name=display_name or f"{username.title()} Lindqvist",
            password_hash=_HASH[0],
            roles=roles,
            is_demo=is_demo,
        )


def make_console() -> FastAPI:
    console = FastAPI()
    console.include_router(sign_in_routes(render))

    @console.api_route("/api/v1/me", methods=["GET", "POST"])
    def me(request: Request, actor: Annotated[Actor, Depends(current_actor)]) -> dict[str, str | None]:
        return {
            "person": actor.person_id,
            "session": actor.session_id,
            "address": actor.address,
            "request": actor.request_id,
        }

    @console.exception_handler(WarrantError)
    def show(request: Request, error: WarrantError) -> JSONResponse:
        return JSONResponse({"title": error.title, "detail": error.message}, status_code=error.status)

    return console


@pytest.fixture
def browser(database: str) -> Iterator[TestClient]:
    with TestClient(make_console(), follow_redirects=False, client=("192.0.2.7", 4711)) as client:
        yield client


def csrf_in(page: str) -> str:
    found = re.search(r'name="csrf" value="([0-9a-f]{64})"', page)
    assert found, page
    return found[1]
