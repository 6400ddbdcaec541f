"""A signature holds time, method, path, query, key and body: another of any of them is not genuine."""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from backend.signed_http import SignedSender, signature

SECRET = "between the two of us"
GENUINE = ("1784000000", "POST", "/hook?tenant=1", "change-7-2", b"{}")


@pytest.fixture
def seen() -> Iterator[tuple[str, list[tuple[str, str, bool]]]]:
    """Its address, and what was asked: method, target, and whether it is genuine by the documented way."""
    asked: list[tuple[str, str, bool]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            at, key = self.headers["Warrant-Timestamp"], self.headers["Idempotency-Key"]
            signed = f"{at}\n{self.command}\n{self.path}\n{key}\n".encode() + body
            expected = "sha256=" + hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
            asked.append((self.command, self.path, expected == self.headers["Warrant-Signature"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST  # noqa: N815 - the name that the server asks for

        def log_message(self, *_: object) -> None:
            """A test is quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", asked
    server.shutdown()
    server.server_close()


def test_what_is_sent_is_genuine_and_a_query_stays_one(seen: tuple[str, list[tuple[str, str, bool]]]) -> None:
    address, asked = seen
    for url in (f"{address}/hook", f"{address}/hook/?tenant=a b&of=ü", address):
        sender = SignedSender(url, SECRET)
        sender.post({"serve": 2}, "change-7-2")
        sender.get("change-7-2")
    assert asked == [
        ("POST", "/hook", True),
        ("GET", "/hook/change-7-2", True),
        ("POST", "/hook/?tenant=a%20b&of=%C3%BC", True),
        ("GET", "/hook/change-7-2?tenant=a%20b&of=%C3%BC", True),
        ("POST", "/", True),
        ("GET", "/change-7-2", True),
    ]


@pytest.mark.parametrize(
    ("place", "other"),
    [(0, "1784000001"), (1, "GET"), (2, "/hook?tenant=2"), (2, "/hook"), (3, "change-7-3"), (4, b"{ }")],
)
def test_another_part_has_another_signature(place: int, other: str | bytes) -> None:
    altered = [*GENUINE]
    altered[place] = other
    assert signature(b"secret", *altered) != signature(b"secret", *GENUINE)  # type: ignore[arg-type]
