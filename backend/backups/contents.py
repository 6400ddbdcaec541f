"""Which files belong to a backup: everything below the home but what processes make anew, and the observation store as
of one version of each table.

What is not named here as left out is saved, so a new kind of file in the home is in the backups of the next day.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from backend.backups.errors import BackupFailed
from backend.database.whole import RESTORING
from backend.observations.schema import STREAMS, Stream
from backend.observations.snapshots import snapshot
from backend.registry.mlflow_database import database_file
from backend.settings import settings

WORKING: Final = ".backup-"  # folders of backups under way, in the home
DRILL: Final = ".drill-"  # and of drills
# In the home: signs of life of processes, what a gateway fetches again, files chosen or made on open pages, and what
# processes of models work on.
MADE_ANEW: Final = frozenset(
    {
        "supervisor.json",
        "supervisor.lock",
        "workers",
        "gateway",
        "kill",
        "spool",
        "uploads",
        "made",
        "model-processes",
        "packed",
    }
)
_PASSING: Final = (".lock", ".draft", ".tmp", "-wal", "-shm", "-journal")
_LOG_ENTRY: Final = re.compile(r"(\d{20})\.")


@dataclass(frozen=True)
class TableVersion:
    """A Delta table at one version: the files that make it up, and nothing later."""

    name: str  # "model/stream"
    version: int
    rows: int
    files: tuple[Path, ...]


def keys_place() -> Path:
    return (settings().audit_keys or settings().resolved_home() / "keys").resolve()


def secret_files() -> list[Path]:
    """What lies in the folder of the audit log's keys, without the key of the backups where somebody put it there."""
    own = settings().backup_key_file
    return list(walk(keys_place(), apart={own.expanduser().resolve()} if own is not None else set()))


def mlflow_file() -> Path | None:
    """The embedded database of MLflow; None where MLflow is a server, whose backup is its own."""
    path = database_file(settings().mlflow)
    return path if path is not None and path.is_file() else None


def home_files() -> tuple[list[Path], list[str]]:
    """Files below the home in order, and what is left out although it may matter, in words."""
    here, home = settings(), settings().resolved_home()
    places = {"observations": here.observations.resolve(), "keys": keys_place()}
    apart = set(places.values())
    apart |= {one.expanduser().resolve() for one in (here.backup_folder, here.backup_key_file) if one}
    apart |= {home / "warrant.db"} | ({mlflow.resolve()} if (mlflow := mlflow_file()) else set())
    found: list[Path] = []
    left_out: list[str] = []
    for (
        root,
        place,
    ) in places.items():  # a former place would be in the way when the present one is restored to it
        former = home / root
        if not place.is_relative_to(former):
            apart.add(former)
            if former.is_dir() and former.resolve() != place:
                left_out.append(f"{root}: the settings name {place} instead")
    for path in walk(home, apart=apart):
        if path.is_symlink():
            left_out.append(f"{path.relative_to(home)}: a symbolic link")
        elif path.relative_to(home).parts[0] not in MADE_ANEW:
            found.append(path)
    return found, left_out


def walk(folder: Path, *, apart: set[Path] = frozenset()) -> Iterator[Path]:  # type: ignore[assignment]
    """Files below a folder in order of their names, without drafts and locks, and without what is saved apart."""
    for root, folders, names in os.walk(folder):
        here = Path(root)
        links = [one for one in folders if (here / one).is_symlink()]
        folders[:] = sorted(
            one for one in folders
            if one not in links and here / one not in apart and not one.startswith((WORKING, DRILL, RESTORING))
        )  # fmt: skip
        for name in sorted([*names, *links]):
            if here / name not in apart and not name.endswith(_PASSING):
                yield here / name


def table_versions(observations: Path) -> list[TableVersion]:
    """Every Delta table as it is now. Nobody may write meanwhile. Raises `BackupFailed`."""
    return [
        _pinned(observations, log.parent, stream)
        for stream in STREAMS
        for log in sorted(observations.glob(f"*/{stream}/_delta_log"))
    ]


def _pinned(observations: Path, path: Path, stream: Stream) -> TableVersion:
    from deltalake import DeltaTable

    model = path.parent.name
    found = snapshot(observations, model, stream)
    if found is None:
        raise BackupFailed(f"the table {path} cannot be read")
    entries = [
        one for one in sorted((path / "_delta_log").iterdir())
        if (number := _LOG_ENTRY.match(one.name)) is not None and int(number[1]) <= found.version
    ]  # fmt: skip
    rows = int(DeltaTable(str(path), version=found.version).count())
    return TableVersion(f"{model}/{stream}", found.version, rows, (*entries, *map(Path, found.files)))


def other_observations(observations: Path) -> list[Path]:
    """What lies in the store beside its tables: rows that were set aside."""
    tables = {one.parent for stream in STREAMS for one in observations.glob(f"*/{stream}/_delta_log")}
    return list(walk(observations, apart=tables))
