"""Bytes on disk by model: the observation store, files of versions, evidence packs, backups, the database."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from sqlalchemy import func, select, text

from backend.database.engine import database
from backend.database.session import ReadSession
from backend.observations.schema import Stream, shadow_table, table_path
from backend.packs.tables import EvidencePack
from backend.registry.tables import Model, Version
from backend.settings import settings

_STREAMS: Final[tuple[Stream, ...]] = ("predictions", "labels")


def measured(session: ReadSession) -> dict[tuple[str, str], int]:
    """Bytes by (model, kind). What does not lie on this host is left out, not counted as nothing."""
    sizes: dict[tuple[str, str], int] = defaultdict(int)
    for model in session.scalars(select(Model.name)):
        sizes[model, "observations"] = _observations(model)
    seen: set[Path] = set()
    for version in session.scalars(select(Version)):
        sizes[version.model, "artefacts"] += _size(version.uri, seen) + _size(version.reference_path, seen)
    for pack_model, size in session.execute(
        select(EvidencePack.model, func.sum(EvidencePack.bytes))
        .where(EvidencePack.file != "")
        .group_by(EvidencePack.model)
    ):
        sizes[pack_model or "", "packs"] += int(size or 0)
    if settings().backup_folder is not None:
        sizes["", "backups"] = size_of(Path(str(settings().backup_folder)))
    sizes["", "database"] = _database(session)
    return dict(sizes)


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a folder; links are not followed. Nothing there is 0."""
    if not path.is_dir():
        return _bytes(path)
    return sum(_bytes(Path(folder) / name) for folder, _, names in os.walk(path) for name in names)


def _bytes(path: Path) -> int:
    try:
        found = path.lstat()
    except OSError:  # it went between listing and looking
        return 0
    return found.st_size if not path.is_symlink() else 0


def _observations(model: str) -> int:
    return sum(
        size_of(table_path(settings().observations, table, stream))
        for table in (model, shadow_table(model))
        for stream in _STREAMS
    )


def _size(address: str, seen: set[Path]) -> int:
    """Of a folder or file on this host, once however many versions name it."""
    split = urlsplit(address)
    path = Path(unquote(split.path) if split.scheme else address)
    if split.scheme not in ("", "file") or not path.is_absolute() or path in seen:
        return 0
    seen.add(path)
    return size_of(path)


def _database(session: ReadSession) -> int:
    if session.get_bind().dialect.name != "sqlite":
        return int(session.scalar(text("SELECT pg_database_size(current_database())")) or 0)
    file = database().write_engine.url.database
    return sum(size_of(Path(f"{file}{end}")) for end in ("", "-wal")) if file else 0
