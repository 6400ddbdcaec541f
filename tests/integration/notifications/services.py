"""PagerDuty, Opsgenie and Slack as their documentation says they answer, on this machine.

Each keeps what it was told as the real one would: one page a dedup key, one alert an alias, one message a `ts`.
One form for all, so that one test holds for every channel.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass
class Page:
    """One thing that a service shows its people."""

    text: str
    state: str = "open"
    by: str = ""
    number: int = 1  # how many there were under the same key
    days_old: int = 0


@dataclass
class Service:
    """The state of one service. `fail` answers the next requests with these statuses, taking nothing; `drop` takes the
    next one and cuts the line before it answers."""

    kind: str
    pages: dict[str, Page] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)  # Slack: the key in the metadata of each message
    calls: list[tuple[str, str, Any]] = field(default_factory=list)
    secrets_seen: list[str] = field(default_factory=list)
    fail: list[int] = field(default_factory=list)
    retry_after: str = ""  # what the answers of `fail` ask for
    drop: int = 0
    taken: Callable[[], None] = lambda: (
        None
    )  # called when a request has had its effect and is not answered yet
    wait: threading.Event | None = None  # no request is answered before it is set
    before: dict[str, Page] = field(default_factory=dict)  # PagerDuty: what a key named earlier
    said: str = ""  # Slack: the error that the next answer names, although it was done
    address: str = ""

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        made: tuple[int, Any] = getattr(self, f"_{self.kind}")(method, path, query, body)
        return made

    def act(self, state: str, by: str) -> None:
        """Somebody acknowledges or resolves the newest page there, in the service's own page."""
        page = next(reversed(self.pages.values()))
        page.state, page.by = state, by

    def _pagerduty(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        if path == "/v2/enqueue":
            key, action = body["dedup_key"], body["event_action"]
            page = self.pages.get(key)
            if action == "trigger":
                text = body["payload"]["summary"]
                if page is None or page.state == "resolved":
                    self.pages[key] = Page(text, number=page.number + 1 if page else 1)
                    self.before |= {key: page} if page else {}
                else:
                    page.text = text
            elif page is not None and page.state != "resolved":
                page.state = {"acknowledge": "acknowledged", "resolve": "resolved"}[action]
            return 202, {"status": "success", "message": "Event processed", "dedup_key": key}
        key = query["incident_key"]
        newest_first = query.get("sort_by") == "created_at:desc"
        page = self.pages.get(key) if newest_first else self.before.get(key, self.pages.get(key))
        if page is None or (page.days_old > 30 and query.get("date_range") != "all"):
            return 200, {"incidents": []}
        status = {"open": "triggered"}.get(page.state, page.state)
        who = {
            "summary": page.by,
            "type": "service_reference" if page.by == "a service" else "user_reference",
        }
        acks = [{"acknowledger": who}] if page.state == "acknowledged" else []
        return 200, {
            "incidents": [
                {
                    "id": f"{key}-{page.number}",
                    "status": status,
                    "acknowledgements": acks,
                    "last_status_change_by": who,
                }
            ]
        }

    def _opsgenie(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        parts = [unquote(part) for part in path.removeprefix("/v2/alerts").strip("/").split("/") if part]
        if not parts:
            page = self.pages.get(body["alias"])
            if len(body["message"]) > 130:
                return 422, {"message": "Request body is not processable", "errors": {"message": "too long"}}
            if page is None or page.state == "resolved":
                self.pages[body["alias"]] = Page(body["message"])
            return 202, {"result": "Request will be processed", "requestId": "r"}
        if query.get("identifierType") != "alias":
            return 422, {"message": "this is no id"}
        page = self.pages.get(parts[0])
        if page is None:
            return 404, {"message": "Alert does not exist"}
        if method == "GET":
            return 200, {
                "data": {
                    "id": parts[0],
                    "status": "closed" if page.state == "resolved" else "open",
                    "acknowledged": page.state == "acknowledged",
                    "report": {"acknowledgedBy": page.by, "closedBy": page.by},
                }
            }
        if parts[1] == "message":
            page.text = body["message"]
        elif parts[1] in ("acknowledge", "close"):
            page.state = {"acknowledge": "acknowledged", "close": "resolved"}[parts[1]]
        return 202, {"result": "Request will be processed"}

    def _slack(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        if path == "/chat.postMessage":
            ts = f"17000000{len(self.pages):02}.000100"
            self.pages[ts] = Page(body["text"], by="")
            self.keys[ts] = body["metadata"]["event_payload"]["key"]
            return 200, {"ok": True, "ts": ts, "channel": body["channel"]}
        if path == "/chat.update":
            if body["ts"] not in self.pages:
                return 200, {"ok": False, "error": "message_not_found"}
            self.pages[body["ts"]].text = body["text"]
            return 200, {"ok": True, "ts": body["ts"]}
        if path == "/conversations.history":
            return 200, {"ok": True, "messages": [
                {"ts": ts, "metadata": {"event_payload": {"key": key}}} for ts, key in self.keys.items()
            ]}  # fmt: skip
        if path == "/users.info":
            return 200, {"ok": True, "user": {"real_name": query["user"].removeprefix("U-")}}
        page = self.pages[query["timestamp"]]
        names = {"acknowledged": "eyes", "resolved": "white_check_mark"}
        users = [f"U-{page.by}"]
        reactions = [{"name": names[page.state], "users": users}] if page.state in names else []
        return 200, {"ok": True, "message": {"reactions": reactions}}


@contextmanager
def running(kind: str) -> Iterator[Service]:
    service = Service(kind)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            raw = self.rfile.read(length)
            body = json.loads(raw) if raw else None
            parts = urlsplit(self.path)
            service.secrets_seen.append(
                self.headers.get("Authorization") or (body or {}).get("routing_key", "")
            )
            if service.wait is not None:
                service.wait.wait(60)
            if service.fail:
                self._answer(service.fail.pop(0), {"message": "not now"})
                return
            query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            service.calls.append((self.command, parts.path, body))
            status, document = service.answer(self.command, parts.path, query, body)
            if service.said:
                document, service.said = {"ok": False, "error": service.said}, ""
            service.taken()
            if service.drop:
                service.drop -= 1
                self.close_connection = True
                self.connection.close()
                return
            self._answer(status, document)

        do_GET = do_POST = do_PUT = _serve  # noqa: N815 - the names that http.server asks for

        def _answer(self, status: int, document: Any) -> None:
            content = json.dumps(document).encode()
            self.send_response(status)
            if status >= 400 and service.retry_after:
                self.send_header("Retry-After", service.retry_after)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def dripping(*, in_head: bool = False) -> Iterator[str]:
    """A server that falls silent for no moment and does not end its answer, or the head of it, for seconds; its
    address."""
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if in_head:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
            else:
                self.send_response(200)
                self.send_header("Content-Length", "1000")
                self.end_headers()
            with suppress(OSError):
                for _ in range(50):
                    if ended.wait(0.1):
                        break
                    self.wfile.write(b"a")

        do_POST = do_GET  # noqa: N815 - the name that the server looks for

        def log_message(self, *_: Any) -> None:
            pass

    with serving(Handler) as address:
        try:
            yield address
        finally:
            ended.set()


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """A server of this handler; its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
