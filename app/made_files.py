"""Files that a page has made, such as the points of a figure: on the volume that consoles share.

Streamlit keeps them in the memory of the process that has the socket of the page. The browser fetches one by a request
of its own, which any console may be given: it finds here what another has made. Ids follow from the content.
"""

from __future__ import annotations

import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from streamlit.runtime import memory_media_file_storage
from streamlit.runtime.media_file_storage import MediaFileKind, MediaFileStorageError
from streamlit.runtime.memory_media_file_storage import MemoryFile, MemoryMediaFileStorage

from app.framed_files import read_framed, write_framed
from backend.settings import settings

KEPT_S: Final = 3600.0  # a browser fetches a file at once
_NAME: Final = re.compile(r"([0-9a-f]{16,128})(?:\.[a-z0-9]{1,10})?")


class SharedFiles(MemoryMediaFileStorage):
    """What Streamlit asks for made files: from memory, else from the shared folder."""

    def load_and_get_id(
        self, path_or_data: str | bytes, mimetype: str, kind: MediaFileKind, filename: str | None = None
    ) -> str:
        file_id = super().load_and_get_id(path_or_data, mimetype, kind, filename)
        if kind == MediaFileKind.DOWNLOADABLE:
            with suppress(OSError):  # a full or read-only volume: this console still has it
                _keep(file_id, super().get_file(file_id))
        return file_id

    def get_file(self, filename: str) -> MemoryFile:
        try:
            return super().get_file(filename)
        except MediaFileStorageError:
            found = _kept(filename)
            if found is None:
                raise
            return found


def share_made_files() -> None:
    """Have the application that is made next keep downloads here."""
    memory_media_file_storage.MemoryMediaFileStorage = SharedFiles  # type: ignore[misc]


def _folder() -> Path:
    return settings().resolved_home() / "made"


def _keep(file_id: str, file: MemoryFile) -> None:
    """Write a file down, under its name once it is whole; those that nobody can still want are deleted."""
    folder = _folder()
    path = folder / file_id
    if path.exists():
        path.touch()
        return
    since = time.time() - KEPT_S
    for one in folder.iterdir() if folder.is_dir() else ():
        with suppress(FileNotFoundError):
            if one.stat().st_mtime < since:
                one.unlink()
    write_framed(path, {"mimetype": file.mimetype, "filename": file.filename}, file.content)


def _kept(filename: str) -> MemoryFile | None:
    named = _NAME.fullmatch(filename)
    if named is None:
        return None
    try:
        head, content = read_framed(_folder() / named[1])
    except OSError:
        return None
    return MemoryFile(content, head["mimetype"], MediaFileKind.DOWNLOADABLE, head["filename"])
