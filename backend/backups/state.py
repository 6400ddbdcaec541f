"""How old the newest backup is, what the last drill measured, and what is late: facts for jobs, pages and commands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, select

from backend import clock
from backend.audit.findings import BACKUP_LATE, open_findings
from backend.backups.tables import Backup, RestoreDrill
from backend.database.session import ReadSession
from backend.settings import settings

DRILL_EVERY: Final = timedelta(days=7)
DRILL_AGAIN: Final = timedelta(days=1)  # after one that failed
DRILL_LATE: Final = timedelta(days=14)


@dataclass(frozen=True)
class BackupState:
    """`is_set`: the settings name a folder. `late` says in words what should have happened by now."""

    is_set: bool
    newest: Backup | None
    drill: RestoreDrill | None
    passed: RestoreDrill | None
    late: tuple[str, ...]


def backup_state(session: ReadSession, now: datetime | None = None) -> BackupState:
    now = now or clock.now()
    newest = newest_made(session)
    drills = select(RestoreDrill).order_by(RestoreDrill.at.desc()).limit(1)
    drill = session.scalars(drills).first()
    passed = session.scalars(drills.where(RestoreDrill.ok.is_(True))).first()
    is_set = settings().backup_folder is not None
    late = _late(session, now, newest, passed) if is_set else ()
    return BackupState(is_set, newest, drill, passed, late)


def newest_made(session: ReadSession) -> Backup | None:
    """The newest backup that was made, wherever its file is now."""
    return session.scalars(select(Backup).order_by(Backup.snapshot_at.desc()).limit(1)).first()


def recent_drills(session: ReadSession, *, limit: int = 12) -> list[RestoreDrill]:
    """The newest first."""
    return list(session.scalars(select(RestoreDrill).order_by(RestoreDrill.at.desc()).limit(limit)))


def _late(
    session: ReadSession, now: datetime, newest: Backup | None, passed: RestoreDrill | None
) -> tuple[str, ...]:
    found = []
    every = timedelta(hours=settings().backup_every_h)
    if newest is not None and now - newest.snapshot_at > 2 * every:
        found.append(
            f"the newest backup is of {clock.to_words(newest.snapshot_at)}, and one is wanted every "
            f"{settings().backup_every_h:g} h"
        )
    since = passed.at if passed is not None else session.scalar(select(func.min(Backup.made_at)))
    if since is not None and now - since > DRILL_LATE:
        last = f"since {clock.to_words(since)}" if passed is not None else "yet"
        found.append(f"no restore drill has passed {last}, and one is wanted every {DRILL_EVERY.days} days")
    return tuple(found)


def is_backup_due(session: ReadSession, now: datetime) -> bool:
    """Whether a worker should make one: a folder is set, and the newest is as old as backups may get."""
    if settings().backup_folder is None:
        return False
    newest = session.scalar(select(func.max(Backup.snapshot_at)))
    return newest is None or now - newest >= timedelta(hours=settings().backup_every_h)


def is_drill_due(session: ReadSession, now: datetime) -> bool:
    """Whether the newest backup should be tried: a week after the last drill, a day after one that failed."""
    if settings().backup_folder is None or session.scalars(select(Backup.id).limit(1)).first() is None:
        return False
    last = session.scalars(select(RestoreDrill).order_by(RestoreDrill.at.desc()).limit(1)).first()
    return last is None or now - last.at >= (DRILL_EVERY if last.ok else DRILL_AGAIN)


def is_lateness_untold(session: ReadSession, now: datetime) -> bool:
    """Whether something is late and no finding says so, or one says so and nothing is."""
    told = any(one.kind == BACKUP_LATE for one in open_findings(session))
    return told != bool(backup_state(session, now).late)
