"""Backup and restore: what is saved is one moment of everything, and it comes back whole or not at all."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from sqlalchemy import select

from backend.audit.actions import Action
from backend.audit.checkpoints import sign_head
from backend.audit.heads import head_path, read_head
from backend.audit.signers import KeyUnusable as SigningKeyUnusable
from backend.audit.signers import key_path
from backend.audit.tables import AuditEntry
from backend.audit.verification import verify
from backend.backups import drill, making, restoring
from backend.backups.archive import MANIFEST, read_archive
from backend.backups.errors import BackupDamaged, BackupFailed, KeyUnusable, NotEmpty
from backend.backups.keys import backup_key, new_key
from backend.backups.restoring import places, restore, take_out
from backend.backups.tables import Backup
from backend.database.engine import database as the_database
from backend.database.engine import use_database
from backend.database.session import reading
from backend.database.whole import RESTORING, RestoreCutShort
from backend.errors import BadInput
from backend.observations.reader import row_counts
from backend.observations.writer import commit_spool
from backend.registry.artefacts import artefact_digest, local_folder
from backend.registry.tables import Version
from backend.settings import settings
from tests.integration.audit.conftest import append
from tests.integration.backups.conftest import Here
from tests.integration.cli.conftest import warrant

on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder but those that a running database or a lock makes."""
    passing = (".lock", "-wal", "-shm")
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(passing)
    }


def actions() -> list[str]:
    with reading() as session:
        return list(session.scalars(select(AuditEntry.action).order_by(AuditEntry.seq)))


@on_sqlite
def test_an_installation_comes_back_as_it_was(here: Here, tmp_path: Path) -> None:
    saved = verify().size
    made = here.backup()
    assert made.path.parent == here.folder and made.path.stat().st_mode & 0o777 == 0o600
    assert (made.manifest.log_size, made.manifest.left_out) == (saved, [])
    assert [one.name for one in here.folder.iterdir()] == [made.path.name]
    assert actions()[-1] == Action.BACKUP_MADE
    append(4)  # after the moment
    lost_head = tmp_path / "audit-head.json"
    shutil.copy(head_path(), lost_head)
    before = tree(here.home)
    here.become(tmp_path / "new")
    done = restore(made.path, last_head=lost_head)
    assert done.inspection.problems == [] and done.inspection.rows == 25 and done.inspection.artefacts == 2
    assert f"entries {saved} to {saved + 4} of the audit log: 5 in all" in done.lost
    assert any(str(here.home) in one for one in done.lost)  # addresses in the database name the old home
    told = verify()
    assert (told.ok, told.size, told.signed and told.signed.size) == (True, saved + 1, saved)
    assert actions()[-1] == Action.BACKUP_RESTORED
    after = tree(settings().resolved_home())
    assert {name for name in before if before[name] != after.get(name)} <= {"warrant.db", "audit-head.json"}
    assert (settings().resolved_home() / "keys").stat().st_mode & 0o777 == 0o700
    assert sign_head().size == saved + 1  # the log goes on under the same key
    commit_spool(settings().observations, settings().spool)
    assert (
        row_counts(settings().observations, "toy").predictions == 30
    )  # what waited in the spool is not lost


@on_postgresql
def test_postgresql_comes_back_too_and_goes_on_where_it_stood(here: Here, tmp_path: Path) -> None:
    from backend.backups.postgresql_copy import scratch_database

    saved, made = verify().size, here.backup()
    with pytest.raises(NotEmpty, match="the database has"):
        here.become(tmp_path / "new")
        restore(made.path)
    assert not (tmp_path / "new").exists()
    with scratch_database(settings().database_url or "", "restored") as url:
        here.become(tmp_path / "new", DATABASE_URL=url)
        done = restore(made.path)
        told = verify()
        assert (told.ok, told.size, done.inspection.rows) == (True, saved + 1, 25)
        append(1)  # sequences, triggers and search are those of a database of ours
        from backend.database.upgrade import upgrade

        upgrade()
        with reading() as session:
            assert [one.version for one in session.scalars(select(Version).order_by(Version.version))] == [
                1,
                2,
            ]
        use_database(None)


@on_postgresql
def test_a_postgresql_that_was_filled_in_part_is_empty_again(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg

    from backend.backups import postgresql_copy

    made = here.backup()
    with postgresql_copy.scratch_database(settings().database_url or "", "part") as url:
        here.become(tmp_path / "new", DATABASE_URL=url)
        fill = postgresql_copy.fill
        granted = "SELECT oid, nspacl FROM pg_namespace WHERE nspname = 'public'"
        with psycopg.connect(postgresql_copy.plain_url(url)) as connection:
            before = connection.execute(granted).fetchone()
            connection.execute("CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'")
        with pytest.raises(NotEmpty, match=r"public\.mine first"):
            restore(made.path)
        with psycopg.connect(postgresql_copy.plain_url(url)) as connection:
            connection.execute("DROP FUNCTION public.mine()")

        def alter(where: str, folder: Path) -> None:
            rows = folder / "public.audit_entries.copy"
            rows.write_bytes(
                rows.read_bytes().replace(b"reason 1", b"reason 7").replace(b"per_ada", b"per_eve")
            )
            fill(where, folder)

        monkeypatch.setattr(postgresql_copy, "fill", alter)
        with pytest.raises(BackupDamaged, match="the audit log does not verify"):
            restore(made.path)
        monkeypatch.undo()
        postgresql_copy.require_empty(url)
        with psycopg.connect(postgresql_copy.plain_url(url)) as connection:
            assert connection.execute(granted).fetchone() == before  # the schema is not ours to make anew
    assert not (tmp_path / "new").exists()


@on_sqlite
def test_what_cannot_be_restored_changes_nothing(here: Here, tmp_path: Path) -> None:
    made = here.backup()
    new = tmp_path / "new"

    def refused(error: type[Exception], said: str, path: Path = made.path) -> None:
        here.become(new)
        before = tree(new) if new.exists() else None
        with pytest.raises(error, match=said):
            restore(path)
        assert (tree(new) if new.exists() else None) == before
        assert not (new / RESTORING).exists()

    whole = made.path.read_bytes()
    bad = tmp_path / "bad.backup"
    bad.write_bytes(whole[:-1])
    refused(BackupDamaged, "altered or is cut off", bad)
    bad.write_bytes(whole[: len(whole) // 2] + b"\x00" + whole[len(whole) // 2 + 1 :])
    refused(BackupDamaged, "altered", bad)
    other = new_key(tmp_path / "other").secret.hex()
    kept = os.environ.pop("WARRANT_BACKUP_KEY_FILE")
    os.environ["WARRANT_BACKUP_KEY"] = other
    refused(KeyUnusable, "give the key of that time")
    del os.environ["WARRANT_BACKUP_KEY"]
    os.environ["WARRANT_BACKUP_KEY_FILE"] = kept
    new.mkdir()
    (new / "mine").write_text("mine")
    refused(NotEmpty, "is not empty")
    (new / "mine").unlink()
    os.environ["WARRANT_DATABASE_URL"] = f"sqlite:///{tmp_path}/elsewhere.db"
    refused(BadInput, "unset WARRANT_DATABASE_URL")
    del os.environ["WARRANT_DATABASE_URL"]


@pytest.mark.slow
@on_sqlite
def test_a_crash_at_any_line_leaves_nothing_that_looks_restored(here: Here, tmp_path: Path) -> None:
    made = here.backup()
    here.become(tmp_path / "new")
    target = places()
    template = tmp_path / "template"
    staged = template / RESTORING
    manifest = read_archive(made.path, backup_key(), into=lambda name: staged / name)
    (staged / "database" / "warrant.db").rename(staged / "home" / "warrant.db")
    (staged / MANIFEST).write_bytes(manifest.to_json())
    whole = {name.partition("/")[2] for name in manifest.files if name.startswith("home/")}
    line, died = 0, 0
    while True:
        shutil.rmtree(target.home, ignore_errors=True)
        shutil.copytree(template, target.home)
        code = _dies_at(line, lambda: restoring._publish(target, manifest), of=restoring._publish)
        if (target.home / RESTORING).is_dir():
            use_database(None)
            with pytest.raises(RestoreCutShort, match="nothing starts on it"):
                the_database()
        else:
            assert whole <= tree(target.home).keys() and (target.home / "warrant.db").is_file()
        if code == 0:
            break
        line, died = line + 1, died + 1
    assert died > 20


def _dies_at(line: int, act: Callable[[], Any], *, of: Callable[..., Any]) -> int:
    """Run in a process that ends at the given line of a function without any farewell; its exit code."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    count = 0

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        if frame.f_code is not of.__code__:
            return None
        if event == "line":
            if count == line:
                os._exit(9)
            count += 1
        return trace

    try:
        sys.settrace(trace)
        act()
        os._exit(0)
    finally:
        os._exit(1)


@on_sqlite
def test_a_restore_that_died_while_unpacking_is_begun_again(here: Here, tmp_path: Path) -> None:
    made = here.backup()
    here.become(tmp_path / "new")
    (tmp_path / "new" / RESTORING / "home").mkdir(parents=True)
    (tmp_path / "new" / RESTORING / "home" / "part").write_text("half")
    with pytest.raises(RestoreCutShort):
        the_database()
    restore(made.path)
    assert verify().ok and not (tmp_path / "new" / RESTORING).exists()


@on_sqlite
def test_a_lost_key_or_a_damaged_table_is_taken_out_of_a_backup(here: Here, tmp_path: Path) -> None:
    made = here.backup()
    key_path().unlink()
    with pytest.raises(SigningKeyUnusable, match="put the key back"):
        sign_head()
    assert take_out(made.path, "keys", tmp_path / "taken") == 2
    shutil.copy2(tmp_path / "taken" / key_path().name, key_path())
    assert sign_head().size == verify().size
    table = settings().observations / "toy" / "predictions"
    kept = tree(table)
    shutil.rmtree(table)
    take_out(made.path, "observations/toy/predictions", table)
    assert tree(table) == {name: body for name, body in kept.items() if not name.endswith("_last_checkpoint")}
    for name, folder, error in (
        ("keys", tmp_path / "taken", NotEmpty),
        ("../keys", tmp_path / "other", BadInput),
        ("nothing", tmp_path / "other", BadInput),
    ):
        with pytest.raises(error):
            take_out(made.path, name, folder)
    assert not (tmp_path / "other").exists() and list(tmp_path.glob(".*")) == []


@on_sqlite
def test_a_backup_that_fails_leaves_none(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    store = next(settings().observations.glob("toy/predictions/day=*/*.parquet"))
    take = making._take_moment

    def then_delete(*args: Any) -> Any:
        taken = take(*args)
        store.unlink()
        return taken

    monkeypatch.setattr(making, "_take_moment", then_delete)
    with pytest.raises(BackupFailed, match="was deleted while the backup was made"):
        here.backup()
    assert list(here.folder.iterdir()) == []
    assert list(here.home.glob(".backup-*")) == []
    with reading() as session:
        assert session.scalars(select(Backup)).all() == []


def test_a_log_that_is_closed_while_the_spool_is_copied_is_not_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = tmp_path / "spool" / "logs"
    logs.mkdir(parents=True)
    for name in ("1.open", "2.open"):
        (logs / name).write_text(name)
    copy = shutil.copy2

    def closing(path: Path, target: Path) -> None:
        if (logs / "2.open").exists():
            (logs / "2.open").rename(logs / "2.log")
        copy(path, target)

    monkeypatch.setattr(making.shutil, "copy2", closing)
    making.copy_spool(tmp_path / "spool", tmp_path / "copy")
    assert tree(tmp_path / "copy") == {"logs/1.open": b"1.open", "logs/2.log": b"2.open"}


@on_sqlite
def test_no_backup_takes_the_room_that_the_gateway_needs(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    full = type(shutil.disk_usage("/"))(1 << 40, 1 << 40, making.ROOM_KEPT)
    with monkeypatch.context() as patched:
        patched.setattr(making.shutil, "disk_usage", lambda _: full)
        with pytest.raises(BackupFailed, match="are kept in reserve"):
            here.backup()
    here.backup()
    monkeypatch.setattr(drill.shutil, "disk_usage", lambda _: full)
    assert "name a folder on another disk in WARRANT_BACKUP_SCRATCH" in drill.run_drill().problem


@on_sqlite
def test_an_artefact_outside_the_home_is_found_by_its_digest_afterwards(here: Here, tmp_path: Path) -> None:
    with reading() as session:
        version = session.scalars(select(Version)).first()
    assert version is not None
    own = local_folder(version.uri, version.artefact_digest)
    assert own is not None
    outside = tmp_path / "elsewhere"
    shutil.move(here.home / "models", outside)
    (here.home / "models").symlink_to(outside)
    made = here.backup()
    assert made.manifest.left_out == ["models: a symbolic link"]
    shutil.rmtree(outside)
    here.become(tmp_path / "new")
    restore(made.path)
    found = local_folder(version.uri, version.artefact_digest)
    assert found is not None and found.is_relative_to(tmp_path / "new")
    assert artefact_digest(found) == version.artefact_digest


@pytest.mark.slow
@on_sqlite
def test_the_command_line_saves_checks_restores_and_says_what_is_lost(here: Here, tmp_path: Path) -> None:
    use_database(None)
    made = warrant("backup", "--json")
    assert made.code == 0, made.err
    file = made.document["file"]
    checked = warrant("restore", file, "--check")
    assert (checked.code, "is whole" in checked.out) == (0, True), checked.err
    restored = warrant("restore", file, "--last-head", str(head_path()), WARRANT_HOME=str(tmp_path / "new"))
    assert restored.code == 0, restored.err
    assert "of the audit log: 1 in all" in restored.out
    head = read_head(tmp_path / "new" / "audit-head.json")
    assert head is not None and head.size == made.document["entries"] + 1
