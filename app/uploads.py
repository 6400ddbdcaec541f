"""Files that people choose on a page, until a form sends them: on the volume that all consoles share.

Streamlit keeps them in the memory of the console at which a page's socket is open, and only that console takes them. A
request may go to any console, so each takes a file here, and the one with the socket reads it.

The volume holds the spool as well, so an account keeps only so much here at a time, and the volume a reserve. A page
is of the account that sent its first file.

    PUT, DELETE /uploads/PAGE/FILE       both random ids, which the page was given
"""

from __future__ import annotations

import hashlib
import re
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Message
from streamlit.runtime import memory_uploaded_file_manager
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.uploaded_file_manager import UploadedFileRec, UploadFileUrlInfo
from streamlit.web.server.server_util import is_xsrf_enabled
from streamlit.web.server.starlette.starlette_app_utils import validate_xsrf_token
from streamlit.web.server.starlette.starlette_server_config import XSRF_COOKIE_NAME

from app.framed_files import read_framed, write_framed
from backend.api.problems import CLIENT_LEFT
from backend.api.security import COOKIE
from backend.assurance.documents import LARGEST_BYTES
from backend.identity.sessions import session_of
from backend.settings import settings

FRAMING: Final = 1 << 20  # what a multipart body has around its file
LEFT_AFTER_S: Final = 24 * 3600.0  # of pages whose console was killed
MOST_BYTES: Final = 8 * LARGEST_BYTES  # of one account at a time
MOST_FILES: Final = 100
ROOM_KEPT: Final = 1 << 30  # the gateway refuses predictions on a disk that is nearly full
_OWNER: Final = "account"
_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class TooLarge(Exception):
    """A body is larger than any file that is kept."""


class NoRoom(Exception):
    """The account keeps as much as it may, or the volume is nearly full; the status says which."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class SharedUploads(MemoryUploadedFileManager):
    """What Streamlit asks for uploaded files, answered from the shared folder."""

    def __init__(self, upload_endpoint: str = "/uploads") -> None:
        super().__init__("/uploads")
        self._forget_old()

    def add_file(self, session_id: str, file: UploadedFileRec) -> None:
        """Keep a file; it has its name once it is whole."""
        path = _path_of(session_id, file.file_id)
        write_framed(path, {"name": file.name, "type": file.type}, file.data)

    def get_files(self, session_id: str, file_ids: Sequence[str]) -> list[UploadedFileRec]:
        found = []
        for file_id in file_ids:
            try:
                path = _path_of(session_id, file_id)
            except ValueError:
                continue
            with suppress(OSError):
                head, content = read_framed(path)
                found.append(UploadedFileRec(file_id, head["name"], head["type"], content))
        return found

    def remove_file(self, session_id: str, file_id: str) -> None:
        path = _path_of(session_id, file_id)
        path.unlink(missing_ok=True)
        if path.parent.is_dir() and [one.name for one in path.parent.iterdir()] == [_OWNER]:
            shutil.rmtree(path.parent, ignore_errors=True)

    def remove_session_files(self, session_id: str) -> None:
        if _ID.fullmatch(session_id):
            shutil.rmtree(_folder() / session_id, ignore_errors=True)

    def get_upload_urls(self, session_id: str, file_names: Sequence[str]) -> list[UploadFileUrlInfo]:
        addresses = [(one, f"/uploads/{session_id}/{one}") for one in (str(uuid.uuid4()) for _ in file_names)]
        return [UploadFileUrlInfo(file_id, address, address) for file_id, address in addresses]

    def get_stats(self, family_names: Sequence[str] | None = None) -> Mapping[str, Any]:  # type: ignore[override]
        """None: nothing is in memory."""
        return {}

    def _forget_old(self) -> None:
        since = time.time() - LEFT_AFTER_S
        for path in _folder().iterdir() if _folder().is_dir() else ():
            if path.stat().st_mtime < since:
                shutil.rmtree(path, ignore_errors=True)


def share_uploads() -> None:
    """Have the application that is made next keep uploads here."""
    memory_uploaded_file_manager.MemoryUploadedFileManager = SharedUploads  # type: ignore[misc]


def routes() -> list[BaseRoute]:
    return [Route("/uploads/{page}/{file}", handle, methods=["PUT", "DELETE"])]


async def handle(request: Request) -> Response:
    """Keep or forget one file. The gate has let in only who is signed in."""
    page, file = request.path_params["page"], request.path_params["file"]
    if not (_ID.fullmatch(page) and _ID.fullmatch(file)):
        return PlainTextResponse("There is no such upload.", status_code=404)
    token, cookie = request.headers.get("X-Xsrftoken"), request.cookies.get(XSRF_COOKIE_NAME)
    if is_xsrf_enabled() and not validate_xsrf_token(token, cookie):
        return PlainTextResponse("Load the page again, then choose the file again.", status_code=403)
    account = await run_in_threadpool(_account_of, request)
    if account is None:
        return PlainTextResponse("Sign in first.", status_code=401)
    if _owner_of(_folder() / page) not in (None, account):
        return PlainTextResponse("There is no such upload.", status_code=404)
    uploads = SharedUploads()
    if request.method == "DELETE":
        await run_in_threadpool(uploads.remove_file, page, file)
        return Response(status_code=204)
    try:
        await run_in_threadpool(_require_room, account, LARGEST_BYTES)
        sent = await _only_file(request)
        if sent is not None:
            await run_in_threadpool(_keep, uploads, account, page, UploadedFileRec(file, *sent))
    except ClientDisconnect:
        return Response(status_code=CLIENT_LEFT)
    except NoRoom as error:
        return PlainTextResponse(str(error), status_code=error.status)
    except TooLarge:
        return PlainTextResponse(f"A file has at most {LARGEST_BYTES:,} bytes.", status_code=413)
    if sent is None:
        return PlainTextResponse("Send one file.", status_code=400)
    return Response(status_code=204)


def _account_of(request: Request) -> str | None:
    found = session_of(request.cookies.get(COOKIE))
    return None if found is None else hashlib.sha256(found.actor.person_id.encode()).hexdigest()


def _keep(uploads: SharedUploads, account: str, page: str, file: UploadedFileRec) -> None:
    """Raises `NoRoom` where others that came meanwhile left none; then it is not kept."""
    folder = _folder() / page
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with suppress(FileExistsError), (folder / _OWNER).open("x") as owner:
        owner.writelines((account,))
    uploads.add_file(page, file)
    try:
        _require_room(account, 0, held=1)
    except NoRoom:
        uploads.remove_file(page, file.file_id)
        raise


def _require_room(account: str, wanted: int, *, held: int = 0) -> None:
    """Raise `NoRoom` where so many more bytes would be too many for the account or its volume. `held`: files of its own
    that are counted already."""
    sizes = list(_sizes_of(account))
    if len(sizes) - held >= MOST_FILES or sum(sizes) + min(wanted, 1) > MOST_BYTES:
        raise NoRoom(
            f"You keep {len(sizes)} chosen files of {sum(sizes) >> 20} MiB already. Send or close their forms first.",
            413,
        )
    home = settings().resolved_home()
    home.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(home).free - wanted < ROOM_KEPT:
        raise NoRoom("Warrant's volume is nearly full, and takes no files now. Tell an administrator.", 507)


def _sizes_of(account: str) -> Iterator[int]:
    for folder in _folder().iterdir() if _folder().is_dir() else ():
        if _owner_of(folder) == account:
            for one in folder.iterdir():
                with suppress(FileNotFoundError):
                    if one.name != _OWNER:
                        yield one.stat().st_size


def _owner_of(folder: Path) -> str | None:
    try:
        return (folder / _OWNER).read_text()
    except OSError:
        return None


async def _only_file(request: Request) -> tuple[str, str, bytes] | None:
    """Name, type and bytes of the one file of a multipart body that is read no further than a file may be large."""
    received, stream = 0, request.stream()

    async def receive() -> Message:
        nonlocal received
        chunk = await anext(stream, b"")
        received += len(chunk)
        if received > LARGEST_BYTES + FRAMING:
            raise TooLarge
        return {"type": "http.request", "body": chunk, "more_body": bool(chunk)}

    async with Request(request.scope, receive).form() as form:
        files = [value for value in form.values() if isinstance(value, UploadFile)]
        if len(files) != 1:
            return None
        data = await files[0].read()
        if len(data) > LARGEST_BYTES:
            raise TooLarge
        return files[0].filename or "", files[0].content_type or "application/octet-stream", data


def _folder() -> Path:
    return settings().resolved_home() / "uploads"


def _path_of(page: str, file: str) -> Path:
    """Raises `ValueError` for what is no pair of ids: neither comes near a path otherwise."""
    if not (_ID.fullmatch(page) and _ID.fullmatch(file)):
        raise ValueError("not the id of an upload")
    return _folder() / page / file
