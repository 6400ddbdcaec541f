"""One deadline for all of a request: connecting, the handshake of TLS, sending, the head of the answer and its body.

A time-out of a socket starts again with every byte that comes, so an answer in drops, or the head of one, would hold a
thread as long as the other side likes. So the connection itself is ended when the deadline is over, whatever came until
then.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any


class Deadline:
    """What becomes of the connections of one request.

    is_over  its time was over before it ended: what came of the answer may not be all of it
    is_sent  the other side may have begun to read the request
    """

    def __init__(self) -> None:
        self.is_sent = False
        self._opened: list[socket.socket] = []
        self._over = threading.Event()

    @property
    def is_over(self) -> bool:
        return self._over.is_set()

    def trace(self, event: str, info: dict[str, Any]) -> None:
        """The `trace` extension of httpx: told of each step of a connection."""
        if event.endswith("connect_tcp.complete"):
            self._opened.append(info["return_value"].get_extra_info("socket").dup())
            if self.is_over:
                self.end()
        elif event.endswith("send_request_headers.started"):
            self.is_sent = True

    def end(self) -> None:
        self._over.set()
        for one in self._opened:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for one in self._opened:
            one.close()


@contextmanager
def deadline(seconds: float) -> Iterator[Deadline]:
    """Ends what its `trace` was told of, once so many seconds are over."""
    kept = Deadline()
    timer = threading.Timer(seconds, kept.end)
    timer.daemon = True
    timer.start()
    try:
        yield kept
    finally:
        timer.cancel()
        kept.close()
