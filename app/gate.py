"""The gate in front of the pages: no page, asset of a page or websocket without a session of ours.

Who is signed in is checked again by the script at every run and by every fragment (`app.session`): a session
can end while its websocket stays open. The gate itself only keeps strangers out and sends people to sign in.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.headers import headers_for
from backend.api.security import COOKIE
from backend.identity.sessions import session_of
from backend.settings import settings

# These check their own callers, or say nothing about anybody.
OPEN = ("/signin", "/signout", "/setup", "/oidc", "/healthz", "/metrics", "/api/v1", "/static", "/hooks")
OPEN_FILES = frozenset({"/favicon.png", "/favicon.ico", "/manifest.json", "/_stcore/health", "/robots.txt"})

PLAIN = ("/i/", "/c/")

# Streamlit's way for programs to use pages: ours use the REST API, which knows tokens and says who may do what.
CLOSED: Final = ("/_stcore/agent",)


class Gate:
    """ASGI middleware: redirects, refuses, or passes on with security headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

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
        """Refuse strangers. A session that has ended is let in: its script shows a sign-in link in place of
        what was on the screen, where a refusal would leave stale figures and retry for ever.
        """
        connection = HTTPConnection(scope)
        if not connection.cookies.get(COOKIE) or not _is_own_origin(connection.headers):
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        # Checked above. Streamlit would ask a web service for our address to compare a foreign origin with.
        scope = dict(scope, headers=[pair for pair in scope["headers"] if pair[0] != b"origin"])
        await self._app(scope, receive, send)


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
