"""Streamlit's own assets, compressed once for an installation and kept on disk: 7.4 MB of first page become 2.2 MB.

Streamlit serves them as they lie on disk, on the assumption of a proxy that compresses. Their names hold a hash
of their content and the folder holds Streamlit's version, so what is kept never goes stale.
"""

from __future__ import annotations

import gzip
import shutil
import uuid
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Final

import streamlit
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit import file_util

from backend.settings import settings

FOLDER: Final = Path(file_util.get_static_dir()).resolve()
TYPES: Final = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
}
HEADERS: Final = {
    "Content-Encoding": "gzip",
    "Vary": "Accept-Encoding",
    "Cache-Control": "public, immutable, max-age=31536000",
}
IN_MEMORY: Final = 256
"""So many packed files are kept in memory as well; all that the pages use are about 4 MB."""


class PackedStatic:
    """ASGI middleware: answers GET /static/* with gzip where the browser takes it; passes the rest on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET" and scope["path"].startswith("/static/"):
            path = (FOLDER / scope["path"].lstrip("/")).resolve()
            takes_gzip = "gzip" in Headers(scope=scope).get("accept-encoding", "")
            if takes_gzip and path.suffix in TYPES and path.is_relative_to(FOLDER) and path.is_file():
                body = await run_in_threadpool(_kept, path, packed_folder())
                await Response(body, media_type=TYPES[path.suffix], headers=HEADERS)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def packed_folder() -> Path:
    """Where this Streamlit's packed files lie. It may be deleted at any time; it fills again."""
    return settings().resolved_home() / "packed" / streamlit.__version__


@lru_cache(maxsize=IN_MEMORY)
def _kept(path: Path, folder: Path) -> bytes:
    return packed(path, folder)


def packed(path: Path, folder: Path) -> bytes:
    """The file with gzip: from `folder` when it was packed before, by whichever process; else packed and put there.

    A full or read-only disk costs the next process the packing again, and nobody the page.
    """
    there = folder / f"{path.relative_to(FOLDER).as_posix().replace('/', '_')}.gz"
    plain = path.read_bytes()
    with suppress(OSError):
        if _is_whole(found := there.read_bytes(), len(plain)):
            return found
    body = gzip.compress(plain, compresslevel=9, mtime=0)
    draft = there.with_suffix(f".{uuid.uuid4().hex}")
    try:
        _make(folder)
        draft.write_bytes(body)
        draft.replace(there)
    except OSError:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
    return body


def _is_whole(body: bytes, plain_bytes: int) -> bool:
    """Whether gzip's last field tells this length (RFC 1952, 2.3.1): what a loss of power cut short is not sent, for
    browsers would keep it for a year."""
    return len(body) > 18 and int.from_bytes(body[-4:], "little") == plain_bytes % 2**32


def _make(folder: Path) -> None:
    """The folder, and away with those of other versions, which nobody asks for any more."""
    if folder.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    for other in folder.parent.iterdir():
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
