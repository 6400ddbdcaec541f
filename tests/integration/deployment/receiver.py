"""A receiver of the webhook target as an operator would write it, on a real port. It can be told to be awkward."""

from __future__ import annotations

import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from backend.signed_http import signature

SECRET = "between the two of us"


@dataclass
class Receiver:
    """What it was told. `answers` are statuses it gives before it takes anything; `busy` polls before it is done."""

    url: str = ""
    serves: dict[str, Any] | None = None
    effects: list[str] = field(default_factory=list)
    told: list[dict[str, Any]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    busy: int = 0
    failing: str = ""
    unsigned: int = 0
    cut: int = 0  # connections that it cuts after it did what it was told
    # While one is set and closed, its requests hang: before they have an effect, after it, or when it is asked.
    before: threading.Event | None = None
    after: threading.Event | None = None
    answering: threading.Event | None = None

    lock: threading.Lock = field(default_factory=threading.Lock)
    asked: dict[str, dict[str, Any]] = field(default_factory=dict)  # gates it was asked about, by key
    verdicts: dict[str, dict[str, str]] = field(default_factory=dict)  # what it says, by check

    def take(self, key: str, document: dict[str, Any]) -> None:
        self.told.append(document)
        if "check" in document:
            self.asked[key] = document
            return
        wanted = {name: value for name, value in document.items() if name != "action"}
        if self.serves != wanted:
            self.serves = wanted
            self.effects.append(key)

    def state(self, key: str) -> dict[str, str] | None:
        if key in self.asked:
            return self.verdicts.get(self.asked[key]["check"], {"state": "working"})
        if self.serves is None or self.serves["key"] != key:
            return None
        if self.failing:
            return {"state": "failed", "text": self.failing}
        if self.busy > 0:
            self.busy -= 1
            return {"state": "working", "text": "rolling"}
        return {"state": "done", "text": ""}


def _hang(until: threading.Event | None) -> None:
    if until is not None:
        until.wait(60)


@contextmanager
def receiver() -> Iterator[Receiver]:
    made = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if not self._signed(body):
                return self._answer(401, {"error": "not signed"})
            if made.answers:
                return self._answer(made.answers.pop(0), {"error": "as the test wants"})
            _hang(made.before)
            with made.lock:
                made.take(self.headers["Idempotency-Key"], json.loads(body))
            _hang(made.after)
            if made.cut:
                made.cut -= 1
                self.close_connection = True
                return self.connection.close()
            return self._answer(202, {})

        def do_GET(self) -> None:
            if not self._signed(b""):
                return self._answer(401, {"error": "not signed"})
            _hang(made.answering)
            found = made.state(self.path.rsplit("/", 1)[1])
            return self._answer(404 if found is None else 200, found or {})

        def _signed(self, body: bytes) -> bool:
            expected = signature(
                SECRET.encode(),
                self.headers.get("Warrant-Timestamp", ""),
                self.command,
                self.path,
                self.headers.get("Idempotency-Key", ""),
                body,
            )
            good = hmac.compare_digest(expected, self.headers.get("Warrant-Signature", ""))
            made.unsigned += not good
            return good

        def _answer(self, status: int, document: dict[str, Any]) -> None:
            content = json.dumps(document).encode()
            try:
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
            except OSError:
                return  # whoever asked has gone

        def log_message(self, *_: Any) -> None:
            """A test is quiet."""

        def finish(self) -> None:
            if not self.wfile.closed:
                try:
                    super().finish()
                except OSError:
                    return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
    try:
        yield made
    finally:
        for held in (made.before, made.after, made.answering):
            if held is not None:
                held.set()
        server.shutdown()
        server.server_close()
        thread.join()
