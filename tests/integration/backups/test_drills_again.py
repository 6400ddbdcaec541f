"""What a drill makes of a folder that somebody has been at, of drills that were killed, and of a second one."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from backend.audit.findings import BACKUP_LATE, open_finding
from backend.audit.tables import AuditFinding
from backend.backups import drill
from backend.backups.drill import run_drill, tell_lateness
from backend.backups.keys import new_key
from backend.database.session import reading, writing
from backend.settings import settings
from tests.integration.backups.conftest import WORKER, Here
from tests.integration.backups.test_drill import doctor

on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@on_sqlite
def test_an_older_backup_under_a_newer_name_is_not_the_newest_one(here: Here) -> None:
    old = here.backup().path
    new = here.backup().path
    new.unlink()
    assert f"{new.name} of " in run_drill().problem
    old.rename(new.with_name("warrant-29990101T000000Z-00000000.backup"))
    found = run_drill()
    assert (found.ok, "is not the newest file of the folder" in found.problem) == (False, True)


@on_sqlite
def test_the_doctor_misses_the_newest_backup_and_a_key_that_goes_with_the_home(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.backup()
    here.backup().path.unlink()
    assert (doctor().state, "the newest backup that was made, is not in" in doctor().said) == (
        "trouble",
        True,
    )
    inside = here.home / "backup.key"
    new_key(inside)
    monkeypatch.setenv("WARRANT_BACKUP_KEY_FILE", str(inside))
    settings.cache_clear()
    assert "the key lies in the home" in doctor().said


@on_sqlite
def test_whatever_is_raised_is_what_the_drill_found(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    here.backup()

    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("the driver is gone")

    monkeypatch.setattr(drill, "restore_into", fails)
    assert run_drill().problem == "the drill could not go on: RuntimeError: the driver is gone"


@on_sqlite
def test_a_second_drill_waits_and_takes_nothing_away(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    here.backup()
    real, begun, let_go = drill.restore_into, threading.Event(), threading.Event()

    def slowly(*args: Any, **named: Any) -> Any:
        if not begun.is_set():
            begun.set()
            assert let_go.wait(60)
        return real(*args, **named)

    monkeypatch.setattr(drill, "restore_into", slowly)
    found: list[drill.Drill] = []
    both = [threading.Thread(target=lambda: found.append(run_drill())) for _ in range(2)]
    for one in both:
        one.start()
        assert begun.wait(60)
    (scratch,) = here.home.glob(".drill-*")
    let_go.set()
    for one in both:
        one.join(120)
    assert [one.ok for one in found] == [True, True], found
    assert not scratch.exists()


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_the_database_of_a_drill_that_was_killed_is_dropped_by_the_next(here: Here) -> None:
    from backend.backups.postgresql_copy import drop_left, scratch_database

    url = settings().database_url or ""
    prefix = drill._database_prefix(url)
    with scratch_database(url, f"{prefix}left"), scratch_database(url, "warrant_drill_0_of_another"):
        here.backup()
        assert run_drill().ok
        assert [one for one in databases(url) if "drill" in one] == ["warrant_drill_0_of_another"]
        drop_left(url, prefix)


def databases(url: str) -> list[str]:
    import psycopg

    from backend.backups.postgresql_copy import plain_url

    with psycopg.connect(plain_url(url)) as connection:
        return [one[0] for one in connection.execute("SELECT datname FROM pg_database ORDER BY 1")]


@on_sqlite
def test_lateness_that_ends_because_no_folder_is_set_says_so(
    here: Here, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with writing() as session:
        open_finding(session, WORKER, BACKUP_LATE, subject="backups", title="Overdue")
    monkeypatch.delenv("WARRANT_BACKUP_FOLDER")
    here.become(here.home)
    with writing() as session:
        assert tell_lateness(session, WORKER) is False
    with reading() as session:
        (row,) = session.scalars(select(AuditFinding)).all()
    assert (row.state, row.closed_because) == ("closed", "no folder for backups is set any more")
