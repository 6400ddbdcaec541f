"""One browser window on the console, over the WebSocket that a browser uses: it clicks, waits, and keeps what is live.

A click sends what a browser sends for a link to another page, and is over when the page's script has finished. What a
page asks to have drawn again by itself (`st.fragment(run_every=…)`) is asked for as often as a browser does, until the
next click.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from backend.api.security import COOKIE

PATIENCE_S: Final = 30.0


class PageFailed(RuntimeError):
    """A page that was not drawn to its end, or drew an error of the program."""


class Window:
    """A window of somebody who is signed in. Use it as an asynchronous context."""

    def __init__(self, port: int, session_token: str) -> None:
        self._url = f"ws://127.0.0.1:{port}/_stcore/stream"
        self._cookie = f"{COOKIE}={session_token}"
        self._hashes: dict[str, str] = {}
        self._here = ""
        self._query = ""
        self._drawn: asyncio.Future[None] | None = None
        self._failure = ""
        self._clocks: dict[str, asyncio.Task[None]] = {}
        self.live_runs = 0

    async def __aenter__(self) -> Window:
        self._socket: ClientConnection = await connect(
            self._url, additional_headers={"Cookie": self._cookie}, subprotocols=["streamlit"],  # type: ignore[list-item]
            max_size=None,
        )  # fmt: skip
        self._listening = asyncio.create_task(self._listen())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop_clocks()
        self._listening.cancel()
        with suppress(asyncio.CancelledError, WebSocketException):
            await self._listening
        with suppress(WebSocketException, OSError):
            await self._socket.close()

    async def click(self, page: str, query: str) -> float:
        """Milliseconds until the page's script has finished. Raises `PageFailed`."""
        self._stop_clocks()
        self._here, self._query, self._failure = page, query, ""
        self._drawn = asyncio.get_running_loop().create_future()
        began = time.perf_counter()
        try:
            await self._ask()
            await asyncio.wait_for(self._drawn, PATIENCE_S)
        except TimeoutError:
            raise PageFailed(f"{page}?{query} was not drawn in {PATIENCE_S:g} s") from None
        except (WebSocketException, OSError) as lost:
            raise PageFailed(f"{page}?{query}: the connection was lost: {lost}") from lost
        if self._failure:
            raise PageFailed(f"{page}?{query}: {self._failure}")
        return (time.perf_counter() - began) * 1000

    async def _ask(self, fragment: str = "") -> None:
        from streamlit.proto.BackMsg_pb2 import BackMsg

        asked = BackMsg()
        run = asked.rerun_script
        run.query_string = self._query
        known = self._hashes.get(self._here)
        if known is None:  # the first page of a window is asked for by its address
            run.page_name = self._here
        else:
            run.page_script_hash = known
        if fragment:
            run.fragment_id, run.is_auto_rerun = fragment, True
        await self._socket.send(asked.SerializeToString())

    async def _listen(self) -> None:
        from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

        try:
            async for data in self._socket:
                message = ForwardMsg()
                message.ParseFromString(data)
                self._take(message)
        finally:
            if self._drawn is not None and not self._drawn.done():
                self._drawn.set_exception(ConnectionError("closed by the console"))

    def _take(self, message: Any) -> None:
        kind = message.WhichOneof("type")
        if kind == "navigation":
            self._hashes = {one.url_pathname: one.page_script_hash for one in message.navigation.app_pages}
        elif kind == "auto_rerun":
            self._start_clock(message.auto_rerun.fragment_id, message.auto_rerun.interval)
        elif kind == "page_not_found":
            self._failure = "page not found"
        elif kind == "delta" and message.delta.new_element.WhichOneof("type") == "exception":
            self._failure = message.delta.new_element.exception.message or "an exception"
        elif kind == "script_finished":
            self._finished(message.script_finished)

    def _finished(self, status: int) -> None:
        from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

        if status == ForwardMsg.FINISHED_WITH_COMPILE_ERROR:
            self._failure = "the script does not compile"
        over = status in (ForwardMsg.FINISHED_SUCCESSFULLY, ForwardMsg.FINISHED_WITH_COMPILE_ERROR)
        if over and self._drawn is not None and not self._drawn.done():
            self._drawn.set_result(None)

    def _start_clock(self, fragment: str, every_s: float) -> None:
        async def again() -> None:
            while True:
                await asyncio.sleep(every_s)
                self.live_runs += 1
                await self._ask(fragment)

        if fragment not in self._clocks:
            self._clocks[fragment] = asyncio.create_task(again())

    def _stop_clocks(self) -> None:
        for clock in self._clocks.values():
            clock.cancel()
        self._clocks.clear()
