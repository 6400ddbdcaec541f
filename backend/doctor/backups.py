"""Backups: whether there is a fresh one, whether one was restored in a drill, and whether their key is kept apart."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from backend import clock
from backend.doctor import Found, check, off, ok, trouble, unknown
from backend.doctor.stores import home, why_not_writable
from backend.settings import settings


@check("backups", "database")
def _backups() -> Found:
    from backend.database.engine import database

    if settings().backup_folder is None and database().dialect == "postgresql":
        return trouble(
            "no folder is set in WARRANT_BACKUP_FOLDER: what is lost here is lost",
            "warrant backup-key FILE, then set WARRANT_BACKUP_FOLDER and WARRANT_BACKUP_KEY_FILE for the workers",
        )
    if settings().backup_folder is None:
        return off("no folder is set in WARRANT_BACKUP_FOLDER: what is lost here is lost")
    from backend.backups.keys import backup_key
    from backend.backups.making import backup_folder, newest_backup

    folder = backup_folder()
    backup_key()
    own = settings().backup_key_file
    if own is not None and own.expanduser().resolve().is_relative_to(folder):
        return trouble(
            f"the key lies beside the backups, in {folder}", "move it: who takes the folder reads them"
        )
    if own is not None and own.expanduser().resolve().is_relative_to(home()):
        return trouble(
            "the key lies in the home: what takes the home takes it as well, and no backup opens without it",
            "keep it outside, and a copy on another host",
        )
    if not folder.is_dir():
        return trouble(f"{folder} is not there", "mount it, or name another folder in WARRANT_BACKUP_FOLDER")
    refused = why_not_writable(folder)
    if refused:
        return trouble(refused, "give it to the user who runs the worker")
    newest = newest_backup()
    if newest is None:
        return trouble(f"{folder} holds no backup", "warrant backup")
    return _told(newest, made_at(newest))


def made_at(path: Path) -> datetime:
    """When a backup was made, from its header. Raises `BackupDamaged`."""
    from backend.backups.sealed_file import read_header

    with path.open("rb") as file:
        return clock.from_iso(read_header(file).created_at)


def _told(newest: Path, at: datetime) -> Found:
    from backend.backups.state import backup_state
    from backend.database.session import reading

    with reading() as session:
        state = backup_state(session)
    if state.newest is not None and not (newest.parent / state.newest.file).is_file():
        return trouble(
            f"{state.newest.file}, the newest backup that was made, is not in {newest.parent}",
            "find out who took it away, then: warrant backup",
        )
    hours = (clock.now() - at).total_seconds() / 3600
    said = f"{newest.name}, {hours:.1f} h old"
    if hours > 2 * settings().backup_every_h:
        return trouble(
            said, "see that a worker runs and why its runs of make_backup fail, or: warrant backup"
        )
    if state.drill is None:
        return unknown(f"{said}; none was ever restored", "warrant restore-drill")
    if not state.drill.ok:
        return trouble(
            f"{said}; the drill of {clock.to_words(state.drill.at)} failed: {state.drill.problem}",
            "mend that, then: warrant restore-drill",
        )
    said += f"; one was restored {clock.to_words(state.drill.at)} in {state.drill.rto_s or 0:.0f} s"
    if state.late:
        return trouble(
            f"{said}; {'; '.join(state.late)}", "see that a worker runs, or: warrant restore-drill"
        )
    if newest.stat().st_dev == home().stat().st_dev:
        return unknown(f"{said}; on the same disk as the home", "name a folder on another disk or host")
    return ok(said)
