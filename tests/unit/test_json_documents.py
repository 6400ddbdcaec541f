"""Documents of those who sign people and jobs on are whole within a deadline, short, and where they are said to be."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from backend import outgoing
from backend.identity import json_documents
from backend.identity.json_documents import LONGEST, NoDocument, fetch_json


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/whole")
            self.end_headers()
            return
        self.send_response(200)
        self.end_headers()
        if self.path == "/drops":
            self._drip()
        self.wfile.write(
            {"/whole": b'{"a": 1}', "/list": b"[1]", "/long": b" " * (LONGEST + 1)}.get(self.path, b"<html>")
        )

    def _drip(self) -> None:
        try:
            for _ in range(100):
                self.wfile.write(b" ")
                time.sleep(0.05)
        except OSError:
            return

    def log_message(self, format: str, *args: Any) -> None:
        return


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def heads_in_drops() -> Iterator[str]:
    """Says a header for ever, and never all of it."""
    listening = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        try:
            with listening.accept()[0] as taken:
                taken.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
                for _ in range(100):
                    taken.sendall(b"a")
                    time.sleep(0.05)
        except OSError:
            return

    threading.Thread(target=drip, daemon=True).start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    listening.close()


@pytest.mark.parametrize(
    ("path", "said"),
    [("/moved", "answered with 302"), ("/list", "is not a JSON object"), ("/long", "is longer than 1 MiB"),
     ("/page", "did not answer as it should")],
)  # fmt: skip
def test_what_is_no_document_is_said(address: str, path: str, said: str) -> None:
    assert fetch_json(f"{address}/whole", is_ours=True) == {"a": 1}
    with pytest.raises(NoDocument, match=said):
        fetch_json(address + path, is_ours=True)


def test_an_answer_in_drops_ends_at_the_deadline(
    address: str, heads_in_drops: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_documents, "DEADLINE_S", 0.3)
    for url in (f"{address}/drops", heads_in_drops):
        began = time.monotonic()
        with pytest.raises(NoDocument, match="did not answer as it should"):
            fetch_json(url, is_ours=True)
        assert time.monotonic() - began < 3


def test_only_addresses_of_the_settings_lie_in_any_network(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outgoing, "is_reachable", lambda _address: False)
    with pytest.raises(outgoing.NotReachable):
        fetch_json(f"{address}/whole", is_ours=False)
