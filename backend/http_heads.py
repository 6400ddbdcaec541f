"""How long the head of a request may be: the server itself keeps reading one that does not end."""

from __future__ import annotations

from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LARGEST_HEAD_BYTES: Final = 64 * 1024


class BoundedHeads(HttpToolsProtocol):
    """Uvicorn's protocol, which answers 400 and closes where a head is still open after `LARGEST_HEAD_BYTES`."""

    _head_bytes = 0
    _in_head = False

    def on_message_begin(self) -> None:
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > LARGEST_HEAD_BYTES:
                self._in_head = False
                self.send_400_response("The headers of the request are too large.")
