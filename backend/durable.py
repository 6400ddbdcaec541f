"""Files that survive loss of power: whole or not there, and on disk when the call returns."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def write_json(path: Path, document: Any, *, indent: int | None = None) -> None:
    """Replace the file by a JSON document, as `write_text` does."""
    write_text(path, json.dumps(document, indent=indent))


def write_text(path: Path, text: str) -> None:
    """Replace the file as a whole, in UTF-8; its folder is created if need be.

    A reader sees the old or the new content, never a part; on return content and name are on disk. Two writers of
    one path must exclude each other: they share a draft beside it.
    """
    durable_folder(path.parent)
    draft = path.with_name(f"{path.name}.draft")
    with draft.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """fsync a directory, so that a rename in it is durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """fsync a file that another library wrote."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def durable_folder(folder: Path) -> Path:
    """The folder, created with its parents; their entries are durable."""
    if not folder.is_dir():
        durable_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)
    return folder


@contextmanager
def locked(path: Path, *, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold an exclusive flock on `path`; the kernel frees it when the process dies.

    `on_wait` is called where another one holds it, before it is waited for.
    """
    durable_folder(path.parent)
    with path.open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
