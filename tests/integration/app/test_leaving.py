"""A caller who closes the connection in the middle of a request is no failure of the console."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import Message
from streamlit.web.server.starlette.starlette_app_utils import generate_xsrf_token_string

from app import uploads
from app.answers import Timed, answered
from backend.api import mlflow_hook
from backend.api.app import create_api
from backend.api.security import COOKIE
from backend.database.session import writing
from backend.identity.tokens import create_token
from tests.watched import cookie_of
from tests.worlds import make_world

FILE = "/uploads/7b1f6f3e-2f0c-4d0e-9d6a-0c1f5a1f7a11/5a0c8b52-6d3b-4b5e-8f27-3e9a4f0f6c22"


@pytest.mark.parametrize(
    ("method", "path", "content_type"),
    [
        ("POST", "/api/v1/models/toy/labels", "application/json"),
        ("POST", "/api/v1/changes", "application/json"),
        ("POST", mlflow_hook.PATH, "application/json"),
        ("PUT", FILE, "multipart/form-data; boundary=b"),
    ],
)
def test_a_caller_who_leaves_is_no_failure(
    migrated_home: Path, tmp_path: Path, method: str, path: str, content_type: str
) -> None:
    world = make_world(tmp_path / "files")
    with writing() as session:
        token = create_token(session, world.engineer, name="a test")[1]
    console = Timed(
        Starlette(routes=[*uploads.routes(), *mlflow_hook.routes(), Mount("/api/v1", create_api())])
    )
    xsrf = generate_xsrf_token_string()
    headers = {
        "Authorization": f"Bearer {token}", "Content-Type": content_type, "Content-Length": "100000",
        "X-Xsrftoken": xsrf, "Cookie": f"_streamlit_xsrf={xsrf}; {COOKIE}={cookie_of(world.engineer)}",
    }  # fmt: skip
    failed = answered().failed
    told = asyncio.run(_leave_in_the_middle(console, method, path, headers))
    assert [one["status"] for one in told if one["type"] == "http.response.start"] == [499]
    assert answered().failed == failed


async def _leave_in_the_middle(
    console: Any, method: str, path: str, headers: dict[str, str]
) -> list[Message]:
    """What the console says to somebody who sends the beginning of a body and closes the connection."""
    begins = b"--b\r\n" if "boundary" in headers["Content-Type"] else b'{"labels": ['
    coming: Iterator[Message] = iter(
        [{"type": "http.request", "body": begins, "more_body": True}, {"type": "http.disconnect"}]
    )
    told: list[Message] = []

    async def receive() -> Message:
        return next(coming, {"type": "http.disconnect"})

    async def send(message: Message) -> None:
        told.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        await console(scope, receive, send)
    return told
