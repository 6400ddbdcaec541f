"""A file that a page made at one console is fetched at another."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.runtime.media_file_storage import MediaFileKind, MediaFileStorageError

from app.made_files import KEPT_S, SharedFiles
from backend.settings import settings


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("WARRANT_HOME", str(tmp_path))
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


def made(console: SharedFiles, content: bytes = b"a,b\n1,2\n") -> str:
    return console.load_and_get_id(content, "text/csv", MediaFileKind.DOWNLOADABLE, "points.csv")


def test_another_console_gives_what_one_has_made(home: Path) -> None:
    one, other = SharedFiles("/media"), SharedFiles("/media")
    address = one.get_url(made(one))
    found = other.get_file(address.rsplit("/", 1)[1])
    assert (found.content, found.mimetype, found.filename) == (b"a,b\n1,2\n", "text/csv", "points.csv")
    assert found.kind == MediaFileKind.DOWNLOADABLE
    assert (home / "made").stat().st_mode & 0o077 == 0, "nobody else on the host reads it"


@pytest.mark.parametrize("name", ["0" * 32, "../secrets/key", "", "0" * 32 + ".draft.draft", "0" * 500])
def test_what_nobody_made_is_not_there(name: str) -> None:
    with pytest.raises(MediaFileStorageError):
        SharedFiles("/media").get_file(name)


def test_old_files_are_deleted_when_the_next_is_made(home: Path) -> None:
    old = made(SharedFiles("/media"))
    long_ago = time.time() - KEPT_S - 1
    os.utime(home / "made" / old, (long_ago, long_ago))
    new = made(SharedFiles("/media"), b"c\n")
    assert [one.name for one in (home / "made").iterdir()] == [new]


def test_a_volume_that_takes_nothing_leaves_the_console_that_made_it(home: Path) -> None:
    (home / "made").write_text("a file where the folder should be")
    console = SharedFiles("/media")
    assert console.get_file(made(console)).content == b"a,b\n1,2\n"
    with pytest.raises(MediaFileStorageError):
        SharedFiles("/media").get_file(made(console))
