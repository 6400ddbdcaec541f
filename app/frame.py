"""The page around Streamlit's pages: told where it is served from, and kept steady while parts of it are drawn again.

Without the first its script guesses: on /approvals it first asks for /approvals/_stcore/health, which is not there, and
so every page begins with two failed requests. Without the second (`static/steady.js`) a refresh by the clock takes away
what somebody has selected or opened in it.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.keys import SEARCH_KEYS
from app.nav import PAGES
from app.packed import FOLDER as STREAMLIT
from app.theme import STATIC

PATHS: Final = frozenset({"/", *(f"/{row.path}" for row in PAGES)})
HEAD, FOOT = b"<head>", b"</head>"
STEADY: Final = (STATIC / "steady.js").read_text(encoding="utf-8")
TOLD_SCRIPT: Final = (
    f'window.__streamlit={{BACKEND_BASE_URL:window.location.origin+"/"}};{SEARCH_KEYS}\n{STEADY}'
)
TOLD: Final = HEAD + f"<script>{TOLD_SCRIPT}</script>".encode()
SOON: Final = ("Html", "purify.es", "PageLink")
"""Scripts that every page of ours needs and Streamlit asks for only once the first elements have come."""
CHARTED: Final = frozenset({"/model", "/drift", "/performance", "/quality", "/timeline"})
"""Pages that always draw a chart: plotly, two thirds of their first visit, comes while their script still runs."""
FONT: Final = re.compile(rb'\s*<link\b[^>]*\brel="preload"[^>]*\bas="font"[^>]*>')
"""A font of 170 kB that Streamlit's page fetches first. Ours are the system's."""

# A page of a few kilobytes is neither compressed nor compared with what the browser has: its line is put into it here.
ASKED: Final = (b"accept-encoding", b"if-none-match", b"if-modified-since")


def preloads(path: str) -> bytes:
    """Links to the scripts that a page is going to ask for; plotly after whatever is needed to read the page."""
    found = [_link(name) for name in SOON]
    if path in CHARTED:
        found.append(_link("PlotlyChart", ' fetchpriority="low"'))
    return "".join(found).encode()


@cache
def _link(name: str, more: str = "") -> str:
    """Empty where this Streamlit has no such script: it is then fetched as late as ever."""
    files = sorted((STREAMLIT / "static" / "js").glob(f"{name}.*.js"))
    return "".join(
        f'<link rel="modulepreload" crossorigin href="./static/js/{one.name}"{more}>' for one in files[:1]
    )


class Frame:
    """ASGI middleware: puts a script into the HTML of a page, takes a font out, and passes the rest on as it is."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or scope["path"] not in PATHS:
            await self._app(scope, receive, send)
            return
        scope = dict(scope, headers=[pair for pair in scope["headers"] if pair[0] not in ASKED])
        started: Message | None = None
        body = b""

        async def hold(message: Message) -> None:
            nonlocal started, body
            if message["type"] == "http.response.start" and _is_page(message):
                started = message
            elif started is None:
                await send(message)
            elif message["type"] == "http.response.body":
                body += message.get("body", b"")
                if not message.get("more_body"):
                    told = FONT.sub(b"", body.replace(HEAD, TOLD, 1))
                    told = told.replace(FOOT, preloads(scope["path"]) + FOOT, 1)
                    headers = MutableHeaders(scope=started)
                    headers["content-length"] = str(len(told))
                    for stamp in ("etag", "last-modified"):  # of the file, which is not what is sent
                        del headers[stamp]
                    await send(started)
                    await send({"type": "http.response.body", "body": told})

        await self._app(scope, receive, hold)


def _is_page(message: Message) -> bool:
    headers = Headers(raw=message["headers"])
    plain = "content-encoding" not in headers
    return message["status"] == 200 and plain and headers.get("content-type", "").startswith("text/html")
