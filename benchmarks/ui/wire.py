"""A port in front of another that counts the bytes which come back: of HTTP and of sockets, as they are on the wire."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

AT_ONCE = 1 << 16


class Wire:
    """Hands connections on to `port`, byte by byte. Use it as a context; `url` stands for the site behind it."""

    def __init__(self, port: int) -> None:
        self._behind = port
        self._received = 0
        self._counting = threading.Lock()
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._door.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    @property
    def received(self) -> int:
        """Bytes that browsers got since it was opened."""
        with self._counting:
            return self._received

    def __enter__(self) -> Self:
        threading.Thread(target=self._open, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()

    def _open(self) -> None:
        while True:
            try:
                browser, _ = self._door.accept()
            except OSError:
                return
            try:
                site = socket.create_connection(("127.0.0.1", self._behind))
            except OSError:
                browser.close()
                continue
            threading.Thread(target=self._connect, args=(browser, site), daemon=True).start()

    def _connect(self, browser: socket.socket, site: socket.socket) -> None:
        with browser, site:
            asked = threading.Thread(target=self._pass, args=(browser, site, False), daemon=True)
            asked.start()
            self._pass(site, browser, True)
            asked.join()

    def _pass(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        with suppress(OSError):
            while data := source.recv(AT_ONCE):
                if counted:
                    with self._counting:
                        self._received += len(data)
                target.sendall(data)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
