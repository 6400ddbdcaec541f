"""Streamlit's own assets, compressed once a process and kept: 7.4 MB of first page become 2.2 MB.

Streamlit serves them as they lie on disk, on the assumption of a proxy that compresses. Their names hold a hash
of their content, so what is kept never goes stale.
"""

from __future__ import annotations

import gzip
from functools import lru_cache
from pathlib import Path
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit import file_util

FOLDER: Final = Path(file_util.get_static_dir()).resolve()
TYPES: Final = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
}


class PackedStatic:
    """ASGI middleware: answers GET /static/* with gzip where the browser takes it; passes the rest on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET" and scope["path"].startswith("/static/"):
            path = (FOLDER / scope["path"].lstrip("/")).resolve()
            takes_gzip = "gzip" in Headers(scope=scope).get("accept-encoding", "")
            if takes_gzip and path.suffix in TYPES and path.is_relative_to(FOLDER) and path.is_file():
                body = await run_in_threadpool(_packed, path)
                headers = {
                    "Content-Encoding": "gzip",
                    "Vary": "Accept-Encoding",
                    "Cache-Control": "public, immutable, max-age=31536000",
                }
                await Response(body, media_type=TYPES[path.suffix], headers=headers)(scope, receive, send)
                return
        await self._app(scope, receive, send)


@lru_cache(maxsize=1024)
def _packed(path: Path) -> bytes:
    return gzip.compress(path.read_bytes(), compresslevel=6, mtime=0)
