"""The restore drill: the newest backup, restored as after a loss, into a place that is taken away again.

RTO is the time from the file to an installation whose log, tables and artefacts were verified. RPO is how old the
restored moment was when the drill began: what a loss at that moment would have cost.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import make_url

from backend import clock
from backend.audit.actions import Action
from backend.audit.findings import BACKUP_LATE, NOT_RESTORABLE, close_finding, open_finding
from backend.audit.log import record
from backend.audit.proofs import prove_consistency
from backend.audit.tables import AuditHead
from backend.backups.archive import Manifest
from backend.backups.contents import DRILL
from backend.backups.errors import BackupDamaged, BackupFailed
from backend.backups.keys import backup_key
from backend.backups.making import newest_backup
from backend.backups.restoring import Places, restore_into
from backend.backups.state import backup_state, newest_made
from backend.backups.tables import Backup, RestoreDrill
from backend.database.engine import database
from backend.database.session import WriteSession, reading
from backend.durable import locked
from backend.errors import WarrantError
from backend.identity.actor import Actor
from backend.settings import settings

SUBJECT: Final = "newest backup"
ROOM_KEPT: Final = 2 << 30  # the gateway refuses predictions on a disk that is nearly full
ROOM_FACTOR: Final = 4  # what a backup unpacks to, in sizes of its file, at most


@dataclass(frozen=True)
class Drill:
    """What a drill found. Plain values, so that a job can remember it as JSON."""

    at: str
    ok: bool
    problem: str = ""
    file: str = ""
    rto_s: float | None = None
    rpo_s: float | None = None
    entries: int | None = None
    entries_since: int | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def run_drill() -> Drill:
    """Restore and verify; whatever goes wrong is what the drill found. Nothing is recorded. A second one waits."""
    with locked(settings().resolved_home() / "drill.lock"):
        return _drill()


def _drill() -> Drill:
    began, now = time.monotonic(), clock.now()
    at, name = clock.to_iso(now), ""
    try:
        with reading() as session:
            recorded = newest_made(session)
        path = _newest_file()
        name = path.name
        with _scratch(path) as places:
            restored = restore_into(places, path, backup_key(), record=False)
            rto_s = time.monotonic() - began
        _require_newest(recorded, restored.manifest)
        since = _entries_since(restored.manifest)
    except WarrantError as error:
        return Drill(at, False, error.message, name)
    except Exception as error:  # noqa: BLE001 - whatever is raised is what the drill found
        return Drill(at, False, f"the drill could not go on: {type(error).__name__}: {error}", name)
    taken = clock.from_iso(restored.manifest.snapshot_at)
    return Drill(at, True, "", name, rto_s, (now - taken).total_seconds(), restored.inspection.entries, since)


def _newest_file() -> Path:
    path = newest_backup()
    if path is None:
        raise BackupFailed("there is no backup in WARRANT_BACKUP_FOLDER: make one with `warrant backup`")
    return path


def _require_newest(recorded: Backup | None, manifest: Manifest) -> None:
    """Raise `BackupDamaged` where the folder lacks the newest backup, or an older one goes under a newer name."""
    if recorded is not None and clock.from_iso(manifest.snapshot_at) < recorded.snapshot_at:
        raise BackupDamaged(
            f"{recorded.file} of {clock.to_iso(recorded.snapshot_at)} was made and is not the newest file of the "
            f"folder: that one holds the moment {manifest.snapshot_at}"
        )


@contextmanager
def _scratch(path: Path) -> Iterator[Places]:
    """A place to restore to, and on PostgreSQL a database of its own; both are gone afterwards."""
    folder = (settings().backup_scratch or settings().resolved_home()).expanduser()
    for left in folder.glob(f"{DRILL}*"):
        shutil.rmtree(left, ignore_errors=True)
    free, wanted = shutil.disk_usage(folder).free, ROOM_FACTOR * path.stat().st_size + ROOM_KEPT
    if free < wanted:
        raise BackupFailed(
            f"{folder} has {free >> 20} MiB free and a drill wants {wanted >> 20} MiB there; name a folder on another "
            "disk in WARRANT_BACKUP_SCRATCH"
        )
    scratch = Path(tempfile.mkdtemp(prefix=DRILL, dir=folder))
    try:
        with ExitStack() as held:
            url = None
            if database().dialect != "sqlite":
                from backend.backups.postgresql_copy import drop_left, scratch_database

                prefix = _database_prefix(database().url)
                drop_left(database().url, prefix)
                name = f"{prefix}{secrets.token_hex(6)}"
                url = held.enter_context(scratch_database(database().url, name))
            home = scratch / "home"
            yield Places(home, home / "observations", home / "keys", url)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _database_prefix(url: str) -> str:
    """What the names of this installation's scratch databases begin with, so that those of others stay."""
    return f"warrant_drill_{hashlib.sha256((make_url(url).database or '').encode()).hexdigest()[:8]}_"


def _entries_since(manifest: Manifest) -> int:
    """How many entries the log has got since, once it is proved to go on from what was saved.

    Raises `BackupDamaged`.
    """
    with reading() as session:
        head = session.get(AuditHead, 1)
        if head is None or head.size < manifest.log_size:
            raise BackupDamaged(
                "the backup has more entries than the log now: is it a backup of another installation?"
            )
        try:
            prove_consistency(session, manifest.log_size, manifest.log_root, head.size, head.root)
        except WarrantError as error:
            raise BackupDamaged(
                f"the log does not go on from what the backup holds: {error.message}"
            ) from error
        return int(head.size) - manifest.log_size


def record_drill(session: WriteSession, actor: Actor, drill_id: str, drill: Drill) -> None:
    """Keep what a drill found: its figures, an entry, and a finding that is open for as long as drills fail. Doing it
    again for the same drill does nothing."""
    if session.get(RestoreDrill, drill_id) is not None:
        return
    facts = drill.to_json()
    session.add(RestoreDrill(id=drill_id, **{**facts, "at": clock.from_iso(drill.at)}))
    record(
        session, actor, Action.DRILL_PASSED if drill.ok else Action.DRILL_FAILED,
        object_kind="restore_drill", object_id=drill_id, payload=facts,
    )  # fmt: skip
    if drill.ok:
        close_finding(
            session, actor, NOT_RESTORABLE, subject=SUBJECT, why=f"{drill.file} was restored and verified"
        )
        return
    open_finding(
        session, actor, NOT_RESTORABLE, subject=SUBJECT, details={"file": drill.file},
        title=f"The restore drill failed: {drill.problem}",
    )  # fmt: skip


def tell_lateness(session: WriteSession, actor: Actor) -> bool:
    """Open or close the finding that a backup or a drill is overdue. Gives whether one is."""
    state = backup_state(session)
    if state.late:
        title = f"Overdue: {'; '.join(state.late)}"
        open_finding(session, actor, BACKUP_LATE, subject="backups", title=title)
    else:
        why = "backups and drills are in time" if state.is_set else "no folder for backups is set any more"
        close_finding(session, actor, BACKUP_LATE, subject="backups", why=why)
    return bool(state.late)
