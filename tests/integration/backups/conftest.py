"""An installation with a bit of everything in it, and a folder and a key for its backups."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from backend.audit.checkpoints import sign_head
from backend.backups.keys import new_key
from backend.backups.making import Made, make_backup
from backend.database.engine import use_database
from backend.identity.actor import system_actor
from backend.observations.store import accept
from backend.observations.writer import commit_spool
from backend.settings import settings
from tests.integration.audit.conftest import append
from tests.integration.jobs.conftest import start_worker
from tests.unit.observations.samples import NOW, labels, predictions
from tests.worlds import make_world

__all__ = ["become", "here", "start_worker"]

WORKER = system_actor("worker")


@dataclass(frozen=True)
class Here:
    """The installation, and how to become another one."""

    home: Path
    folder: Path
    become: Callable[..., None]

    def backup(self) -> Made:
        return make_backup(WORKER)


@pytest.fixture
def become(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Point this process at another home, and other settings."""

    def other(home: Path, **values: str) -> None:
        monkeypatch.setenv("WARRANT_HOME", str(home))
        for name, value in values.items():
            monkeypatch.setenv(f"WARRANT_{name}", value)
        settings.cache_clear()
        use_database(None)

    return other


@pytest.fixture
def here(database: str, tmp_path: Path, become: Callable[..., None]) -> Here:
    """People, a model with two versions, a signed log, rows in the store and rows that wait in the spool."""
    home = settings().resolved_home()
    make_world(home / "models")
    append(3)
    observations, spool = settings().observations, settings().spool
    accept(observations, spool, "toy", "predictions", predictions(range(20)), source="api", now=NOW)
    accept(observations, spool, "toy", "labels", labels(range(5)), source="api", now=NOW)
    commit_spool(observations, spool)
    accept(observations, spool, "toy", "predictions", predictions(range(20, 30)), source="api", now=NOW)
    sign_head()
    new_key(tmp_path / "secrets" / "key")
    become(home, BACKUP_FOLDER=str(tmp_path / "kept"), BACKUP_KEY_FILE=str(tmp_path / "secrets" / "key"))
    return Here(home, tmp_path / "kept", become)
