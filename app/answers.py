"""How fast this console answers, and how often it fails: the requests of the last ten minutes, in memory."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.own_objectives import Answered

LASTS_S: Final = 600.0
MOST: Final = 20_000
UNCOUNTED: Final = ("/healthz", "/metrics", "/_stcore/health")

_lock = threading.Lock()
_answers: deque[tuple[float, float, bool]] = deque(maxlen=MOST)  # when, seconds, whether it failed


def note(seconds: float, *, failed: bool) -> None:
    with _lock:
        _answers.append((time.monotonic(), seconds, failed))


def answered() -> Answered:
    """The requests that began to be answered in the last ten minutes."""
    since = time.monotonic() - LASTS_S
    with _lock:
        lately = [one for one in _answers if one[0] >= since]
    return Answered([seconds for _, seconds, _ in lately], sum(failed for *_, failed in lately))


class Timed:
    """ASGI middleware: the time until an answer begins, of everything but probes and sockets."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in UNCOUNTED:
            await self._app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 0

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                note(time.perf_counter() - begun, failed=status >= 500)
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except Exception:
            if not status:
                note(time.perf_counter() - begun, failed=True)
            raise
