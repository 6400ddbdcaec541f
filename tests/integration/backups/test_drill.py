"""The restore drill: it measures, keeps its figures, says when it fails and when it is overdue, and leaves nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, select, update

from backend import clock
from backend.audit.actions import Action
from backend.audit.findings import BACKUP_LATE, NOT_RESTORABLE, open_findings
from backend.audit.tables import AuditEntry
from backend.audit.verification import verify
from backend.backups.drill import Drill, record_drill, run_drill, tell_lateness
from backend.backups.state import backup_state, is_backup_due, is_drill_due, is_lateness_untold
from backend.backups.tables import Backup, RestoreDrill
from backend.database.session import reading, writing
from backend.doctor import Found, examine
from backend.identity.actor import system_actor
from backend.queue import MAKE_BACKUP, RESTORE_DRILL, request_job
from backend.settings import settings
from tests.integration.audit.conftest import append
from tests.integration.backups.conftest import Here
from tests.integration.jobs.conftest import Start, run_of, wait_for

WORKER = system_actor("worker")
on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def findings() -> dict[str, str]:
    with reading() as session:
        return {one.kind: one.title for one in open_findings(session)}


def keep(drill: Drill, name: str) -> None:
    with writing() as session:
        record_drill(session, WORKER, name, drill)


def doctor() -> Found:
    return next(one.found for one in examine() if one.name == "backups")


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
def test_a_drill_restores_measures_and_leaves_nothing(here: Here, tmp_path: Path) -> None:
    made = here.backup()
    append(2)
    found = run_drill()
    assert (found.ok, found.problem, found.file) == (True, "", made.path.name)
    assert found.rto_s is not None and 0 < found.rto_s < 300
    assert found.rpo_s is not None and 0 <= found.rpo_s < 300
    assert (found.entries, found.entries_since) == (made.manifest.log_size, 3)
    assert list(here.home.glob(".drill-*")) == []
    if settings().database_url:
        import psycopg

        with psycopg.connect(settings().database_url or "") as connection:
            left = "SELECT count(*) FROM pg_database WHERE datname LIKE 'warrant_drill_%'"
            assert connection.execute(left).fetchone() == (0,)
    keep(found, "run_1")
    keep(found, "run_1")  # a step that is run again
    with reading() as session:
        (row,) = session.scalars(select(RestoreDrill)).all()
        passed = select(AuditEntry.seq).where(AuditEntry.action == Action.DRILL_PASSED)
        assert len(session.scalars(passed).all()) == 1
    assert (row.ok, row.rto_s, row.entries_since) == (True, found.rto_s, 3)
    assert verify().ok and findings() == {}
    from app.probes import count_metrics

    told = count_metrics().decode()
    assert "warrant_restore_drill_ok 1.0" in told and "warrant_backup_moment_seconds 1." in told


@on_sqlite
def test_a_drill_that_fails_is_a_finding_until_one_passes(here: Here, tmp_path: Path) -> None:
    assert "there is no backup" in run_drill().problem
    made = here.backup()
    whole = made.path.read_bytes()
    made.path.write_bytes(whole[:-7])
    failed = run_drill()
    assert (failed.ok, failed.rto_s, failed.file) == (False, None, made.path.name)
    keep(failed, "run_1")
    assert "The restore drill failed: " in findings()[NOT_RESTORABLE]
    assert (doctor().state, "failed" in doctor().said) == ("trouble", True)
    with reading() as session:
        assert is_drill_due(session, clock.now()) is False
        assert is_drill_due(session, clock.now() + timedelta(days=1)) is True  # not in a week: it failed
    made.path.write_bytes(whole)
    keep(run_drill(), "run_2")
    assert findings() == {}
    assert doctor().state == "unknown" and "on the same disk as the home" in doctor().said


@on_sqlite
def test_a_backup_of_another_log_is_no_backup_of_this_one(here: Here) -> None:
    here.backup()
    from backend.backups import drill
    from backend.backups.archive import read_archive
    from backend.backups.keys import backup_key
    from backend.backups.making import newest_backup

    path = newest_backup()
    assert path is not None
    manifest = read_archive(path, backup_key(), into=lambda _: None)
    manifest.log_root = "00" * 32
    with pytest.raises(drill.BackupDamaged, match="does not go on from what the backup holds"):
        drill._entries_since(manifest)
    manifest.log_size = 10_000
    with pytest.raises(drill.BackupDamaged, match="another installation"):
        drill._entries_since(manifest)


@on_sqlite
def test_what_is_overdue_is_said_once_and_until_it_is_not(here: Here) -> None:
    now = clock.now()
    with reading() as session:
        assert is_backup_due(session, now) and not is_drill_due(session, now)
        assert not is_lateness_untold(session, now)
    here.backup()
    with reading() as session:
        assert not is_backup_due(session, now) and is_drill_due(session, now)
        assert is_backup_due(session, now + timedelta(hours=25))
    with writing() as session:
        long_ago = now - timedelta(days=15)
        session.execute(update(Backup).values(made_at=long_ago, snapshot_at=long_ago))
    with reading() as session:
        assert is_lateness_untold(session, now)
        assert len(backup_state(session).late) == 2
    with writing() as session:
        assert tell_lateness(session, WORKER) is True
    title = findings()[BACKUP_LATE]
    assert "the newest backup is of" in title and "no restore drill has passed yet" in title
    with reading() as session:
        assert not is_lateness_untold(session, now)
    with writing() as session:
        session.execute(delete(Backup))
        assert tell_lateness(session, WORKER) is False
    assert findings() == {}


@on_sqlite
def test_nothing_is_scheduled_until_a_folder_is_set(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    here.backup()
    monkeypatch.delenv("WARRANT_BACKUP_FOLDER")
    settings.cache_clear()
    later = clock.now() + timedelta(days=30)
    with reading() as session:
        assert not is_backup_due(session, later) and not is_drill_due(session, later)
        assert not is_lateness_untold(session, later)
    assert doctor().state == "off"


@on_sqlite
def test_the_doctor_tells_the_newest_backup_and_what_is_wrong_with_it(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (doctor().state, doctor().said) == ("trouble", f"{here.folder} is not there")
    made = here.backup()
    assert doctor().state == "unknown" and "none was ever restored" in doctor().said
    assert doctor().said.startswith(f"{made.path.name}, 0.0 h old")
    beside = here.folder / "key"
    beside.write_bytes(Path(settings().backup_key_file or "").read_bytes())
    beside.chmod(0o600)
    monkeypatch.setenv("WARRANT_BACKUP_KEY_FILE", str(beside))
    settings.cache_clear()
    assert "lies beside the backups" in doctor().said


@pytest.mark.slow
@on_sqlite
def test_a_worker_makes_a_backup_and_tries_it(here: Here, start_worker: Start) -> None:
    start_worker("a")

    def finish(ask: Callable[[], str]) -> str:
        run_id = ask()
        done = wait_for(lambda: (run := run_of(run_id)).state in ("succeeded", "failed") and run, 120)
        assert done.state == "succeeded", done.error
        return run_id

    def asked(job: object) -> str:
        with writing() as session:
            return request_job(session, job).id  # type: ignore[arg-type]

    finish(lambda: asked(MAKE_BACKUP))
    run_id = finish(lambda: asked(RESTORE_DRILL))
    with reading() as session:
        row = session.get(RestoreDrill, run_id)
    assert row is not None and row.ok, row
