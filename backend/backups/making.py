"""Making a backup: one moment of everything, written beside the others under its name once it was read again.

The moment is taken while nobody moves the spool into the store and nobody signs the log, so that database, spool,
tables, keys and heads agree. Files of the store and artefacts never change, so they are read afterwards. The heads are
read before the database: what was published then is in it, and not the other way round.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any, Final

from backend import clock
from backend.addresses import without_credentials
from backend.audit.actions import Action
from backend.audit.heads import head_path
from backend.audit.log import record
from backend.audit.signers import last_path, signing, verifier_path
from backend.backups.archive import ArchiveWriter, Manifest, read_archive, writing_archive
from backend.backups.contents import (
    WORKING,
    TableVersion,
    home_files,
    keys_place,
    mlflow_file,
    other_observations,
    secret_files,
    table_versions,
    walk,
)
from backend.backups.database_copy import DatabaseFacts, Snapshot, copy_sqlite, snapshot_of
from backend.backups.errors import BackupFailed
from backend.backups.keys import BackupKey, backup_key
from backend.backups.sealed_file import new_header
from backend.backups.tables import Backup
from backend.database.engine import database
from backend.database.session import writing
from backend.durable import durable_folder, locked, sync_folder
from backend.errors import BadInput
from backend.identity.actor import Actor
from backend.observations.spool import pending_bytes
from backend.observations.writer import WriterBusy, only_writer
from backend.registry.artefacts import digest_of_files, file_digest, local_folder
from backend.settings import settings

SUFFIX: Final = ".backup"
ROOM_KEPT: Final = 1 << 30
WRITER_PATIENCE_S: Final = 120.0
_PAUSE_S: Final = 0.2


@dataclass(frozen=True)
class Made:
    """A backup that was written, read again and recorded."""

    path: Path
    digest: str
    bytes: int
    manifest: Manifest
    took_s: float


@dataclass(frozen=True)
class _Moment:
    """What was taken of the moment, in a folder of this backup's own."""

    folder: Path
    at: datetime
    tables: list[TableVersion]
    home: list[Path]
    left_out: list[str]


def backup_folder() -> Path:
    """Where backups are kept. Raises `BadInput` where the settings name no folder."""
    folder = settings().backup_folder
    if folder is None:
        raise BadInput(
            "no folder for backups is set: name one in WARRANT_BACKUP_FOLDER, on another disk than the home"
        )
    return folder.expanduser().resolve()


def make_backup(actor: Actor, *, say: Callable[[str], None] = lambda _: None) -> Made:
    """Save everything. Raises `BackupFailed`, `KeyUnusable`, `BadInput`; then the folder is as it was before."""
    folder, key, began = backup_folder(), backup_key(), time.monotonic()
    lock = settings().resolved_home() / "backup.lock"
    try:
        durable_folder(folder)
        with locked(lock, on_wait=lambda: say("another backup is under way; waiting for it")):
            for left in folder.glob(f".*{SUFFIX}.draft"):
                left.unlink()
            draft, manifest = _write(folder, key, say)
            say("reading it again")
            read_archive(draft, key, into=lambda _: None)
            final = folder / draft.name.removeprefix(".").removesuffix(".draft")
            draft.rename(final)
            sync_folder(folder)
    except OSError as error:
        raise BackupFailed(f"{error}; no backup was made") from error
    made = Made(final, file_digest(final), final.stat().st_size, manifest, time.monotonic() - began)
    _record(actor, made)
    return made


def _write(folder: Path, key: BackupKey, say: Callable[[str], None]) -> tuple[Path, Manifest]:
    """A whole archive under a name that no reader takes for a backup."""
    now = clock.now()
    backup_id = f"bak_{secrets.token_hex(8)}"
    draft = folder / f".warrant-{now:%Y%m%dT%H%M%SZ}-{backup_id[4:12]}{SUFFIX}.draft"
    try:
        with _working_folder() as working, ExitStack() as open_snapshot:
            say("taking the moment")
            moment, stored = _take_moment(working, open_snapshot)
            say("writing database, keys, observations and artefacts")
            with draft.open("wb") as file:
                os.fchmod(file.fileno(), 0o600)
                with writing_archive(file, new_header(backup_id, clock.to_iso(now), key), key) as archive:
                    manifest = _manifest(backup_id, now, moment, stored.facts)
                    _add_all(archive, moment, stored, manifest)
                    archive.close(manifest)
                file.flush()
                os.fsync(file.fileno())
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return draft, manifest


@contextmanager
def _working_folder() -> Iterator[Path]:
    """A folder in the home that only its owner reads; those of backups that were cut short are taken away."""
    home = settings().resolved_home()
    for left in home.glob(f"{WORKING}*"):
        shutil.rmtree(left, ignore_errors=True)
    _require_room(home)
    working = Path(tempfile.mkdtemp(prefix=WORKING, dir=home))
    try:
        yield working
    finally:
        shutil.rmtree(working, ignore_errors=True)


def _take_moment(working: Path, open_snapshot: ExitStack) -> tuple[_Moment, Snapshot]:
    here = settings()
    with _no_writer(here.spool), signing():
        for path in (head_path(), last_path(), verifier_path()):  # before the database: see above
            if path.exists():
                shutil.copy2(path, working / path.name)
        _copy_keys(working / "keys")
        at = clock.now()
        stored = open_snapshot.enter_context(snapshot_of(working))
        if (mlflow := mlflow_file()) is not None:
            copy_sqlite(mlflow, working / "mlflow.db")
        copy_spool(here.spool, working / "spool")
        tables = table_versions(here.observations)
        home, left_out = home_files()
    return _Moment(working, at, tables, home, left_out), stored


def _copy_keys(target: Path) -> None:
    """The keys that belong to these heads: a change of the key may follow at once."""
    for path in secret_files():
        copy = target / path.relative_to(keys_place())
        durable_folder(copy.parent)
        shutil.copy2(path, copy)


def copy_spool(spool: Path, target: Path) -> None:
    """Everything that was accepted by now. A log that its gateway closes meanwhile gets another name, and is looked for
    again: rows that are copied twice are recognised by their ids."""
    missed = True
    while missed:
        missed = False
        for path in walk(spool):
            copy = target / path.relative_to(spool)
            if copy.exists():
                continue
            durable_folder(copy.parent)
            try:
                shutil.copy2(path, copy)
            except FileNotFoundError:
                missed = True


def _require_room(home: Path) -> None:
    """Raise `BackupFailed` where copies of the databases and the spool would take what the gateway needs."""
    files = (mlflow_file(), home / "warrant.db" if database().dialect == "sqlite" else None)
    wanted = pending_bytes(settings().spool) + sum(one.stat().st_size for one in files if one is not None)
    free = shutil.disk_usage(home).free
    if free - wanted < ROOM_KEPT:
        raise BackupFailed(
            f"{home} has {free >> 20} MiB free; while a backup is made {wanted >> 20} MiB are copied there, and "
            f"{ROOM_KEPT >> 20} MiB are kept in reserve: free some space"
        )


@contextmanager
def _no_writer(spool: Path) -> Iterator[None]:
    """Hold the lock of the one writer, which is free between two passes."""
    given_up_at = time.monotonic() + WRITER_PATIENCE_S
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(only_writer(spool))
                break
            except WriterBusy as busy:
                if time.monotonic() > given_up_at:
                    raise BackupFailed(
                        f"{busy.message} for {WRITER_PATIENCE_S:.0f} s; run it again"
                    ) from busy
                time.sleep(_PAUSE_S)
        yield


def _manifest(backup_id: str, now: datetime, moment: _Moment, facts: DatabaseFacts) -> Manifest:
    embedded = mlflow_file() is not None
    return Manifest(
        id=backup_id, made_at=clock.to_iso(now), snapshot_at=clock.to_iso(moment.at), version=version_of("warrant"),
        dialect=database().dialect, revision=facts.revision, workflow_revision=facts.workflow_revision,
        home=str(settings().resolved_home()), log_size=facts.log_size, log_root=facts.log_root,
        mlflow="in the backup" if embedded else without_credentials(settings().mlflow),
        tables={one.name: {"version": one.version, "rows": one.rows} for one in moment.tables},
        artefacts=[], left_out=list(moment.left_out),
    )  # fmt: skip


def _add_all(archive: ArchiveWriter, moment: _Moment, stored: Snapshot, manifest: Manifest) -> None:
    observations, home = settings().observations, settings().resolved_home()
    for path in stored.write(moment.folder):
        archive.add(f"database/{path.name}", path)
    taken = {head_path().name, last_path().name, verifier_path().name, "mlflow.db"}
    for name in sorted(taken):
        if (moment.folder / name).exists():
            archive.add(f"home/{name}", moment.folder / name)
    for root in ("home/spool", "keys"):
        taken_root = moment.folder / root.rpartition("/")[2]
        for path in walk(taken_root):
            archive.add(f"{root}/{path.relative_to(taken_root).as_posix()}", path)
    for path in moment.home:
        if str(path.relative_to(home)) not in taken:
            _add_present(archive, f"home/{path.relative_to(home).as_posix()}", path)
    for path in other_observations(observations):
        _add_present(archive, f"observations/{path.relative_to(observations).as_posix()}", path)
    for table in moment.tables:
        for path in table.files:
            _add_pinned(archive, f"observations/{path.relative_to(observations).as_posix()}", path)
    _add_artefacts(archive, stored.facts, manifest)


def _add_present(archive: ArchiveWriter, name: str, path: Path) -> None:
    """A file that somebody may let go meanwhile: then nobody wants it any more."""
    try:
        archive.add(name, path)
    except FileNotFoundError:
        return


def _add_pinned(archive: ArchiveWriter, name: str, path: Path) -> None:
    try:
        archive.add(name, path)
    except FileNotFoundError as error:
        raise BackupFailed(f"{path} was deleted while the backup was made; run it again") from error


def _add_artefacts(archive: ArchiveWriter, facts: DatabaseFacts, manifest: Manifest) -> None:
    """Say where each version's artefact is in the backup; one that lies outside the home is put where a job would have
    fetched it to by its digest, and is found there."""
    for model, number, uri, digest in facts.versions:
        folder, name = local_folder(uri, digest), f"the artefact of {model} {number}"
        place: str | None = None
        if folder is None:
            manifest.left_out.append(f"{name}: it is at {without_credentials(uri)}, not on this machine")
        else:
            place = _artefact_place(folder, digest)
            if _add_folder(archive, f"home/{place}", folder) != digest:
                # It would fail every restore; the backup holds the files as they are.
                manifest.left_out.append(f"{name}: the files in {folder} are not the recorded ones")
                place = None
        manifest.artefacts.append({"model": model, "version": number, "digest": digest, "path": place})


def _artefact_place(folder: Path, digest: str) -> str:
    home, own = settings().resolved_home(), folder.resolve()
    if own.is_relative_to(home):
        return own.relative_to(home).as_posix()
    return f"jobs/artefacts/{digest.removeprefix('sha256:')}"


def _add_folder(archive: ArchiveWriter, root: str, folder: Path) -> str:
    """Add every file of an artefact that is not there yet, also those that elsewhere are taken for locks and drafts;
    gives the digest of the artefact as it was saved."""
    saved: dict[str, str] = {}
    for path in sorted(one for one in folder.rglob("*") if one.is_file() and not one.is_symlink()):
        inside = path.relative_to(folder).as_posix()
        if f"{root}/{inside}" not in archive.files:
            _add_pinned(archive, f"{root}/{inside}", path)
        saved[inside] = archive.files[f"{root}/{inside}"].sha256
    return digest_of_files(saved)


def _record(actor: Actor, made: Made) -> None:
    manifest = made.manifest
    payload: dict[str, Any] = {
        "file": made.path.name, "digest": made.digest, "bytes": made.bytes, "snapshot_at": manifest.snapshot_at,
        "entries": manifest.log_size, "root": manifest.log_root, "left_out": len(manifest.left_out),
    }  # fmt: skip
    with writing() as session:
        session.add(
            Backup(
                id=manifest.id, file=made.path.name, digest=made.digest, bytes=made.bytes,
                entries=manifest.log_size, made_at=clock.from_iso(manifest.made_at),
                snapshot_at=clock.from_iso(manifest.snapshot_at), left_out=manifest.left_out, took_s=made.took_s,
            )
        )  # fmt: skip
        record(
            session, actor, Action.BACKUP_MADE, object_kind="backup", object_id=manifest.id, payload=payload
        )


def newest_backup() -> Path | None:
    """The newest whole backup in the folder: names begin with the time."""
    found = sorted(backup_folder().glob(f"warrant-*{SUFFIX}"))
    return found[-1] if found else None
