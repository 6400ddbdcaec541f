"""Two folders share a digest exactly when they hold the same files, and nothing altered is loaded."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from backend.errors import BadInput, NotFound
from backend.registry.artefacts import ArtefactAltered, artefact_digest, check_artefact


def _folder(root: Path) -> Path:
    (root / "deep").mkdir(parents=True)
    (root / "b.txt").write_bytes(b"two")
    (root / "deep" / "a.bin").write_bytes(b"one")
    return root


def test_digest_is_the_hash_of_the_sorted_manifest(tmp_path: Path) -> None:
    one, two = (hashlib.sha256(text).hexdigest() for text in (b"one", b"two"))
    manifest = f'["b.txt","{two}"]\n["deep/a.bin","{one}"]\n'
    expected = f"sha256:{hashlib.sha256(manifest.encode()).hexdigest()}"
    assert artefact_digest(_folder(tmp_path / "x")) == expected


def test_digest_does_not_depend_on_where_the_folder_lies(tmp_path: Path) -> None:
    assert artefact_digest(_folder(tmp_path / "x")) == artefact_digest(_folder(tmp_path / "y" / "z"))


@pytest.mark.parametrize("change", ["byte", "rename", "add", "remove"])
def test_any_change_to_the_files_changes_the_digest_and_is_refused(tmp_path: Path, change: str) -> None:
    folder = _folder(tmp_path / "x")
    recorded = artefact_digest(folder)
    check_artefact(folder, recorded)
    if change == "byte":
        (folder / "b.txt").write_bytes(b"twp")
    elif change == "rename":
        (folder / "b.txt").rename(folder / "c.txt")
    elif change == "add":
        (folder / "extra").write_bytes(b"")
    else:
        (folder / "b.txt").unlink()
    with pytest.raises(ArtefactAltered) as raised:
        check_artefact(folder, recorded)
    assert raised.value.details["expected"] == recorded


def test_what_mlflow_adds_beside_a_fetched_model_does_not_count(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "x")
    recorded = artefact_digest(folder)
    (folder / "registered_model_meta").write_text("model_name: x")
    check_artefact(folder, recorded)


def test_a_link_has_no_digest(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "x")
    (folder / "link").symlink_to("/etc/hostname")
    with pytest.raises(BadInput, match="symbolic link"):
        artefact_digest(folder)


def test_an_empty_or_absent_folder_has_no_digest(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("empty", "absent"):
        with pytest.raises(NotFound):
            artefact_digest(tmp_path / name)
