"""Files that survive loss of power."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from backend.durable import write_json, write_text


def test_a_file_is_replaced_as_a_whole_and_leaves_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "state.json"
    write_json(path, {"size": 1, "of": "a longer text than the next"})
    write_json(path, {"size": 2})
    assert json.loads(path.read_text()) == {"size": 2}
    assert [one.name for one in path.parent.iterdir()] == ["state.json"]


def test_a_document_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_json(path, {"size": 1})
    with pytest.raises(TypeError):
        write_json(path, {"size": object()})
    assert json.loads(path.read_text()) == {"size": 1}


def test_content_is_on_disk_before_its_name_and_the_name_before_the_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    synced: list[tuple[int, str]] = []
    real = os.fsync

    def note(descriptor: int) -> None:
        real(descriptor)
        synced.append((os.fstat(descriptor).st_ino, path.read_text()))

    monkeypatch.setattr(os, "fsync", note)
    write_text(path, "Zürich")
    assert synced == [(path.stat().st_ino, "old"), (tmp_path.stat().st_ino, "Zürich")]
