"""The gate in front of the pages: no page, asset of a page or websocket without a session of ours.

A websocket is let in also with a session that has ended, never with a cookie that opened none.

Who is signed in is checked again by the script at every run and by every fragment (`app.session`): a session
can end while its websocket stays open. The gate itself only keeps strangers out and sends people to sign in.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, urlsplit

from anyio import CapacityLimiter, to_thread
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.headers import headers_for
from app.sockets import PER_ADDRESS, PER_SESSION, Sockets
from backend.api.security import COOKIE, client_address
from backend.client_addresses import counted_as
from backend.identity.sessions import ever_opened, session_of
from backend.settings import settings

# These check their own callers, or say nothing about anybody.
OPEN = ("/signin", "/signout", "/setup", "/oidc", "/healthz", "/metrics", "/api/v1", "/static", "/hooks")
OPEN_FILES = frozenset({"/favicon.png", "/favicon.ico", "/manifest.json", "/_stcore/health", "/robots.txt"})

PLAIN = ("/i/", "/c/")

# Streamlit's way for programs to use pages: ours use the REST API, which knows tokens and says who may do what.
CLOSED: Final = ("/_stcore/agent",)

# Strangers' handshakes wait for each other and hold up no request.
HANDSHAKES_AT_ONCE: Final = 2

REFUSED: Final = 1008
TRY_AGAIN: Final = 1013


class Gate:
    """ASGI middleware: redirects, refuses, or passes on with security headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._sockets = Sockets()
        self._handshakes = CapacityLimiter(HANDSHAKES_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        told = headers_for(Headers(scope=scope).get("host", ""))

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in told.items():
                    headers.setdefault(name, value)
            await send(message)

        if _is_below(scope["path"], CLOSED):
            await PlainTextResponse("Not here.", status_code=404)(scope, receive, with_headers)
            return
        if not _is_open(scope["path"]) and not await run_in_threadpool(_is_signed_in, scope):
            await _refuse(scope)(scope, receive, with_headers)
            return
        await self._app(scope, receive, with_headers)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse strangers, and whoever has too many. A session that has ended is let in: its script shows a sign-in
        link in place of what was on the screen, where a refusal would leave stale figures and retry for ever.
        """
        connection = HTTPConnection(scope)
        token = connection.cookies.get(COOKIE)
        if not token or not _is_own_origin(connection.headers):
            await _close(receive, send, REFUSED)
            return
        address = f"address {counted_as(client_address(connection))}"
        with self._sockets.one_more(address, PER_ADDRESS) as may_ask:
            if not may_ask:
                await _close(receive, send, REFUSED)
                return
            try:
                opened = await to_thread.run_sync(ever_opened, token, limiter=self._handshakes)
            except SQLAlchemyError:  # open ones stay open; browsers try again by themselves
                await _close(receive, send, TRY_AGAIN)
                return
            with self._sockets.one_more(f"session {opened}", PER_SESSION) as has_room:
                if opened is None or not has_room:
                    await _close(receive, send, REFUSED)
                    return
                # Checked above. Streamlit would ask a web service for our address to compare a foreign origin with.
                headers = [pair for pair in scope["headers"] if pair[0] != b"origin"]
                await self._app(dict(scope, headers=headers), receive, send)


async def _close(receive: Receive, send: Send, code: int) -> None:
    await receive()
    await send({"type": "websocket.close", "code": code})


def _is_open(path: str) -> bool:
    return path in OPEN_FILES or _is_below(path, OPEN)


def _is_below(path: str, prefixes: tuple[str, ...]) -> bool:
    return any(path == prefix or path.startswith(f"{prefix}/") for prefix in prefixes)


def _is_signed_in(scope: Scope) -> bool:
    return session_of(HTTPConnection(scope).cookies.get(COOKIE)) is not None


def _refuse(scope: Scope) -> RedirectResponse | PlainTextResponse:
    is_read = scope["method"] in ("GET", "HEAD")
    wants_page = is_read and not scope["path"].startswith(("/_stcore", "/media"))
    if scope["method"] == "POST" and scope["path"].startswith(PLAIN):
        wants_page = True  # a form without scripts: what was written is lost, the way back is not
    if not wants_page:
        return PlainTextResponse("Sign in first.", status_code=401, headers={"Cache-Control": "no-store"})
    query = scope["query_string"].decode("latin-1")
    path = quote(scope["path"]) + (f"?{query}" if query else "")
    where = "/signin" if path == "/" else f"/signin?next={quote(path, safe='')}"
    return RedirectResponse(where, status_code=303, headers={"Cache-Control": "no-store"})


def _is_own_origin(headers: Headers) -> bool:
    """Whether a handshake began on our own pages. Programs send no Origin; they hold a cookie of ours anyway."""
    origin = headers.get("origin")
    if origin is None:
        return True
    ours = {headers.get("host", "").lower(), urlsplit(settings().console).netloc.lower()}
    return urlsplit(origin).netloc.lower() in ours
