"""Clients that never finish their request, against the real server: others are answered meanwhile."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from backend.database.engine import use_database
from backend.database.upgrade import upgrade
from backend.settings import settings
from tests.console import Console, running_console

MANY = 60


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    folder = tmp_path_factory.mktemp("slow")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("WARRANT_HOME", str(folder / "home"))
        settings.cache_clear()
        use_database(None)
        upgrade()
        with running_console(folder) as one:
            yield one
        use_database(None)
    settings.cache_clear()


@pytest.mark.parametrize(
    "beginning",
    [
        b"GET /api/v1/me HTTP/1.1\r\nHost: x\r\nX-A: ",
        b"POST /api/v1/changes HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n{",
        b"POST /signin HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
    ],
    ids=["headers", "body of the API", "form in pieces"],
)
def test_clients_that_dribble_hold_nobody_up(console: Console, beginning: bytes) -> None:
    port = int(console.url.rpartition(":")[2])
    with ExitStack() as held:
        slow = [held.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(MANY)]
        for one in slow:
            one.sendall(beginning)
        for one in slow:
            one.sendall(b"a" if b"chunked" not in beginning else b"1\r\na\r\n")
        begun = time.monotonic()
        assert httpx.get(f"{console.url}/healthz", timeout=20).status_code == 200
        assert httpx.get(f"{console.url}/api/v1/me", timeout=20).status_code == 401
        assert time.monotonic() - begun < 15


def test_headers_without_end_are_cut_off(console: Console) -> None:
    port = int(console.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as one:
        one.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
        said = b""
        try:
            for _ in range(64):
                one.sendall(b"X-A: " + b"a" * 16_000 + b"\r\n")
            one.sendall(b"\r\n")
            said = one.recv(200)
        except OSError:
            pass  # the connection was closed while we wrote
        assert b" 200 " not in said.split(b"\r\n")[0]
