"""Stopping without failing anybody: first say so, then go on for a moment, then finish what is in flight.

On the first signal /ready answers 503 and answers ask clients to close their connection, while requests are served as
before: a balancer needs a moment to send them elsewhere. Then the socket is closed, what was accepted is answered, and
the spool is flushed. A second signal leaves the moment out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from types import FrameType

import uvicorn

log = logging.getLogger(__name__)


class DrainingServer(uvicorn.Server):
    """uvicorn, which closes its socket at once, with that moment before."""

    def __init__(self, config: uvicorn.Config, *, linger_s: float, on_drain: Callable[[], None]) -> None:
        super().__init__(config)
        self._linger_s, self._on_drain = linger_s, on_drain
        self._draining = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called by the signal, between two instructions of the event loop's thread."""
        if self._draining or self._linger_s <= 0 or not self.started:
            self._on_drain()
            super().handle_exit(sig, frame)
            return
        self._draining = True
        self._on_drain()
        log.info("stopping: not ready from now on, serving for another %g s", self._linger_s)
        loop = asyncio.get_running_loop()
        leave = super().handle_exit
        loop.call_soon_threadsafe(lambda: loop.call_later(self._linger_s, leave, sig, frame))
