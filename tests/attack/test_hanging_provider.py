"""A sign-on provider that takes connections and never answers, against the real server: nobody else waits for it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

import httpx
import pytest

from backend.api.security import COOKIE
from backend.database.engine import use_database
from backend.database.session import writing
from backend.database.upgrade import upgrade
from backend.identity.roles import Role
from backend.identity.sessions import open_session
from backend.identity.tables import Person
from backend.settings import settings
from tests.console import Console, running_console
from tests.integration.identity.conftest import add_person

MANY = 24


@dataclass
class Silent:
    """A server that only takes connections."""

    listening: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))
    taken: list[socket.socket] = field(default_factory=list)
    asked: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._take, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.listening.getsockname()[1]}"

    def _take(self) -> None:
        with suppress(OSError):
            while True:
                self.taken.append(self.listening.accept()[0])
                self.asked.set()

    def close(self) -> None:
        self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
        self._thread.join()
        for one in self.taken:
            one.close()


@pytest.fixture
def silent() -> Iterator[Silent]:
    made = Silent()
    yield made
    made.close()


@pytest.fixture
def console(silent: Silent, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    folder = tmp_path_factory.mktemp("hanging")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("WARRANT_HOME", str(folder / "home"))
        environment.setenv("WARRANT_OIDC_ISSUER", silent.address)
        environment.setenv("WARRANT_OIDC_CLIENT_ID", "warrant-console")
        settings.cache_clear()
        use_database(None)
        upgrade()
        with running_console(folder) as one:
            yield one
        use_database(None)
    settings.cache_clear()


def test_a_provider_that_hangs_holds_up_sign_ons_alone(console: Console, silent: Silent) -> None:
    with writing() as session:
        ada = session.merge(add_person("ada", Role.VIEWER))
        token = open_session(
            session, session.get_one(Person, ada.id), address="127.0.0.1", user_agent="test"
        ).token

    def start(_: int) -> int:
        return httpx.get(f"{console.url}/oidc/start", timeout=120).status_code

    with ThreadPoolExecutor(MANY) as strangers:
        starts = [strangers.submit(start, number) for number in range(MANY)]
        assert silent.asked.wait(30)
        for _ in range(10):
            assert httpx.get(f"{console.url}/healthz", timeout=60).status_code == 200
            assert httpx.get(f"{console.url}/", cookies={COOKIE: token}, timeout=60).status_code == 200
            assert httpx.get(f"{console.url}/signin", timeout=60).status_code == 200
        assert not any(one.done() for one in starts), "all of that was answered while they wait"
        assert {one.result() for one in starts} == {503}
    assert len(silent.taken) == 1, "one asks; the others learn from it"
