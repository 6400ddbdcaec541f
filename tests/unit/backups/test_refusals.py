"""A restore that cannot go on touches nothing that it has not begun with, and says what is lost and what is not."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

import pytest
import typer

from backend.audit.heads import Head
from backend.backups import postgresql_copy
from backend.backups.errors import BackupDamaged, NotEmpty
from backend.backups.restoring import Places, restore_into, what_is_lost
from backend.commands import backup_commands
from tests.unit.backups.test_sealed_file import KEY, MOMENT, manifest


def places(home: Path, url: str | None = None) -> Places:
    return Places(home, home / "observations", home / "keys", url)


def test_a_database_is_not_emptied_by_a_restore_that_never_came_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    emptied: list[str] = []
    monkeypatch.setattr(postgresql_copy, "require_empty", lambda url: None)
    monkeypatch.setattr(postgresql_copy, "empty_again", emptied.append)
    (tmp_path / "b").write_bytes(b"no backup")
    with pytest.raises(BackupDamaged, match="does not begin like one"):
        restore_into(places(tmp_path / "new", "postgresql://elsewhere/x"), tmp_path / "b", KEY, record=False)
    assert emptied == [] and not (tmp_path / "new").exists()


def test_two_restores_do_not_clear_each_other_away(tmp_path: Path) -> None:
    staged = tmp_path / "new" / ".restoring" / "home" / "part"
    staged.parent.mkdir(parents=True)
    staged.write_text("of the first")
    descriptor = os.open(tmp_path / "new", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(NotEmpty, match="another restore into"):
        restore_into(places(tmp_path / "new"), tmp_path / "b", KEY, record=False)
    os.close(descriptor)
    assert staged.read_text() == "of the first"


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (None, "entries of the audit log from number 4 on; how many"),
        (Head(6, "bb"), "entries 4 to 5 of the audit log: 2 in all"),
        (Head(4, "aa"), "nothing of the audit log: its last known head has 4 entries"),
        (Head(4, "bb"), "it has 4 entries too and another root"),
    ],
)
def test_rows_after_the_moment_are_lost_whatever_is_left_of_the_log(
    tmp_path: Path, known: Head | None, said: str
) -> None:
    lost = what_is_lost(manifest(log_size=4, log_root="aa"), places(tmp_path), known)
    assert f"everything after {MOMENT}: rows that were accepted later" in lost[0]
    assert said in lost[1]


@pytest.mark.parametrize("asked", [{}, {"check": True}, {"take": "keys", "into": Path("there")}])
def test_a_place_that_cannot_be_written_is_one_line_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], asked: dict[str, Any]
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    for name in ("archive.read_archive", "restoring.restore", "restoring.take_out"):
        monkeypatch.setattr(f"backend.backups.{name}", full)
    monkeypatch.setattr("backend.backups.keys.backup_key", lambda: KEY)
    with pytest.raises(typer.Exit) as ended:
        backup_commands.restore(**{"file": Path("b"), "check": False, "take": "", "into": None, **asked})
    assert ended.value.exit_code == 2
    assert "the restore could not go on: [Errno 28] No space left on device" in capsys.readouterr().err
