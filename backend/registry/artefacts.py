"""The digest that names a version's files: what an approval is bound to and what is checked before loading.

Loading a model can run code, so nobody loads a folder whose digest is not the one that was recorded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from backend.errors import BadInput, Conflict, NotFound
from backend.settings import settings

# MLflow writes this file beside a model that it fetched by `models:/name/version`; it is no part of the
# artefact.
ADDED_BY_MLFLOW: Final = frozenset({"registered_model_meta"})
_CHUNK_BYTES: Final = 1 << 20


class ArtefactAltered(Conflict):
    """The files are not the ones that were recorded. `expected` and `found` are in `details`."""

    title = "Artefact altered"


def file_digest(path: Path) -> str:
    """`sha256:<hex>` of one file's bytes."""
    return f"sha256:{_sha256(path)}"


def local_folder(uri: str, digest: str) -> Path | None:
    """The artefact's own folder, or the copy of a job that fetched it by this digest; None where neither is here."""
    own = own_folder(uri)
    if own is not None:
        return own
    copy = settings().resolved_home() / "jobs" / "artefacts" / digest.removeprefix("sha256:")
    return copy if copy.is_dir() else None


def own_folder(uri: str) -> Path | None:
    """Where the artefact itself lies, if that is a folder of this machine."""
    split = urlsplit(uri)
    if split.scheme not in ("", "file"):
        return None
    own = Path(unquote(split.path) if split.scheme else uri)
    return own if own.is_dir() else None


def artefact_digest(folder: Path) -> str:
    """`sha256:<hex>` over the sorted manifest of a folder's files.

    The manifest is one JSON array `["relative/posix/path","<sha256 hex>"]` a line, sorted by path in
    code-point order, UTF-8, each line ended by a newline. Two folders have one digest exactly when they hold
    the same files. Raises `NotFound` when there is no such folder or it holds no file, and `BadInput` for a
    symbolic link, whose target the digest would not cover.
    """
    if not folder.is_dir():
        raise NotFound(f"there is no artefact folder at {folder}")
    files = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise BadInput(f"{folder} holds a symbolic link, {name}; put the file itself there")
        if path.is_file() and name not in ADDED_BY_MLFLOW:
            files[name] = _sha256(path)
    if not files:
        raise NotFound(f"the artefact folder {folder} is empty")
    return digest_of_files(files)


def digest_of_files(files: Mapping[str, str]) -> str:
    """The digest of a folder from its files' relative paths and SHA-256 in hex."""
    lines = [
        json.dumps([name, files[name]], ensure_ascii=False, separators=(",", ":")) + "\n"
        for name in sorted(files.keys() - ADDED_BY_MLFLOW)
    ]
    return f"sha256:{hashlib.sha256(''.join(lines).encode()).hexdigest()}"


def check_artefact(folder: Path, expected: str) -> None:
    """Raise `ArtefactAltered` unless the folder's digest is `expected`. Call it before loading anything from
    it.
    """
    found = artefact_digest(folder)
    if found != expected:
        raise ArtefactAltered(
            f"the files in {folder} are not the recorded artefact: digest {found}, recorded {expected}",
            expected=expected,
            found=found,
        )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
