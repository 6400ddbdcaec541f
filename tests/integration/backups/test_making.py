"""What a backup holds: of one moment, whole, and nothing that would stand in the way of its restore."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from backend.audit.checkpoints import sign_head
from backend.audit.rotation import rotate_key
from backend.audit.verification import verify
from backend.backups import making
from backend.backups.keys import new_key
from backend.backups.restoring import restore
from backend.database.session import reading, writing
from backend.registry.artefacts import artefact_digest, local_folder
from backend.registry.tables import Version
from tests.integration.backups.conftest import WORKER, Here

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def first_artefact() -> Path:
    with reading() as session:
        version = session.scalars(select(Version).order_by(Version.version)).first()
    assert version is not None
    folder = local_folder(version.uri, version.artefact_digest)
    assert folder is not None
    return folder


def test_an_artefact_with_a_lock_file_comes_back_whole(here: Here, tmp_path: Path) -> None:
    folder = first_artefact()
    for name in ("uv.lock", "notes.draft", "deep/x.tmp"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(name)
    with writing() as session:
        session.execute(
            update(Version).where(Version.version == 1).values(artefact_digest=artefact_digest(folder))
        )
    made = here.backup()
    assert made.manifest.left_out == []
    shutil.rmtree(folder)
    here.become(tmp_path / "new")
    assert restore(made.path).inspection.artefacts == 2


def test_an_altered_artefact_is_said_and_keeps_nobody_from_restoring(here: Here, tmp_path: Path) -> None:
    folder = first_artefact()
    next(one for one in folder.rglob("*") if one.is_file()).write_text("altered")
    made = here.backup()
    assert made.manifest.left_out == [
        f"the artefact of toy 1: the files in {folder} are not the recorded ones"
    ]
    here.become(tmp_path / "new")
    done = restore(made.path)
    assert (done.inspection.artefacts, made.manifest.left_out[0] in done.lost) == (1, True)


def test_the_keys_are_those_of_the_moment(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = making._take_moment

    def then_rotate(*args: Any) -> Any:
        taken = take(*args)
        rotate_key(WORKER, why="the yearly change")
        return taken

    monkeypatch.setattr(making, "_take_moment", then_rotate)
    made = here.backup()
    here.become(tmp_path / "new")
    restore(made.path)
    assert sign_head().size == verify().size  # with a key that the restored public keys know


def test_former_folders_and_the_key_of_backups_are_left_out(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(here.home / "keys", elsewhere)
    (tmp_path / "link").symlink_to(elsewhere)
    new_key(elsewhere / "backup.key")
    here.become(
        here.home, AUDIT_KEYS=str(tmp_path / "link"), BACKUP_KEY_FILE=str(tmp_path / "link" / "backup.key")
    )
    made = here.backup()
    assert made.manifest.left_out == [f"keys: the settings name {elsewhere} instead"]
    assert {name for name in made.manifest.files if "key" in name} == {
        "home/audit-keys.pub",
        "keys/append.key",
        "keys/checkpoint.key",
    }
    monkeypatch.delenv("WARRANT_AUDIT_KEYS")
    here.become(tmp_path / "new")
    restore(made.path)
    assert sign_head().size == verify().size
