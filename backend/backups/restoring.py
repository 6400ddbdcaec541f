"""Restoring a backup into an empty home and an empty database: whole and verified, or not at all.

Everything is unpacked and verified in a folder `.restoring` within the home. While that folder is there nothing of
Warrant starts on this home (`backend.database.whole`), and it goes as the very last thing, after the files were moved
to their places with the database behind all others. On PostgreSQL the filled database has no revision until then, so
that no release takes it for its own.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import make_url

from backend.audit.heads import Head, read_head
from backend.backups.archive import MANIFEST, Manifest, read_archive
from backend.backups.database_copy import SQLITE_NAME
from backend.backups.errors import BackupDamaged, NotEmpty
from backend.backups.inspecting import Inspection, inspect_elsewhere
from backend.backups.keys import BackupKey, backup_key
from backend.database.engine import connect
from backend.database.whole import RESTORING
from backend.durable import durable_folder, sync_folder, write_text
from backend.errors import BadInput
from backend.settings import settings

_LATEST: Final = (SQLITE_NAME,)  # moved behind everything else


@dataclass(frozen=True)
class Places:
    """Where a backup is restored to. `database_url` is None for SQLite in the home."""

    home: Path
    observations: Path
    keys: Path
    database_url: str | None

    @property
    def staging(self) -> Path:
        return self.home / RESTORING

    def of(self, root: str) -> Path:
        return {"home": self.home, "observations": self.observations, "keys": self.keys}[root]


@dataclass(frozen=True)
class Restored:
    """What was restored, what was found in it, and what it lacks, in words."""

    manifest: Manifest
    inspection: Inspection
    lost: list[str]


def places() -> Places:
    """Where the settings say. Raises `BadInput` for a database that cannot be restored to."""
    here = settings()
    home = here.home.expanduser().resolve()
    url = here.database_url
    if url is not None and make_url(url).get_backend_name() == "sqlite":
        if Path(make_url(url).database or "").resolve() != home / SQLITE_NAME:
            raise BadInput(
                f"a SQLite database is restored to {home / SQLITE_NAME}; unset WARRANT_DATABASE_URL"
            )
        url = None
    return Places(
        home,
        Path(here.observations_url).expanduser().resolve()
        if here.observations_url
        else home / "observations",
        (here.audit_keys or home / "keys").expanduser().resolve(),
        url,
    )


def restore(
    path: Path, *, last_head: Path | None = None, say: Callable[[str], None] = lambda _: None
) -> Restored:
    """Restore into the places of the settings. Raises `NotEmpty`, `KeyUnusable`, `BackupDamaged`, `BadInput`; then the
    places are as they were."""
    known = _head_of(last_head)
    return restore_into(places(), path, backup_key(), known_head=known, record=True, say=say)


def restore_into(
    target: Places,
    path: Path,
    key: BackupKey,
    *,
    known_head: Head | None = None,
    record: bool,
    say: Callable[[str], None] = lambda _: None,
) -> Restored:
    existed = target.home.is_dir()
    durable_folder(target.home)
    try:
        with _alone(target.home):
            _require_empty(target)
            manifest, inspection = _stage(target, path, key, record=record, say=say)
            say("putting everything in its place")
            _publish(target, manifest)
    except BaseException:
        if not existed:
            with suppress(OSError):  # not where something was moved into it already
                target.home.rmdir()
        raise
    return Restored(manifest, inspection, what_is_lost(manifest, target, known_head))


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """One restore at a time into a home, which stays empty for that. Raises `NotEmpty` where another is under way."""
    descriptor = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # a network file system locks no folders
            _lock(descriptor, home)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, home: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise NotEmpty(f"another restore into {home} is under way") from error


def _stage(
    target: Places, path: Path, key: BackupKey, *, record: bool, say: Callable[[str], None]
) -> tuple[Manifest, Inspection]:
    """Everything in the staging folder and, where there is a server, its database filled; both verified. What raises
    leaves both as they were."""
    has_begun = False  # with the database on the server, which is not touched before
    try:
        target.staging.mkdir(mode=0o700)
        sync_folder(target.home)
        say("decrypting and comparing every file")
        manifest = read_archive(path, key, into=lambda name: target.staging / name)
        _require_fitting(manifest, target)
        write_text(target.staging / MANIFEST, manifest.to_json().decode())
        (target.staging / "home").mkdir(exist_ok=True)
        if target.database_url is None:
            _settle_file(target)
        else:
            _require_empty_database(target.database_url)  # it may have been put to use meanwhile
            has_begun = True
            say("filling the database")
            _fill_server(target.database_url, target.staging / "database")
        say("verifying the audit log, the tables and the artefacts")
        inspection = inspect_elsewhere(
            _staged(target), target.staging / MANIFEST, record=_recorded(path, manifest) if record else None
        )
        inspection.require_sound()
        _sync_all(target.staging)
    except BaseException:
        shutil.rmtree(target.staging, ignore_errors=True)
        if has_begun and target.database_url is not None:
            _empty_again(target.database_url)
        raise
    return manifest, inspection


def take_out(path: Path, name: str, folder: Path) -> int:
    """Take the files whose names begin with `name` (`keys`, `home/models`) out of a backup into an empty folder; gives
    how many. The whole backup is compared first. Raises `NotEmpty`, `BadInput` and what reading raises."""
    if folder.is_dir() and any(folder.iterdir()):
        raise NotEmpty(f"{folder} is not empty; name a new folder")
    wanted = name.strip("/") + "/"
    staging = folder.with_name(f".{folder.name}{RESTORING}")
    shutil.rmtree(staging, ignore_errors=True)
    try:
        durable_folder(staging.parent)
        staging.mkdir(mode=0o700)
        manifest = read_archive(
            path, backup_key(), into=lambda one: staging / one if one.startswith(wanted) else None
        )
        count = sum(one.startswith(wanted) for one in manifest.files)
        if not count:
            roots = sorted({"/".join(one.split("/")[:2]) for one in manifest.files})
            raise BadInput(f"the backup has nothing below {name}; it has {', '.join(roots[:30])}")
        _sync_all(staging)
        if folder.is_dir():
            folder.rmdir()
        (staging / wanted).rename(folder)
        sync_folder(folder.parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return count


def _require_empty(target: Places) -> None:
    for name in ("home", "observations", "keys"):
        folder = target.of(name)
        found = sorted(one.name for one in folder.iterdir()) if folder.is_dir() else []
        found = [
            one for one in found if one != "lost+found"
        ]  # of the file system's own, where a volume is mounted
        if found == [RESTORING] and name == "home":
            shutil.rmtree(target.staging)  # a restore that was cut short before it moved anything
        elif RESTORING in found:
            raise NotEmpty(f"a restore into {folder} was cut short; empty the folder, then restore again")
        elif found:
            raise NotEmpty(
                f"{folder} is not empty ({found[0]} is in it); restore goes into an empty place only: move what is "
                "there away, or name another folder in WARRANT_HOME"
            )
    if target.database_url is not None:
        _require_empty_database(target.database_url)


def _require_empty_database(url: str) -> None:
    from backend.backups.postgresql_copy import require_empty

    require_empty(url)


def _require_fitting(manifest: Manifest, target: Places) -> None:
    wanted = "sqlite" if target.database_url is None else "postgresql"
    if manifest.dialect != wanted:
        needed = "name an empty PostgreSQL database in WARRANT_DATABASE_URL"
        raise BadInput(
            f"the backup holds a database of the kind {manifest.dialect}: "
            f"{needed if wanted == 'sqlite' else 'unset WARRANT_DATABASE_URL'}"
        )
    from backend.database.upgrade import head_revision

    if head_revision() != manifest.revision:
        raise BadInput(
            f"the backup has the tables of {manifest.revision} and this release those of {head_revision()}: restore "
            f"it with release {manifest.version}, then upgrade"
        )


def _settle_file(target: Places) -> None:
    file = target.staging / "database" / SQLITE_NAME
    if not file.is_file():
        raise BackupDamaged("the backup holds no database")
    file.rename(target.staging / "home" / SQLITE_NAME)


def _fill_server(url: str, folder: Path) -> None:
    """The tables of this release in the empty database, and the rows in them."""
    from backend.backups.postgresql_copy import fill
    from backend.database.upgrade import upgrade

    made = connect(url)
    try:
        upgrade(made)
    finally:
        made.dispose()
    fill(url, folder)


def _empty_again(url: str) -> None:
    from backend.backups.postgresql_copy import empty_again

    empty_again(url)


def _staged(target: Places) -> Places:
    """The same, as long as it lies in the staging folder."""
    inside = target.staging
    return Places(inside / "home", inside / "observations", inside / "keys", target.database_url)


def _recorded(path: Path, manifest: Manifest) -> dict[str, Any]:
    return {"backup": manifest.id, "payload": {"file": path.name, "snapshot_at": manifest.snapshot_at,
            "entries": manifest.log_size, "made_by": manifest.version}}  # fmt: skip


def _publish(target: Places, manifest: Manifest) -> None:
    """Move everything to its place. A crash anywhere leaves `.restoring`, with which nothing starts on the home."""
    for root in ("keys", "observations", "home"):
        staged = target.staging / root
        if not staged.is_dir():
            continue
        place = durable_folder(target.of(root))
        for one in sorted(staged.iterdir(), key=lambda path: (path.name in _LATEST, path.name)):
            if one != place:
                one.rename(place / one.name) if _same_disk(one, place) else shutil.move(one, place / one.name)
        if root == "keys":
            place.chmod(0o700)
        sync_folder(place)
    if target.database_url is not None:
        from backend.backups.postgresql_copy import set_revision

        set_revision(target.database_url, manifest.revision)
    os.sync()  # what was moved to another disk was copied
    shutil.rmtree(target.staging)
    sync_folder(target.home)


def _same_disk(one: Path, place: Path) -> bool:
    return one.stat().st_dev == place.stat().st_dev


def _sync_all(folder: Path) -> None:
    for root, _, _ in os.walk(folder):
        sync_folder(Path(root))


def what_is_lost(manifest: Manifest, target: Places, known: Head | None) -> list[str]:
    """What the backup cannot give back, for people. `known`: the newest head that is known of the lost log."""
    first = manifest.log_size
    said = [f"everything after {manifest.snapshot_at}: rows that were accepted later are to be sent again"]
    if known is None:
        said.append(
            f"entries of the audit log from number {first} on; how many is not known here: --last-head names the file "
            "audit-head.json of the lost home, where it is left, and a witness or anchor has the newest signed size"
        )
    elif known.size > first:
        said.append(f"entries {first} to {known.size - 1} of the audit log: {known.size - first} in all")
    elif known.size == first and known.root != manifest.log_root:
        said.append(
            f"the log whose head was given: it has {first} entries too and another root, so it is another log, or one "
            "of the two was rewritten"
        )
    else:
        said.append(
            f"nothing of the audit log: its last known head has {known.size} entries, and all are here"
        )
    said.append(
        "what was ended after that: tokens that were revoked, accounts that were closed, roles that were taken, people "
        "and rows that were erased, and a signing key that was changed are as they were; end them again"
    )
    if str(target.home) != manifest.home:
        said.append(
            f"addresses of artefacts name {manifest.home}, where this home was: put the home there, or a link to it"
        )
    if manifest.mlflow != "in the backup":
        said.append(
            f"MLflow at {manifest.mlflow} is a server with a backup of its own; restore it to the same moment"
        )
    return said + manifest.left_out


def _head_of(path: Path | None) -> Head | None:
    if path is None:
        return None
    try:
        head = read_head(path)
    except (ValueError, OSError) as error:
        raise BadInput(f"{path} is no head of an audit log: {error}") from error
    if head is None:
        raise BadInput(f"there is no file {path}")
    return head
