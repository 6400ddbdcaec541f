"""Static files are packed once for an installation, and what is cut short on disk is never sent."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from app import packed
from backend.backups.contents import MADE_ANEW


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(packed, "FOLDER", tmp_path / "site")
    found = tmp_path / "site" / "static" / "js" / "index.0a1b.js"
    found.parent.mkdir(parents=True)
    found.write_text("export const words = 'words';\n" * 300)
    return found


def never(*_: object, **__: object) -> bytes:
    raise AssertionError("it was packed again")


def test_the_next_process_takes_what_was_packed(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = packed.packed(script, tmp_path / "packed" / "1.0")
    assert gzip.decompress(first) == script.read_bytes()
    monkeypatch.setattr(gzip, "compress", never)
    assert packed.packed(script, tmp_path / "packed" / "1.0") == first


@pytest.mark.parametrize("left", [b"", b"\x1f\x8b", b"half"])
def test_what_was_cut_short_is_packed_again(script: Path, tmp_path: Path, left: bytes) -> None:
    folder = tmp_path / "packed" / "1.0"
    whole = packed.packed(script, folder)
    (kept,) = folder.iterdir()
    kept.write_bytes(whole[: len(whole) // 2] if left == b"half" else left)
    assert packed.packed(script, folder) == whole
    assert kept.read_bytes() == whole


def test_another_version_of_streamlit_takes_the_place_of_the_one_before(script: Path, tmp_path: Path) -> None:
    packed.packed(script, tmp_path / "packed" / "1.0")
    packed.packed(script, tmp_path / "packed" / "1.1")
    assert [one.name for one in (tmp_path / "packed").iterdir()] == ["1.1"]


def test_a_disk_that_takes_nothing_costs_nobody_the_page(script: Path, tmp_path: Path) -> None:
    (tmp_path / "packed").write_text("a file where the folder would be")
    assert gzip.decompress(packed.packed(script, tmp_path / "packed" / "1.0")) == script.read_bytes()


def test_backups_leave_out_what_is_packed_anew() -> None:
    assert packed.packed_folder().relative_to(packed.packed_folder().parents[1]).parts[0] in MADE_ANEW
