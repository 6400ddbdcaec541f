"""Who may open a websocket of the pages, and how many; and that whoever is refused takes nobody's turn to draw."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from sqlalchemy.exc import OperationalError
from streamlit.testing.v1 import AppTest

from app import gate, turns
from app.gate import REFUSED, TRY_AGAIN, Gate
from app.sockets import PER_ADDRESS, PER_SESSION, Sockets
from backend.database.session import writing
from backend.identity.sessions import revoke_all
from tests.watched import cookie_of
from tests.worlds import World, make_world

MAIN = Path(__file__).resolve().parents[3] / "app" / "main.py"


@pytest.fixture
def world(migrated_home: Path, tmp_path: Path) -> World:
    return make_world(tmp_path / "files")


class Page:
    """What is behind the gate: it takes a socket, and has it until it is told to let go."""

    def __init__(self) -> None:
        self.let_go = asyncio.Event()

    async def __call__(self, _scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        await self.let_go.wait()


class Doors:
    """A gate, and sockets that somebody tries to open through it."""

    def __init__(self) -> None:
        self.page = Page()
        self._gate = Gate(self.page)
        self._open: list[asyncio.Task[None]] = []

    async def knock(self, cookie: str | None, *, address: str = "192.0.2.7") -> str | int:
        """ "open", or the code of the refusal."""
        told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

        async def receive() -> dict[str, Any]:
            return {"type": "websocket.connect"}

        headers = [(b"cookie", f"warrant_session={cookie}".encode())] if cookie is not None else []
        scope = {
            "type": "websocket",
            "path": "/_stcore/stream",
            "headers": headers,
            "client": (address, 4711),
        }
        self._open.append(asyncio.create_task(self._gate(scope, receive, told.put)))
        answer = await asyncio.wait_for(told.get(), 30)
        return "open" if answer["type"] == "websocket.accept" else int(answer["code"])

    async def leave(self) -> None:
        self.page.let_go.set()
        await asyncio.gather(*self._open)


def through(act: Callable[[Doors], Awaitable[None]]) -> None:
    async def run() -> None:
        doors = Doors()
        try:
            await act(doors)
        finally:
            await doors.leave()

    asyncio.run(run())


def test_a_cookie_that_opened_no_session_opens_no_socket(world: World) -> None:
    async def act(doors: Doors) -> None:
        assert [await doors.knock(one) for one in (None, "", "x")] == [REFUSED] * 3
        assert await doors.knock(cookie_of(world.viewer)) == "open"

    through(act)


def test_a_session_that_has_ended_still_opens_one_to_say_so(world: World) -> None:
    token = cookie_of(world.viewer)
    with writing() as session:
        revoke_all(session, world.viewer, world.viewer.person_id)

    async def act(doors: Doors) -> None:
        assert await doors.knock(token) == "open"

    through(act)


def test_without_the_database_nobody_comes_in_and_who_is_in_stays(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = cookie_of(world.viewer)

    def away(_token: str) -> str:
        raise OperationalError("select", None, Exception("away"))

    async def act(doors: Doors) -> None:
        assert await doors.knock(token) == "open"
        with monkeypatch.context() as outage:
            outage.setattr(gate, "ever_opened", away)
            assert await doors.knock(token) == TRY_AGAIN
        assert not doors._open[0].done()
        assert await doors.knock(token) == "open"

    through(act)


def test_a_session_has_so_many_sockets_and_others_have_theirs(world: World) -> None:
    token, other = cookie_of(world.viewer), cookie_of(world.lead)

    async def act(doors: Doors) -> None:
        assert {await doors.knock(token) for _ in range(PER_SESSION)} == {"open"}
        assert await doors.knock(token, address="198.51.100.4") == REFUSED
        assert await doors.knock(other) == "open"
        await doors.leave()
        assert await doors.knock(token) == "open"

    through(act)


def test_an_address_has_so_many_sockets_whatever_its_cookies(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "PER_ADDRESS", 3)
    tokens = [cookie_of(world.viewer) for _ in range(4)]

    async def act(doors: Doors) -> None:
        from_line = [
            await doors.knock(token, address=f"2001:db8::{n}") for n, token in enumerate(tokens, start=1)
        ]
        assert from_line == ["open"] * 3 + [REFUSED]
        assert await doors.knock(tokens[3], address="2001:db8:0:1::1") == "open"

    through(act)


def test_what_is_counted_is_forgotten_when_it_is_over() -> None:
    sockets = Sockets()
    with sockets.one_more("a", 1) as first, sockets.one_more("a", 1) as second:
        assert (first, second) == (True, False)
    assert not sockets._open
    assert PER_SESSION < PER_ADDRESS


def test_who_is_refused_takes_no_turn_to_draw(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []

    @contextmanager
    def counted() -> Iterator[None]:
        taken.append("a turn")
        yield

    monkeypatch.setattr(turns, "taking_turns", counted)
    token = cookie_of(world.viewer)
    monkeypatch.setattr(type(st.context), "cookies", property(lambda _: {"warrant_session": token}))
    AppTest.from_file(str(MAIN), default_timeout=60).run()
    assert taken == ["a turn"]
    with writing() as session:
        revoke_all(session, world.viewer, world.viewer.person_id)
    refused = AppTest.from_file(str(MAIN), default_timeout=60).run()
    assert taken == ["a turn"]
    assert any("Your session has ended" in one.proto.body for one in refused.main if one.type == "html")
